//! The table of routes.
//!
//! <https://discord.com/developers/docs/reference>

use std::time::Duration;

use axum::http::Method;

use super::{
    auto_moderation, bans,
    call::{Answer, Call},
    channels, commands, community, expressions, guilds, interactions, invites, linked_roles,
    lobbies, login, members, messages, monetization, pins, reactions, roles, scheduled, threads,
    webhooks,
};
use crate::protocol::buckets::Limit;

/// One route.
pub(super) struct Route {
    method: Method,
    /// `{name}` stands for any one segment.
    pub(super) path: &'static str,
    pub(super) limit: Limit,
    /// Whether the bot's token is needed. Where a token is in the path, that is enough.
    pub(super) needs_token: bool,
    /// Whether it counts for the limit over all routes.
    pub(super) is_global: bool,
    pub(super) act: fn(&mut Call) -> Answer,
}

/// A route that has been found, and the segments that it leaves open.
pub(super) struct Found {
    pub(super) route: &'static Route,
    pub(super) params: Vec<(&'static str, String)>,
}

/// Why no route was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is no such path.
    Path,
    /// The path is there, but not with this method.
    Method,
}

/// Finds the route of a request.
pub(super) fn find(method: &Method, path: &str) -> Result<Found, Missing> {
    let mut missing = Missing::Path;
    for route in ROUTES {
        if let Some(params) = matched(route.path, path) {
            if route.method == *method {
                return Ok(Found { route, params });
            }
            missing = Missing::Method;
        }
    }
    Err(missing)
}

