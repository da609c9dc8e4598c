//! Roles of a guild.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Member, Planned, Role, id, intents, snowflake_of};

/// What a request may set of a role.
const SETTABLE: [&str; 7] = [
    "name",
    "permissions",
    "hoist",
    "mentionable",
    "icon",
    "unicode_emoji",
    "position",
];

pub(super) fn list(call: &mut Call) -> Answer {
    json(
        call.guild()?
            .roles
            .values()
            .map(Role::json)
            .collect::<Vec<_>>(),
    )
}

pub(super) fn one(call: &mut Call) -> Answer {
    let role = call.id("role")?;
    let known = call.guild()?.roles.get(role).map(Role::json);
    json(known.ok_or_else(|| Refusal::unknown(Unknown::Role))?)
}

pub(super) fn create(call: &mut Call) -> Answer {
    let (mut body, role_id) = (
        call.body.json.as_object().cloned().unwrap_or_default(),
        call.world().next_id(),
    );
    let guild = call.guild()?;
    for (name, value) in [
        ("name", json!("new role")),
        ("hoist", json!(false)),
        ("mentionable", json!(false)),
    ] {
        body.entry(name).or_insert(value);
    }
    let mut role = Role {
        id: role_id,
        position: guild.roles.len() as u16,
        ..Role::default()
    };
    set(&mut role, body);
    let (at, object) = (guild.id, role.json());
    guild.roles.insert(role_id, role);
    let d = json!({"role": object, "guild_id": id(at)});
    call.tell(Some(at), "GUILD_ROLE_CREATE", intents::GUILDS, &d);
    json(object)
}

fn set(role: &mut Role, mut body: serde_json::Map<String, Value>) {
    if let Some(colour) = body.get("color").and_then(Value::as_u64) {
        let colours =
            json!({"primary_color": colour, "secondary_color": null, "tertiary_color": null});
        body.insert("colors".to_owned(), colours);
    } else if let Some(colour) = body
        .get("colors")
        .map(|colours| colours["primary_color"].clone())
    {
        body.insert("color".to_owned(), colour);
    }
    if let Some(permissions) = body.get("permissions").and_then(Value::as_u64) {
        body.insert("permissions".to_owned(), json!(permissions.to_string()));
    }
    role.set.set(&body, &SETTABLE);
    role.set.set(&body, &["color", "colors"]);
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let (role, body) = (call.id("role")?, call.fields()?.clone());
    let guild = call.guild()?;
    let at = guild.id;
    let Some(known) = guild.roles.get_mut(role) else {
        return Err(Refusal::unknown(Unknown::Role));
    };
    set(known, body);
    let object = known.json();
    let d = json!({"role": object, "guild_id": id(at)});
    call.tell(Some(at), "GUILD_ROLE_UPDATE", intents::GUILDS, &d);
    json(object)
}

pub(super) fn reorder(call: &mut Call) -> Answer {
    let at = call.guild()?.id;
    for entry in call.body.json.as_array().cloned().unwrap_or_default() {
        let (Some(role), Some(fields)) = (snowflake_of(&entry["id"]), entry.as_object()) else {
            continue;
        };
        let Some(known) = call.guild()?.roles.get_mut(role) else {
            continue;
        };
        known.set.set(fields, &["position"]);
        let d = json!({"role": known.json(), "guild_id": id(at)});
        call.tell(Some(at), "GUILD_ROLE_UPDATE", intents::GUILDS, &d);
    }
    list(call)
}

pub(super) fn delete(call: &mut Call) -> Answer {
    let role = call.id("role")?;
    let guild = call.guild()?;
    let at = guild.id;
    let known = guild
        .roles
        .get(role)
        .ok_or_else(|| Refusal::unknown(Unknown::Role))?;
    if known.everyone || known.bot.is_some() {
        return Err(Refusal::bad(50_028, "Invalid role"));
    }
    guild.roles.remove(role);
    let holders = guild
        .members
        .iter()
        .filter(|(_, member)| member.roles.contains(&role));
    let holders: Vec<u64> = holders.map(|(user, _)| user).collect();
    let d = json!({"role_id": id(role), "guild_id": id(at)});
    call.tell(Some(at), "GUILD_ROLE_DELETE", intents::GUILDS, &d);
    let shown = holders
        .into_iter()
        .map(|user| Planned::ShowRoles { guild: at, user });
    call.world().agenda.extend(shown);
    call.tell_consequences();
    Ok(Reply::Empty)
}

/// How many members have each role.
pub(super) fn member_counts(call: &mut Call) -> Answer {
    let guild = call.guild()?;
    let count = |role: &Role| {
        let has = |member: &&Member| member.roles.contains(&role.id);
        json!(guild.members.values().filter(has).count())
    };
    let roles = guild.roles.values().filter(|role| !role.everyone);
    let counts = roles.map(|role| (role.id.to_string(), count(role)));
    json(Value::Object(counts.collect()))
}
