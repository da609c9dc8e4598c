//! Channels and threads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Fields, Truth,
    entries::{has, in_guild, is_archived, is_thread, last_id, may_be_list},
    id, id_of,
};

/// Flag of a channel that the bot can't view.
const OBFUSCATED: u64 = 1 << 17;

impl Truth {
    pub(super) fn channel_create(&mut self, d: &Fields) -> Option<Value> {
        self.put(key(d, "id")?, Value::Object(d.clone()));
        None
    }

    /// A channel that gets hidden or visible is replaced whole; else the update is merged. One that
    /// isn't known is stored if it is whole.
    pub(super) fn channel_update(&mut self, d: &Fields) -> Option<Value> {
        let key = key(d, "id")?;
        let known = self.entries.get(&key);
        if !has(d, "type") {
            return self.amend(&key, d);
        }
        if is_obfuscated(d) || known.and_then(Value::as_object).is_some_and(is_obfuscated) {
            return self.entries.insert(key, Value::Object(d.clone()));
        }
        self.change(key, d)
    }

    /// A new thread is the newest of its forum; one that is archived isn't kept.
    pub(super) fn thread_create(&mut self, d: &Fields) -> Option<Value> {
        let (key, thread) = (key(d, "id")?, id_of(d, "id")?);
        let parent = match d.get("parent_id") {
            None | Some(Value::Null) => None,
            Some(parent) => Some(id(parent)?),
        };
        self.keep(key, Value::Object(d.clone()));
        if let (Some(guild), Some(parent)) = (id_of(d, "guild_id"), parent) {
            let forum = format!("channel:{guild}:{parent}");
            let kind = self.get(&forum).and_then(|channel| channel.get("type"));
            if kind
                .and_then(Value::as_u64)
                .is_some_and(|kind| kind == 15 || kind == 16)
            {
                self.newest_in(&forum, thread);
            }
        }
        None
    }

    /// An archived thread goes, with its messages; when it is no longer archived it comes back whole.
    pub(super) fn thread_update(&mut self, d: &Fields) -> Option<Value> {
        if !is_archived(d) {
            return self.channel_update(d);
        }
        let (key, thread) = (key(d, "id")?, id_of(d, "id")?);
        self.remove_messages(thread);
        self.entries.remove(&key)
    }

    /// `last_message_id`, of which no event tells: it only grows.
    pub(super) fn newest_in(&mut self, channel: &str, newest: u64) {
        let of_guild = channel.matches(':').count() == 2;
        if let Some(Value::Object(channel)) = self.entries.get_mut(channel)
            && (of_guild || !has(channel, "guild_id"))
            && id_of(channel, "last_message_id").is_none_or(|known| known < newest)
        {
            channel.insert("last_message_id".to_owned(), newest.to_string().into());
        }
    }

    pub(super) fn channel_delete(&mut self, d: &Fields) -> Option<Value> {
        let (key, channel) = (key(d, "id")?, id_of(d, "id")?);
        if let Some(guild) = id_of(d, "guild_id") {
            let below = BTreeSet::from([channel]);
            self.remove_threads(guild, Some(&below), &BTreeSet::new());
            self.remove_scheduled_in(guild, channel);
        }
        self.remove_messages(channel);
        self.entries.remove(&key)
    }

    pub(super) fn thread_delete(&mut self, d: &Fields) -> Option<Value> {
        let (guild, thread) = (id_of(d, "guild_id")?, id_of(d, "id")?);
        self.remove_messages(thread);
        self.entries.remove(&format!("channel:{guild}:{thread}"))
    }

    /// Sets one field of a known channel to the field of that name in `d`. Without it nothing
    /// changes, but the channel is `old` all the same.
    pub(super) fn channel_field(
        &mut self,
        d: &Fields,
        id_field: &str,
        name: &str,
    ) -> Option<Value> {
        let key = key(d, id_field)?;
        match d.get(name) {
            Some(value) => self.set_field(&key, name, value.clone()),
            None => self.get(&key).cloned(),
        }
    }

