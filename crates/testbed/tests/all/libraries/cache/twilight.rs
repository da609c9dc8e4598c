//! Where twilight's cache differs (twilight-cache-inmemory 0.18.0). What is named is in its `src`.

use super::{Always, Explained, Sometimes, explained};

pub(crate) static TWILIGHT: &[Explained] = &[
    explained(
        "guild.member_count",
        Always,
        "a GUILD_MEMBER_ADD that repeats is counted again (event/member.rs)",
    ),
    explained(
        "guild.max_presences",
        Always,
        "GUILD_UPDATE with none sets it to 25,000 (model/guild.rs, update_with_guild_update)",
    ),
    explained(
        "channel.last_message_id",
        Always,
        "a message does not change its channel (event/message.rs)",
    ),
    explained(
        "channel.message_count",
        Always,
        "a message does not change its thread (event/message.rs)",
    ),
    explained(
        "channel.total_message_sent",
        Always,
        "as message_count (event/message.rs)",
    ),
    explained(
        "channel.member.*",
        Sometimes,
        "THREAD_MEMBER_UPDATE and THREAD_MEMBERS_UPDATE are not heeded, nor the members of THREAD_LIST_SYNC \
         (lib.rs, UpdateCache for Event; event/thread.rs)",
    ),
    explained(
        "channel.member_count",
        Always,
        "THREAD_MEMBERS_UPDATE is not heeded",
    ),
    explained(
        "channel.newly_created",
        Sometimes,
        "THREAD_UPDATE replaces the thread, the truth is changed field by field (event/thread.rs)",
    ),
    explained(
        "extra channel",
        Always,
        "an archived thread stays, and so does what THREAD_LIST_SYNC does not list (event/thread.rs)",
    ),
    explained(
        "extra member",
        Sometimes,
        "what tells of a member in passing caches it, also after its GUILD_MEMBER_REMOVE: messages, interactions, \
         voice states (event/message.rs, event/interaction.rs, event/voice_state.rs)",
    ),
    explained(
        "extra user",
        Sometimes,
        "as extra member: who is told in passing is kept until a GUILD_MEMBER_REMOVE (event/mod.rs, cache_user)",
    ),
    explained(
        "missing member",
        Sometimes,
        "an outage takes all members, and a large guild that is back lists only who is online; a GUILD_MEMBER_UPDATE \
         adds none (event/guild.rs, delete_guild; event/member.rs)",
    ),
    explained(
        "member.pending",
        Always,
        "the author's member in a message has no `pending` in the model, and replaces the member (event/message.rs)",
    ),
    explained(
        "member.premium_since",
        Always,
        "GUILD_MEMBER_UPDATE does not change it (model/member.rs, update_with_member_update)",
    ),
    explained(
        "extra presence",
        Always,
        "who goes offline keeps a presence that says so (event/presence.rs)",
    ),
    explained(
        "extra voice of no guild",
        Sometimes,
        "voice states stay when their guild goes (event/guild.rs, delete_guild)",
    ),
    explained(
        "extra voice",
        Sometimes,
        "voice states stay when their guild goes, and so those of who has left when it is back (event/guild.rs, \
         delete_guild)",
    ),
    explained(
        "extra stage of no guild",
        Sometimes,
        "stages stay when their guild goes (event/guild.rs, delete_guild)",
    ),
    explained(
        "extra scheduled_event of no guild",
        Sometimes,
        "events stay when their guild goes (event/guild.rs, delete_guild)",
    ),
    explained(
        "extra message",
        Always,
        "messages stay when their channel or thread is deleted or archived (event/channel.rs, delete_channel)",
    ),
    explained(
        "extra message of no guild",
        Always,
        "messages stay when the bot leaves their guild (event/guild.rs, delete_guild)",
    ),
    explained(
        "message.reactions.count_details.normal",
        Always,
        "a further reaction changes the sum alone (event/reaction.rs)",
    ),
    explained(
        "sticker.*",
        Sometimes,
        "GUILD_STICKERS_UPDATE is no event that the model reads (twilight-model, gateway/event/kind.rs, TryFrom)",
    ),
    explained("extra sticker", Sometimes, "as sticker"),
    explained("missing sticker", Sometimes, "as sticker"),
    explained(
        "role.permissions",
        Always,
        "bits that the model does not know are dropped (twilight-model, guild/permissions.rs)",
    ),
];
