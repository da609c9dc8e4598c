//! The events: their names, how often they occur, how they are made, and what prepares them.

use crate::world::{Dispatch, World};

/// An event that Discord might invent tomorrow.
pub const UNKNOWN_TYPE: &str = "CLOUD_CASTLE_UPDATE";

/// One kind of event that the generator makes.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Occurrences in about 10,000 events.
    pub(super) weight: u32,
    /// Changes the world and tells of it; `None`: there is nothing to act on.
    pub(super) act: fn(&mut World) -> Option<Dispatch>,
    /// The event that gives it something to act on.
    pub(super) needs: &'static str,
}

/// Writes the table below with one line for each event.
macro_rules! kinds {
    ($($name:literal $weight:literal $act:ident $needs:literal,)*) => {
        /// Every event that the generator makes.
        pub(super) static KINDS: &[Kind] = &[
            $(Kind { name: $name, weight: $weight, act: World::$act, needs: $needs },)*
            Kind { name: UNKNOWN_TYPE, weight: 10, act: World::cloud_castle_update, needs: "" },
        ];

        /// All dispatch types that Discord documents ("Gateway events", receive events; the
        /// READY and RESUMED among them are made by a session, not by the generator).
        pub const DISPATCH_TYPES: [&str; 79] = ["READY", "RESUMED", $($name,)*];
    };
}

