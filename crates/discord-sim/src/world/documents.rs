//! Objects that exist only because a client made them: kept as they are answered.

use std::collections::BTreeMap;

use serde_json::Value;

use super::snowflake_of;

/// Objects of one family and owner at most; what is made beyond that replaces the oldest.
const KEPT: usize = 1_000;

/// What the objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// Application commands; owned by their guild, 0 for global ones.
    Command,
    /// Permissions of application commands; owned by their guild.
    CommandPermissions,
    /// Webhooks; owned by their guild.
    Webhook,
    /// Invites; owned by their guild.
    Invite,
    /// Auto moderation rules; owned by their guild.
    AutoModerationRule,
    /// The application's emojis; owned by nobody, 0.
    ApplicationEmoji,
    /// Entitlements; owned by nobody, 0.
    Entitlement,
    /// Templates; owned by their guild.
    Template,
    /// The one welcome screen of a guild.
    WelcomeScreen,
    /// The one onboarding of a guild.
    Onboarding,
    /// The one widget of a guild.
    Widget,
    /// Lobbies; owned by nobody, 0.
    Lobby,
    /// Which secret a lobby was joined with; owned by nobody, 0.
    LobbySecret,
    /// Messages of lobbies; owned by their lobby.
    LobbyMessage,
    /// What the application says of users; owned by nobody, 0.
    RoleConnectionMetadata,
    /// The one role connection of the bot's own user.
    RoleConnection,
    /// Who may use an invite, as CSV; owned by the invite's guild.
    InviteTargets,
}

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents(BTreeMap<(Family, u64), Vec<Value>>);

impl Documents {
    /// All of an owner, oldest first.
    pub(crate) fn list(&self, family: Family, owner: u64) -> &[Value] {
        self.0.get(&(family, owner)).map_or(&[], Vec::as_slice)
    }

    /// Adds one; the one with the same value of `key` goes.
    pub(crate) fn put(&mut self, family: Family, owner: u64, key: &str, object: Value) {
        let list = self.0.entry((family, owner)).or_default();
        match list.iter_mut().find(|known| known[key] == object[key]) {
            Some(known) => *known = object,
            None => list.push(object),
        }
        if list.len() > KEPT {
            list.remove(0);
        }
    }

    /// Replaces all of an owner.
    pub(crate) fn replace(&mut self, family: Family, owner: u64, all: Vec<Value>) {
        self.0.insert((family, owner), all);
    }

    /// One of an owner.
    pub(crate) fn find(&self, family: Family, owner: u64, id: u64) -> Option<&Value> {
        let has_id = |object: &&Value| snowflake_of(&object["id"]) == Some(id);
        self.list(family, owner).iter().find(has_id)
    }

    /// Removes what passes; returns the first.
    pub(crate) fn remove(
        &mut self,
        family: Family,
        owner: u64,
        passes: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let list = self.0.get_mut(&(family, owner))?;
        let place = list.iter().position(passes)?;
        Some(list.remove(place))
    }

    /// The first of any owner that passes, with its owner.
    pub(crate) fn search(
        &self,
        family: Family,
        passes: impl Fn(&Value) -> bool,
    ) -> Option<(u64, &Value)> {
        let of_family = self.0.range((family, 0)..=(family, u64::MAX));
        of_family
            .flat_map(|((_, owner), list)| list.iter().map(|object| (*owner, object)))
            .find(|(_, object)| passes(object))
    }
}
