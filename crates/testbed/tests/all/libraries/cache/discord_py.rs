//! Where discord.py's cache differs (2.7.1).

use super::{Always, Explained, Sometimes, explained};

pub(crate) static DISCORD_PY: &[Explained] = &[
    explained(
        "channel.last_message_id",
        Sometimes,
        "a forum's newest post counts only if it is newly created (state.py, parse_thread_create)",
    ),
    explained(
        "channel.member",
        Sometimes,
        "THREAD_LIST_SYNC stores threads without the bot's membership, which it takes for another member's \
         (state.py, parse_thread_list_sync)",
    ),
    explained(
        "channel.member_count",
        Always,
        "THREAD_MEMBERS_UPDATE changes who is known, not the number (state.py, parse_thread_members_update)",
    ),
    explained(
        "channel.message_count",
        Always,
        "neither a message nor THREAD_UPDATE changes it (state.py, parse_message_create; threads.py, Thread._update)",
    ),
    explained(
        "channel.total_message_sent",
        Always,
        "as message_count (threads.py, Thread._update)",
    ),
    explained(
        "extra message",
        Always,
        "messages stay when their channel or thread is deleted or archived (state.py, parse_channel_delete, \
         parse_thread_delete, parse_thread_update)",
    ),
    explained(
        "missing message",
        Always,
        "a new session begins with none (state.py, parse_ready), and the update of an unknown one is not kept \
         (parse_message_update)",
    ),
    explained(
        "message.nonce",
        Always,
        "an update changes the fields that it has, where Discord's updates are whole (message.py, Message._update)",
    ),
    explained(
        "message.thread",
        Always,
        "there is no handler for the thread of an update (message.py, Message._update)",
    ),
    explained(
        "message.reactions.count_details.normal",
        Always,
        "an added or removed reaction changes the sum alone (message.py, Message._add_reaction, _remove_reaction)",
    ),
    explained(
        "message.reactions.emoji.name",
        Sometimes,
        "a custom emoji has the name that its guild gives it now (state.py, _upgrade_partial_emoji)",
    ),
    explained(
        "presence.activities.name",
        Always,
        "the name of a custom status is its text (activity.py, CustomActivity.__init__)",
    ),
    explained(
        "scheduled_event.privacy_level",
        Always,
        "it is read out of `status` (scheduled_event.py, ScheduledEvent._update)",
    ),
    explained(
        "scheduled_event.user_count",
        Always,
        "users coming and going change who is known, not the number (scheduled_event.py, _add_user, _pop_user)",
    ),
    explained(
        "extra user",
        Sometimes,
        "a user is kept as long as something names it, also a message of a deleted channel (state.py, store_user)",
    ),
];
