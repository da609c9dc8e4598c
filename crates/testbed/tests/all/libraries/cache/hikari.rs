//! Where hikari's cache differs (2.7.0). What is named is in `hikari/impl/event_manager.py`, if no file is.

use super::{Always, Explained, Sometimes, explained};

pub(crate) static HIKARI: &[Explained] = &[
    explained(
        "guild.member_count",
        Always,
        "it is the number of GUILD_CREATE: members coming and going don't change it (on_guild_member_add, \
         on_guild_member_remove)",
    ),
    explained(
        "channel.last_message_id",
        Always,
        "a message does not change its channel (on_message_create)",
    ),
    explained(
        "channel.message_count",
        Always,
        "a message does not change its thread (on_message_create)",
    ),
    explained(
        "channel.last_pin_timestamp",
        Always,
        "pins do not change their channel (on_channel_pins_update)",
    ),
    explained(
        "channel.member_count",
        Always,
        "members of a thread do not change it (on_thread_members_update)",
    ),
    explained(
        "channel.member.*",
        Sometimes,
        "the bot's own membership is that of the thread's last object (on_thread_member_update, \
         on_thread_members_update)",
    ),
    explained(
        "extra channel",
        Sometimes,
        "an archived thread stays (on_thread_update)",
    ),
    explained(
        "extra message",
        Always,
        "messages stay when their channel or thread is deleted or archived (on_guild_channel_delete, \
         on_thread_delete)",
    ),
    explained(
        "extra message of no guild",
        Always,
        "messages stay when the bot leaves their guild (on_guild_delete)",
    ),
    explained(
        "missing message",
        Sometimes,
        "the update of an unknown one is not kept (impl/cache.py, update_message)",
    ),
    explained(
        "message.flags",
        Always,
        "an update changes content, mentions, attachments, embeds, components and pinned alone \
         (internal/cache.py, MessageData.update)",
    ),
    explained(
        "message.nonce",
        Always,
        "as message.flags: the update has none",
    ),
    explained("message.thread", Always, "as message.flags"),
    explained(
        "message.reactions.*",
        Always,
        "reactions do not change their message (on_message_reaction_add and the like)",
    ),
    explained(
        "message.poll.results.*",
        Always,
        "votes do not change their message (on_message_poll_vote_add, on_message_poll_vote_remove)",
    ),
    explained(
        "extra user",
        Sometimes,
        "a user is kept as long as something names it, also a message of a deleted channel (impl/cache.py, \
         _garbage_collect_user)",
    ),
];
