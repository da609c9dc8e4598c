//! Application commands, global and of guilds.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Family, Fields, id};

/// Most chat input commands of one place.
const MOST: usize = 100;

/// The value of a field that is not named.
type Default = fn() -> Value;

/// What a command has that says nothing about it, in Discord's order.
const DEFAULTS: [(&str, Default); 10] = [
    ("name_localizations", || Value::Null),
    ("description", || json!("")),
    ("description_localizations", || Value::Null),
    ("default_member_permissions", || Value::Null),
    ("type", || json!(1)),
    ("nsfw", || json!(false)),
    ("dm_permission", || json!(true)),
    ("contexts", || Value::Null),
    ("integration_types", || json!([0])),
    ("options", || json!([])),
];

/// 0 for global commands, else the guild.
fn owner(call: &mut Call) -> Result<u64, Refusal> {
    if call.text("application").parse() != Ok(call.bot()) {
        return Err(Refusal::bad(
            20_012,
            "You are not authorized to perform this action on this application",
        ));
    }
    if call.text("guild").is_empty() {
        Ok(0)
    } else {
        Ok(call.guild()?.id)
    }
}

fn checked(place: &str, body: &Fields) -> Result<(), Refusal> {
    let field = |name: &str| format!("{place}{name}");
    let kind = body.get("type").and_then(Value::as_u64).unwrap_or(1);
    let name = body.get("name").filter(|name| !name.is_null());
    let name = name.ok_or_else(|| Refusal::required(&field("name")))?;
    let name = name.as_str().unwrap_or_default();
    let chars_are_right =
        |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '\'' || !c.is_ascii();
    let is_right = (1..=32).contains(&name.chars().count())
        && (kind != 1 || name.chars().all(chars_are_right) && name.to_lowercase() == name);
    if !is_right {
        let message = "Command name is invalid";
        return Err(Refusal::form(
            &field("name"),
            "APPLICATION_COMMAND_INVALID_NAME",
            message,
        ));
    }
    let description = body
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if kind == 1 && description.is_empty() {
        return Err(Refusal::required(&field("description")));
    }
    if description.chars().count() > 100 {
        let message = "Must be between 1 and 100 in length.";
        return Err(Refusal::form(
            &field("description"),
            "BASE_TYPE_BAD_LENGTH",
            message,
        ));
    }
    Ok(())
}

/// A command as it is answered.
fn made(call: &mut Call, owner: u64, body: &Fields, before: Option<&Value>) -> Value {
    let (application, fresh) = (call.bot(), call.world().next_id());
    let known = before.and_then(|before| before.get("id").cloned());
    let mut command = json!({
        "id": known.unwrap_or_else(|| id(fresh)),
        "application_id": id(application),
        "version": id(fresh),
    });
    if owner != 0 {
        command["guild_id"] = id(owner);
    }
    command["name"] = body.get("name").cloned().unwrap_or_default();
    for (name, default) in DEFAULTS {
        if owner != 0 && matches!(name, "dm_permission" | "contexts" | "integration_types") {
            continue;
        }
        // Null is as good as nothing: some libraries write every field.
        command[name] = match body.get(name).or_else(|| before?.get(name)) {
            None | Some(Value::Null) => default(),
            Some(value) => value.clone(),
        };
    }
    command
}

pub(super) fn list(call: &mut Call) -> Answer {
    let owner = owner(call)?;
    let mut all = call.world().documents.list(Family::Command, owner).to_vec();
    if !call.flag("with_localizations") {
        for command in &mut all {
            if let Some(fields) = command.as_object_mut() {
                fields.shift_remove("name_localizations");
                fields.shift_remove("description_localizations");
            }
        }
    }
    json(all)
}

/// The command of the path.
fn named(call: &mut Call) -> Result<(u64, Value), Refusal> {
    let (owner, command) = (owner(call)?, call.id("command")?);
    let known = call
        .world()
        .documents
        .find(Family::Command, owner, command)
        .cloned();
    let known = known.ok_or_else(|| Refusal::unknown(Unknown::ApplicationCommand))?;
    Ok((owner, known))
}

pub(super) fn one(call: &mut Call) -> Answer {
    let (_, command) = named(call)?;
    json(command)
}