kinds! {
    "MESSAGE_CREATE" 2500 message_create "",
    "PRESENCE_UPDATE" 2400 presence_update "",
    "TYPING_START" 1600 typing_start "",
    "VOICE_STATE_UPDATE" 800 voice_state_update "",
    "GUILD_MEMBER_UPDATE" 500 guild_member_update "GUILD_MEMBER_ADD",
    "MESSAGE_REACTION_ADD" 500 message_reaction_add "MESSAGE_CREATE",
    "MESSAGE_UPDATE" 450 message_update "MESSAGE_CREATE",
    "MESSAGE_DELETE" 250 message_delete "MESSAGE_CREATE",
    "GUILD_MEMBER_ADD" 120 guild_member_add "GUILD_MEMBER_REMOVE",
    "GUILD_MEMBER_REMOVE" 110 guild_member_remove "GUILD_MEMBER_ADD",
    "INTERACTION_CREATE" 100 interaction_create "",
    "MESSAGE_REACTION_REMOVE" 100 message_reaction_remove "MESSAGE_CREATE",
    "GUILD_AUDIT_LOG_ENTRY_CREATE" 60 guild_audit_log_entry_create "",
    "THREAD_CREATE" 30 thread_create "CHANNEL_CREATE",
    "THREAD_UPDATE" 30 thread_update "THREAD_CREATE",
    "THREAD_MEMBERS_UPDATE" 30 thread_members_update "THREAD_CREATE",
    "THREAD_DELETE" 20 thread_delete "THREAD_CREATE",
    "THREAD_MEMBER_UPDATE" 20 thread_member_update "THREAD_CREATE",
    "THREAD_LIST_SYNC" 10 thread_list_sync "THREAD_CREATE",
    "CHANNEL_UPDATE" 60 channel_update "CHANNEL_CREATE",
    "CHANNEL_CREATE" 15 channel_create "",
    "CHANNEL_DELETE" 15 channel_delete "CHANNEL_CREATE",
    "CHANNEL_PINS_UPDATE" 20 channel_pins_update "CHANNEL_CREATE",
    "CHANNEL_INFO" 10 channel_info "",
    "VOICE_CHANNEL_STATUS_UPDATE" 20 voice_channel_status_update "CHANNEL_CREATE",
    "VOICE_CHANNEL_START_TIME_UPDATE" 20 voice_channel_start_time_update "CHANNEL_CREATE",
    "VOICE_CHANNEL_EFFECT_SEND" 15 voice_channel_effect_send "VOICE_STATE_UPDATE",
    "VOICE_SERVER_UPDATE" 10 voice_server_update "",
    "MESSAGE_DELETE_BULK" 20 message_delete_bulk "MESSAGE_CREATE",
    "MESSAGE_REACTION_REMOVE_ALL" 15 message_reaction_remove_all "MESSAGE_CREATE",
    "MESSAGE_REACTION_REMOVE_EMOJI" 15 message_reaction_remove_emoji "MESSAGE_CREATE",
    "MESSAGE_POLL_VOTE_ADD" 20 message_poll_vote_add "MESSAGE_CREATE",
    "MESSAGE_POLL_VOTE_REMOVE" 15 message_poll_vote_remove "MESSAGE_POLL_VOTE_ADD",
    "GUILD_CREATE" 12 guild_create "GUILD_DELETE",
    "GUILD_UPDATE" 15 guild_update "",
    "GUILD_DELETE" 10 guild_delete "GUILD_CREATE",
    "GUILD_ROLE_CREATE" 12 guild_role_create "",
    "GUILD_ROLE_UPDATE" 20 guild_role_update "GUILD_ROLE_CREATE",
    "GUILD_ROLE_DELETE" 12 guild_role_delete "GUILD_ROLE_CREATE",
    "GUILD_EMOJIS_UPDATE" 20 guild_emojis_update "",
    "GUILD_STICKERS_UPDATE" 15 guild_stickers_update "",
    "GUILD_SOUNDBOARD_SOUND_CREATE" 10 guild_soundboard_sound_create "",
    "GUILD_SOUNDBOARD_SOUND_UPDATE" 10 guild_soundboard_sound_update "GUILD_SOUNDBOARD_SOUND_CREATE",
    "GUILD_SOUNDBOARD_SOUND_DELETE" 10 guild_soundboard_sound_delete "GUILD_SOUNDBOARD_SOUND_CREATE",
    "GUILD_SOUNDBOARD_SOUNDS_UPDATE" 10 guild_soundboard_sounds_update "GUILD_SOUNDBOARD_SOUND_CREATE",
    "SOUNDBOARD_SOUNDS" 10 soundboard_sounds "",
    "GUILD_MEMBERS_CHUNK" 10 guild_members_chunk "",
    "GUILD_BAN_ADD" 10 guild_ban_add "GUILD_MEMBER_ADD",
    "GUILD_BAN_REMOVE" 10 guild_ban_remove "GUILD_BAN_ADD",
    "GUILD_INTEGRATIONS_UPDATE" 10 guild_integrations_update "",
    "INTEGRATION_CREATE" 10 integration_create "",
    "INTEGRATION_UPDATE" 10 integration_update "INTEGRATION_CREATE",
    "INTEGRATION_DELETE" 10 integration_delete "INTEGRATION_CREATE",
    "GUILD_SCHEDULED_EVENT_CREATE" 10 guild_scheduled_event_create "",
    "GUILD_SCHEDULED_EVENT_UPDATE" 10 guild_scheduled_event_update "GUILD_SCHEDULED_EVENT_CREATE",
    "GUILD_SCHEDULED_EVENT_DELETE" 10 guild_scheduled_event_delete "GUILD_SCHEDULED_EVENT_CREATE",
    "GUILD_SCHEDULED_EVENT_USER_ADD" 20 guild_scheduled_event_user_add "GUILD_SCHEDULED_EVENT_CREATE",
    "GUILD_SCHEDULED_EVENT_USER_REMOVE" 15 guild_scheduled_event_user_remove "GUILD_SCHEDULED_EVENT_USER_ADD",
    "STAGE_INSTANCE_CREATE" 10 stage_instance_create "STAGE_INSTANCE_DELETE",
    "STAGE_INSTANCE_UPDATE" 10 stage_instance_update "STAGE_INSTANCE_CREATE",
    "STAGE_INSTANCE_DELETE" 10 stage_instance_delete "STAGE_INSTANCE_CREATE",
    "INVITE_CREATE" 15 invite_create "CHANNEL_CREATE",
    "INVITE_DELETE" 10 invite_delete "INVITE_CREATE",
    "WEBHOOKS_UPDATE" 10 webhooks_update "CHANNEL_CREATE",
    "AUTO_MODERATION_RULE_CREATE" 10 auto_moderation_rule_create "",
    "AUTO_MODERATION_RULE_UPDATE" 10 auto_moderation_rule_update "AUTO_MODERATION_RULE_CREATE",
    "AUTO_MODERATION_RULE_DELETE" 10 auto_moderation_rule_delete "AUTO_MODERATION_RULE_CREATE",
    "AUTO_MODERATION_ACTION_EXECUTION" 15 auto_moderation_action_execution "AUTO_MODERATION_RULE_CREATE",
    "APPLICATION_COMMAND_PERMISSIONS_UPDATE" 10 application_command_permissions_update "",
    "ENTITLEMENT_CREATE" 10 entitlement_create "",
    "ENTITLEMENT_UPDATE" 10 entitlement_update "ENTITLEMENT_CREATE",
    "ENTITLEMENT_DELETE" 10 entitlement_delete "ENTITLEMENT_CREATE",
    "SUBSCRIPTION_CREATE" 10 subscription_create "",
    "SUBSCRIPTION_UPDATE" 10 subscription_update "SUBSCRIPTION_CREATE",
    "SUBSCRIPTION_DELETE" 10 subscription_delete "SUBSCRIPTION_CREATE",
    "USER_UPDATE" 10 user_update "",
    "RATE_LIMITED" 5 rate_limited "",
}