    /// What known channels show for a while.
    pub(super) fn channel_info(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "guild_id")?;
        for info in d
            .get("channels")?
            .as_array()?
            .iter()
            .filter_map(Value::as_object)
        {
            if let Some(channel) = id_of(info, "id") {
                self.amend(&format!("channel:{guild}:{channel}"), info);
            }
        }
        None
    }

    pub(super) fn thread_member_update(&mut self, d: &Fields) -> Option<Value> {
        id_of(d, "guild_id")?;
        let mut member = d.clone();
        member.shift_remove("guild_id");
        self.set_field(&key(d, "id")?, "member", Value::Object(member))
    }

    /// Of those who come and go only the bot matters: its thread member stands in the thread.
    pub(super) fn thread_members_update(&mut self, d: &Fields) -> Option<Value> {
        id_of(d, "guild_id")?;
        if !may_be_list(d, "added_members") || !may_be_list(d, "removed_member_ids") {
            return None;
        }
        let old = self.channel_field(d, "id", "member_count");
        let (key, bot) = (key(d, "id")?, self.bot());
        let list = |name: &str| d.get(name).and_then(Value::as_array).into_iter().flatten();
        let own = list("added_members")
            .filter_map(Value::as_object)
            .rfind(|member| bot.is_some() && id_of(member, "user_id") == bot);
        let leaves = list("removed_member_ids").any(|user| bot.is_some() && id(user) == bot);
        if let Some(Value::Object(thread)) = self.entries.get_mut(&key) {
            if let Some(own) = own {
                let mut own = own.clone();
                own.shift_remove("presence");
                own.shift_remove("member");
                thread.insert("member".to_owned(), Value::Object(own));
            }
            if leaves {
                thread.shift_remove("member");
            }
        }
        old
    }

    pub(super) fn thread_list_sync(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "guild_id")?;
        let threads = d.get("threads")?.as_array()?;
        let parents: Option<BTreeSet<u64>> = match d.get("channel_ids") {
            None | Some(Value::Null) => None,
            Some(ids) => Some(ids.as_array()?.iter().filter_map(id).collect()),
        };
        if !may_be_list(d, "members") {
            return None;
        }
        let members = d.get("members").and_then(Value::as_array);
        let threads = || threads.iter().filter_map(Value::as_object);
        let mut listed = BTreeSet::new();
        for thread in threads() {
            match id_of(thread, "id") {
                Some(id) if is_archived(thread) => listed.remove(&id),
                Some(id) => listed.insert(id),
                None => false,
            };
        }
        self.remove_threads(guild, parents.as_ref(), &listed);
        for thread in threads() {
            let Some(thread_id) = id_of(thread, "id") else {
                continue;
            };
            let key = format!("channel:{guild}:{thread_id}");
            let is_its = |member: &&Value| member.get("id").and_then(id) == Some(thread_id);
            let told = members.and_then(|members| members.iter().rfind(is_its));
            // Without a list of the bot's memberships, what is known of them stays.
            let known = self.get(&key).and_then(|known| known.get("member"));
            let known = known.filter(|_| members.is_none() && !thread.contains_key("member"));
            let member = told.or(known).cloned();
            let mut thread = in_guild(thread, guild);
            if let Some(member) = member {
                thread["member"] = member;
            }
            self.keep(key, thread);
        }
        None
    }

    /// Of the scheduled events in a channel that is deleted Discord tells nothing more.
    fn remove_scheduled_in(&mut self, guild: u64, channel: u64) {
        for key in self.keys_with(&format!("scheduled_event:{guild}:")) {
            let event = self.entries.get(&key).and_then(Value::as_object);
            if event.is_some_and(|event| id_of(event, "channel_id") == Some(channel)) {
                self.entries.remove(&key);
            }
        }
    }

    /// Removes the guild's threads below these parents (`None`: below any) but the ones to keep, with
    /// their messages.
    fn remove_threads(
        &mut self,
        guild: u64,
        parents: Option<&BTreeSet<u64>>,
        keep: &BTreeSet<u64>,
    ) {
        for key in self.keys_with(&format!("channel:{guild}:")) {
            let Some(thread) = self.entries.get(&key).and_then(Value::as_object) else {
                continue;
            };
            let below = is_thread(thread)
                && parents.is_none_or(|parents| {
                    id_of(thread, "parent_id").is_some_and(|parent| parents.contains(&parent))
                });
            if let Some(id) = last_id(&key).filter(|id| below && !keep.contains(id)) {
                self.remove_messages(id);
                self.entries.remove(&key);
            }
        }
    }
}

fn is_obfuscated(channel: &Fields) -> bool {
    channel
        .get("flags")
        .and_then(Value::as_u64)
        .is_some_and(|flags| flags & OBFUSCATED != 0)
}

/// A channel's key: with the guild, if there is one.
fn key(d: &Fields, id_field: &str) -> Option<String> {
    let channel = id_of(d, id_field)?;
    match d.get("guild_id") {
        None | Some(Value::Null) => Some(format!("channel:{channel}")),
        Some(guild) => Some(format!("channel:{}:{channel}", id(guild)?)),
    }
}