/// Makes a command; one of the same name and type is replaced.
pub(super) fn create(call: &mut Call) -> Answer {
    let (owner, body) = (owner(call)?, call.fields()?.clone());
    checked("", &body)?;
    let all = call.world().documents.list(Family::Command, owner);
    let before = same(all, &body).cloned();
    if before.is_none() && all.len() >= MOST {
        return Err(Refusal::bad(
            30_032,
            "Maximum number of application commands reached (100)",
        ));
    }
    let command = made(call, owner, &body, before.as_ref());
    call.world()
        .documents
        .put(Family::Command, owner, "id", command.clone());
    match before {
        Some(_) => json(command),
        None => Ok(Reply::Created(command)),
    }
}

fn same<'a>(all: &'a [Value], body: &Fields) -> Option<&'a Value> {
    let kind = |command: Option<&Value>| command.and_then(Value::as_u64).unwrap_or(1);
    all.iter().find(|known| {
        Some(&known["name"]) == body.get("name")
            && kind(known.get("type")) == kind(body.get("type"))
    })
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let (owner, before) = named(call)?;
    let mut body = before.as_object().cloned().unwrap_or_default();
    body.extend(call.fields()?.clone());
    checked("", &body)?;
    let command = made(call, owner, &body, Some(&before));
    call.world()
        .documents
        .put(Family::Command, owner, "id", command.clone());
    json(command)
}

pub(super) fn delete(call: &mut Call) -> Answer {
    let (owner, command) = named(call)?;
    let is_it = |known: &Value| known["id"] == command["id"];
    call.world().documents.remove(Family::Command, owner, is_it);
    Ok(Reply::Empty)
}

/// Replaces all commands.
pub(super) fn replace(call: &mut Call) -> Answer {
    let owner = owner(call)?;
    let invalid = || Refusal::bad(50_109, "The request body contains invalid JSON.");
    let bodies = call.body.json.as_array().cloned().ok_or_else(invalid)?;
    if bodies.len() > MOST {
        return Err(Refusal::bad(
            30_032,
            "Maximum number of application commands reached (100)",
        ));
    }
    let before = call.world().documents.list(Family::Command, owner).to_vec();
    let mut all = Vec::new();
    for (place, body) in bodies.iter().enumerate() {
        let body = body.as_object().ok_or_else(invalid)?;
        checked(&format!("{place}."), body)?;
        let known = same(&before, body);
        if same(&all, body).is_some() {
            let message = "Application command names must be unique";
            let code = "APPLICATION_COMMANDS_DUPLICATE_NAME";
            return Err(Refusal::form(&format!("{place}.name"), code, message));
        }
        all.push(made(call, owner, body, known));
    }
    call.world()
        .documents
        .replace(Family::Command, owner, all.clone());
    json(all)
}

pub(super) fn all_permissions(call: &mut Call) -> Answer {
    let owner = owner(call)?;
    json(
        call.world()
            .documents
            .list(Family::CommandPermissions, owner),
    )
}

pub(super) fn permissions(call: &mut Call) -> Answer {
    let (owner, command) = (owner(call)?, call.id("command")?);
    let known = call
        .world()
        .documents
        .find(Family::CommandPermissions, owner, command);
    json(known.ok_or_else(|| Refusal::unknown(Unknown::CommandPermissions))?)
}

pub(super) fn set_permissions(call: &mut Call) -> Answer {
    let (owner, command, application) = (owner(call)?, call.id("command")?, call.bot());
    let permissions = call
        .fields()?
        .get("permissions")
        .cloned()
        .unwrap_or_else(|| json!([]));
    let d = json!({
        "id": id(command),
        "application_id": id(application),
        "guild_id": id(owner),
        "permissions": permissions,
    });
    call.world()
        .documents
        .put(Family::CommandPermissions, owner, "id", d.clone());
    call.tell(Some(owner), "APPLICATION_COMMAND_PERMISSIONS_UPDATE", 0, &d);
    json(d)
}

/// Discord has switched it off.
pub(super) fn set_all_permissions(call: &mut Call) -> Answer {
    owner(call)?;
    let message = "This endpoint has been disabled";
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, 0, message))
}