fn matched(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut segments = path.trim_matches('/').split('/');
    let mut params = Vec::new();
    for expected in pattern.trim_matches('/').split('/') {
        let segment = segments.next()?;
        match expected
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
        {
            Some(_) if segment.is_empty() => return None,
            Some(name) => params.push((name, decoded(segment))),
            None if expected == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(params)
}

/// Undoes percent-encoding.
pub(super) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut place) = (Vec::with_capacity(bytes.len()), 0);
    while place < bytes.len() {
        let digits = bytes
            .get(place + 1..place + 3)
            .filter(|_| bytes[place] == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                place += 3;
            }
            None => {
                plain.push(bytes[place]);
                place += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

const fn limit(requests: u32, seconds: u64) -> Limit {
    Limit {
        requests,
        window: Duration::from_secs(seconds),
    }
}

/// The bucket of most routes that read, and of most that change something.
const READ: Limit = limit(50, 1);
const WRITE: Limit = limit(10, 10);
const MESSAGE: Limit = limit(5, 5);
const REACTION: Limit = Limit {
    requests: 1,
    window: Duration::from_millis(300),
};
const INTERACTION: Limit = limit(5, 2);

const fn route(
    method: Method,
    path: &'static str,
    limit: Limit,
    act: fn(&mut Call) -> Answer,
) -> Route {
    Route {
        method,
        path,
        limit,
        needs_token: true,
        is_global: true,
        act,
    }
}

const fn get(path: &'static str, act: fn(&mut Call) -> Answer) -> Route {
    route(Method::GET, path, READ, act)
}

const fn post(path: &'static str, act: fn(&mut Call) -> Answer) -> Route {
    route(Method::POST, path, WRITE, act)
}

const fn put(path: &'static str, act: fn(&mut Call) -> Answer) -> Route {
    route(Method::PUT, path, WRITE, act)
}

const fn patch(path: &'static str, act: fn(&mut Call) -> Answer) -> Route {
    route(Method::PATCH, path, WRITE, act)
}

const fn delete(path: &'static str, act: fn(&mut Call) -> Answer) -> Route {
    route(Method::DELETE, path, WRITE, act)
}

impl Route {
    const fn limited(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    /// Whether it gives an interaction its first answer.
    pub(super) fn is_first_answer(&self) -> bool {
        self.path.starts_with("/interactions/")
    }

    /// A route whose path holds a token.
    const fn open(mut self) -> Self {
        self.needs_token = false;
        self
    }

    /// A route of interactions: it has no part in the limit over all routes.
    const fn of_interactions(mut self) -> Self {
        (self.needs_token, self.is_global, self.limit) = (false, false, INTERACTION);
        self
    }
}

#[rustfmt::skip]
static ROUTES: &[Route] = &[
    get("/gateway", login::gateway).open(),
    get("/gateway/bot", login::gateway_bot),
    get("/users/@me", login::me),
    patch("/users/@me", login::edit_me),
    get("/users/@me/guilds", guilds::mine),
    delete("/users/@me/guilds/{guild}", guilds::leave),
    get("/users/@me/guilds/{guild}/member", members::me),
    post("/users/@me/channels", channels::open_dm),
    get("/users/{user}", login::user),
    get("/applications/@me", login::application),
    patch("/applications/@me", login::application),
    get("/oauth2/applications/@me", login::application),
    get("/oauth2/@me", login::authorization),
    get("/users/@me/connections", guilds::nothing_listed),
    get("/users/@me/applications/{application}/role-connection", linked_roles::connection),
    put("/users/@me/applications/{application}/role-connection", linked_roles::set_connection),
    delete("/users/@me/applications/{application}/role-connection", linked_roles::delete_connection),

    get("/applications/{application}/commands", commands::list),
    post("/applications/{application}/commands", commands::create),
    put("/applications/{application}/commands", commands::replace),
    get("/applications/{application}/commands/{command}", commands::one),
    patch("/applications/{application}/commands/{command}", commands::edit),
    delete("/applications/{application}/commands/{command}", commands::delete),
    get("/applications/{application}/guilds/{guild}/commands", commands::list),
    post("/applications/{application}/guilds/{guild}/commands", commands::create),
    put("/applications/{application}/guilds/{guild}/commands", commands::replace),
    get("/applications/{application}/guilds/{guild}/commands/permissions", commands::all_permissions),
    put("/applications/{application}/guilds/{guild}/commands/permissions", commands::set_all_permissions),
    get("/applications/{application}/guilds/{guild}/commands/{command}", commands::one),
    patch("/applications/{application}/guilds/{guild}/commands/{command}", commands::edit),
    delete("/applications/{application}/guilds/{guild}/commands/{command}", commands::delete),
    get("/applications/{application}/guilds/{guild}/commands/{command}/permissions", commands::permissions),
    put("/applications/{application}/guilds/{guild}/commands/{command}/permissions", commands::set_permissions),
    get("/applications/{application}/emojis", login::emojis),
    post("/applications/{application}/emojis", login::create_emoji),
    get("/applications/{application}/emojis/{emoji}", login::emoji),
    delete("/applications/{application}/emojis/{emoji}", login::delete_emoji),
    patch("/applications/{application}/emojis/{emoji}", login::edit_emoji),
    get("/applications/{application}/role-connections/metadata", linked_roles::metadata),
    put("/applications/{application}/role-connections/metadata", linked_roles::set_metadata),
    get("/applications/{application}/activity-instances/{instance}", login::activity_instance),
    get("/applications/{application}/entitlements", monetization::entitlements),
    post("/applications/{application}/entitlements", monetization::create_entitlement),
    get("/applications/{application}/entitlements/{entitlement}", monetization::entitlement),
    delete("/applications/{application}/entitlements/{entitlement}", monetization::delete_entitlement),
    post("/applications/{application}/entitlements/{entitlement}/consume", monetization::consume),
    get("/applications/{application}/skus", guilds::nothing_listed),
    get("/skus/{sku}/subscriptions", guilds::nothing_listed),
    get("/skus/{sku}/subscriptions/{subscription}", monetization::subscription),

    post("/interactions/{interaction}/{token}/callback", interactions::answer).of_interactions(),
    post("/webhooks/{webhook}/{token}", webhooks::execute).of_interactions(),
    get("/webhooks/{webhook}/{token}", webhooks::one).open(),
    patch("/webhooks/{webhook}/{token}", webhooks::edit).open(),
    delete("/webhooks/{webhook}/{token}", webhooks::delete).open(),
    post("/webhooks/{webhook}/{token}/slack", webhooks::execute_slack).open(),
    post("/webhooks/{webhook}/{token}/github", webhooks::execute_github).open(),
    get("/webhooks/{webhook}/{token}/messages/{message}", webhooks::read_message).of_interactions(),
    patch("/webhooks/{webhook}/{token}/messages/{message}", webhooks::edit_message).of_interactions(),
    delete("/webhooks/{webhook}/{token}/messages/{message}", webhooks::delete_message).of_interactions(),
    get("/webhooks/{webhook}", webhooks::one),
    patch("/webhooks/{webhook}", webhooks::edit),
    delete("/webhooks/{webhook}", webhooks::delete),
    get("/channels/{channel}/webhooks", webhooks::of_channel),
    post("/channels/{channel}/webhooks", webhooks::create),
    get("/guilds/{guild}/webhooks", webhooks::of_guild),

    get("/channels/{channel}", channels::one),
    patch("/channels/{channel}", channels::edit),
    delete("/channels/{channel}", channels::delete),
    get("/channels/{channel}/messages", messages::list),
    post("/channels/{channel}/messages", messages::create).limited(MESSAGE),
    post("/channels/{channel}/messages/bulk-delete", messages::delete_many),
    get("/channels/{channel}/messages/pins", pins::pin_items),
    put("/channels/{channel}/messages/pins/{message}", pins::pin),
    delete("/channels/{channel}/messages/pins/{message}", pins::unpin),
    get("/channels/{channel}/messages/{message}", messages::one),
    patch("/channels/{channel}/messages/{message}", messages::edit).limited(MESSAGE),
    delete("/channels/{channel}/messages/{message}", messages::delete).limited(MESSAGE),
    post("/channels/{channel}/messages/{message}/crosspost", messages::crosspost),
    put("/channels/{channel}/messages/{message}/reactions/{emoji}/{user}", reactions::react).limited(REACTION),
    delete("/channels/{channel}/messages/{message}/reactions/{emoji}/{user}", reactions::unreact).limited(REACTION),
    get("/channels/{channel}/messages/{message}/reactions/{emoji}", reactions::reactors),
    delete("/channels/{channel}/messages/{message}/reactions/{emoji}", reactions::clear_emoji).limited(REACTION),
    delete("/channels/{channel}/messages/{message}/reactions", reactions::clear_reactions).limited(REACTION),
    post("/channels/{channel}/polls/{message}/expire", messages::expire_poll),
    get("/channels/{channel}/polls/{message}/answers/{answer}", messages::voters),
    get("/channels/{channel}/pins", pins::pins),
    put("/channels/{channel}/pins/{message}", pins::pin),
    delete("/channels/{channel}/pins/{message}", pins::unpin),
    post("/channels/{channel}/typing", messages::type_in),
    put("/channels/{channel}/permissions/{overwrite}", channels::set_overwrite),
    delete("/channels/{channel}/permissions/{overwrite}", channels::delete_overwrite),
    put("/channels/{channel}/voice-status", channels::set_voice_status),
    post("/channels/{channel}/send-soundboard-sound", channels::send_sound),
    put("/channels/{channel}/recipients/{user}", channels::recipient),
    delete("/channels/{channel}/recipients/{user}", channels::recipient),
    get("/channels/{channel}/invites", invites::invites_of_channel),
    post("/channels/{channel}/invites", invites::create_invite),
    post("/channels/{channel}/followers", channels::follow),
    post("/channels/{channel}/messages/{message}/threads", threads::start),
    post("/channels/{channel}/threads", threads::start),
    get("/channels/{channel}/threads/archived/public", threads::archived),
    get("/channels/{channel}/threads/archived/private", threads::archived),
    get("/channels/{channel}/users/@me/threads/archived/private", threads::archived),
    get("/channels/{channel}/thread-members", threads::members),
    get("/channels/{channel}/thread-members/{user}", threads::member),
    put("/channels/{channel}/thread-members/{user}", threads::join),
    delete("/channels/{channel}/thread-members/{user}", threads::leave),
    get("/invites/{code}", invites::invite),
    delete("/invites/{code}", invites::delete_invite),
    get("/invites/{code}/target-users", invites::targets),
    put("/invites/{code}/target-users", invites::set_targets),
    get("/invites/{code}/target-users/job-status", invites::targets_job),

    get("/guilds/templates/{code}", community::template),
    get("/guilds/{guild}", guilds::one),
    patch("/guilds/{guild}", guilds::edit),
    get("/guilds/{guild}/preview", guilds::preview),
    get("/guilds/{guild}/messages/search", messages::search),
    get("/guilds/{guild}/widget", community::widget_settings),
    patch("/guilds/{guild}/widget", community::edit_widget_settings),
    get("/guilds/{guild}/widget.json", community::widget).open(),
    get("/guilds/{guild}/widget.png", community::widget_image).open(),
    get("/guilds/{guild}/welcome-screen", community::welcome_screen),
    patch("/guilds/{guild}/welcome-screen", community::edit_welcome_screen),
    get("/guilds/{guild}/onboarding", community::onboarding),
    put("/guilds/{guild}/onboarding", community::edit_onboarding),
    put("/guilds/{guild}/incident-actions", community::set_incidents),
    get("/guilds/{guild}/channels", channels::of_guild),
    post("/guilds/{guild}/channels", channels::create),
    patch("/guilds/{guild}/channels", channels::reorder),
    get("/guilds/{guild}/threads/active", threads::active),
    get("/guilds/{guild}/members", members::list),
    get("/guilds/{guild}/members/search", members::search),
    patch("/guilds/{guild}/members/@me/nick", members::edit_nick),
    patch("/guilds/{guild}/members/{user}", members::edit),
    get("/guilds/{guild}/members/{user}", members::one),
    put("/guilds/{guild}/members/{user}", members::add),
    delete("/guilds/{guild}/members/{user}", members::kick),
    put("/guilds/{guild}/members/{user}/roles/{role}", members::add_role),
    delete("/guilds/{guild}/members/{user}/roles/{role}", members::remove_role),
    get("/guilds/{guild}/bans", bans::list),
    get("/guilds/{guild}/bans/{user}", bans::one),
    put("/guilds/{guild}/bans/{user}", bans::ban),
    delete("/guilds/{guild}/bans/{user}", bans::unban),
    post("/guilds/{guild}/bulk-ban", bans::ban_many),
    get("/guilds/{guild}/prune", members::prune),
    post("/guilds/{guild}/prune", members::prune),
    get("/guilds/{guild}/voice-states/{user}", members::voice_state),
    patch("/guilds/{guild}/voice-states/{user}", members::edit_voice_state),
    get("/guilds/{guild}/roles", roles::list),
    post("/guilds/{guild}/roles", roles::create),
    patch("/guilds/{guild}/roles", roles::reorder),
    get("/guilds/{guild}/roles/member-counts", roles::member_counts),
    get("/guilds/{guild}/roles/{role}", roles::one),
    patch("/guilds/{guild}/roles/{role}", roles::edit),
    delete("/guilds/{guild}/roles/{role}", roles::delete),
    get("/guilds/{guild}/emojis", expressions::emojis),
    post("/guilds/{guild}/emojis", expressions::create_emoji),
    get("/guilds/{guild}/emojis/{emoji}", expressions::emoji),
    patch("/guilds/{guild}/emojis/{emoji}", expressions::edit_emoji),
    delete("/guilds/{guild}/emojis/{emoji}", expressions::delete_emoji),
    get("/guilds/{guild}/stickers", expressions::stickers),
    post("/guilds/{guild}/stickers", expressions::create_sticker),
    get("/guilds/{guild}/stickers/{sticker}", expressions::sticker),
    patch("/guilds/{guild}/stickers/{sticker}", expressions::edit_sticker),
    delete("/guilds/{guild}/stickers/{sticker}", expressions::delete_sticker),
    get("/stickers/{sticker}", expressions::any_sticker),
    get("/sticker-packs", expressions::packs),
    get("/sticker-packs/{pack}", expressions::pack),
    get("/guilds/{guild}/soundboard-sounds", expressions::sounds),
    post("/guilds/{guild}/soundboard-sounds", expressions::create_sound),
    get("/guilds/{guild}/soundboard-sounds/{sound}", expressions::sound),
    patch("/guilds/{guild}/soundboard-sounds/{sound}", expressions::edit_sound),
    delete("/guilds/{guild}/soundboard-sounds/{sound}", expressions::delete_sound),
    get("/soundboard-default-sounds", guilds::nothing_listed),
    get("/guilds/{guild}/scheduled-events", scheduled::events),
    post("/guilds/{guild}/scheduled-events", scheduled::create_event),
    get("/guilds/{guild}/scheduled-events/{event}", scheduled::event),
    patch("/guilds/{guild}/scheduled-events/{event}", scheduled::edit_event),
    delete("/guilds/{guild}/scheduled-events/{event}", scheduled::delete_event),
    get("/guilds/{guild}/scheduled-events/{event}/users", scheduled::event_users),
    post("/stage-instances", scheduled::create_stage),
    get("/stage-instances/{channel}", scheduled::stage),
    patch("/stage-instances/{channel}", scheduled::edit_stage),
    delete("/stage-instances/{channel}", scheduled::delete_stage),
    get("/guilds/{guild}/auto-moderation/rules", auto_moderation::rules),
    post("/guilds/{guild}/auto-moderation/rules", auto_moderation::create_rule),
    get("/guilds/{guild}/auto-moderation/rules/{rule}", auto_moderation::rule),
    patch("/guilds/{guild}/auto-moderation/rules/{rule}", auto_moderation::edit_rule),
    delete("/guilds/{guild}/auto-moderation/rules/{rule}", auto_moderation::delete_rule),
    get("/guilds/{guild}/audit-logs", guilds::audit_log),
    get("/guilds/{guild}/invites", invites::invites_of_guild),
    get("/guilds/{guild}/integrations", guilds::nothing_listed),
    delete("/guilds/{guild}/integrations/{integration}", guilds::delete_integration),
    get("/guilds/{guild}/templates", community::templates),
    post("/guilds/{guild}/templates", community::create_template),
    put("/guilds/{guild}/templates/{code}", community::edit_template),
    patch("/guilds/{guild}/templates/{code}", community::edit_template),
    delete("/guilds/{guild}/templates/{code}", community::delete_template),
    get("/guilds/{guild}/vanity-url", guilds::vanity),
    get("/guilds/{guild}/regions", guilds::voice_regions),
    get("/voice/regions", guilds::voice_regions),

    post("/lobbies", lobbies::create),
    put("/lobbies", lobbies::join),
    get("/lobbies/{lobby}", lobbies::one),
    patch("/lobbies/{lobby}", lobbies::edit),
    delete("/lobbies/{lobby}", lobbies::delete),
    post("/lobbies/{lobby}/members/bulk", lobbies::change_members),
    put("/lobbies/{lobby}/members/{user}", lobbies::add_member),
    delete("/lobbies/{lobby}/members/{user}", lobbies::remove_member),
    post("/lobbies/{lobby}/members/{user}/invites", lobbies::invite),
    patch("/lobbies/{lobby}/channel-linking", lobbies::link),
    post("/lobbies/{lobby}/messages", lobbies::write),
    get("/lobbies/{lobby}/messages", lobbies::messages),
    put("/lobbies/{lobby}/messages/{message}/moderation-metadata", lobbies::moderate),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let found = find(&Method::GET, "/users/@me").ok().unwrap();
        assert_eq!(found.route.path, "/users/@me");
        let found = find(
            &Method::PUT,
            "/channels/1/messages/2/reactions/%F0%9F%91%8D/@me",
        )
        .ok()
        .unwrap();
        assert_eq!(found.params[2], ("emoji", "👍".to_owned()));
        assert_eq!(
            find(&Method::GET, "/guilds/1/none").err(),
            Some(Missing::Path)
        );
        assert_eq!(
            find(&Method::DELETE, "/gateway").err(),
            Some(Missing::Method)
        );
    }

    #[test]
    fn no_route_hides_another() {
        for (place, route) in ROUTES.iter().enumerate() {
            let path = route.path.replace(['{', '}'], "x");
            let found = find(&route.method, &path).ok().unwrap();
            assert!(std::ptr::eq(found.route, &ROUTES[place]), "{}", route.path);
        }
    }

    #[test]
    fn what_is_not_encoded_stays() {
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("a%3A1"), "a:1");
    }
}
