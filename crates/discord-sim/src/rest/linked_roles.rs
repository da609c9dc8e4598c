//! Role connections: what an application says of its users to the roles that ask for it.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::Refusal,
};
use crate::world::Family;

pub(super) fn metadata(call: &mut Call) -> Answer {
    json(
        call.world()
            .documents
            .list(Family::RoleConnectionMetadata, 0),
    )
}

pub(super) fn set_metadata(call: &mut Call) -> Answer {
    let invalid = || Refusal::bad(50_109, "The request body contains invalid JSON.");
    let all = call.body.json.as_array().cloned().ok_or_else(invalid)?;
    if all.len() > 5 {
        return Err(Refusal::bad(50_035, "Invalid Form Body"));
    }
    for (place, record) in all.iter().enumerate() {
        let lacks = |name: &&&str| record[**name].is_null();
        if let Some(name) = ["type", "key", "name", "description"].iter().find(lacks) {
            return Err(Refusal::required(&format!("{place}.{name}")));
        }
    }
    let documents = &mut call.world().documents;
    documents.replace(Family::RoleConnectionMetadata, 0, all.clone());
    json(all)
}

pub(super) fn connection(call: &mut Call) -> Answer {
    let known = call
        .world()
        .documents
        .list(Family::RoleConnection, 0)
        .first()
        .cloned();
    json(known.unwrap_or_else(
        || json!({"platform_name": null, "platform_username": null, "metadata": {}}),
    ))
}

pub(super) fn set_connection(call: &mut Call) -> Answer {
    let body = call.fields()?;
    let field = |name: &str| body.get(name).cloned().unwrap_or_default();
    let connection = json!({
        "platform_name": field("platform_name"), "platform_username": field("platform_username"),
        "metadata": body.get("metadata").cloned().unwrap_or_else(|| json!({})),
    });
    let documents = &mut call.world().documents;
    documents.replace(Family::RoleConnection, 0, vec![connection.clone()]);
    json(connection)
}

pub(super) fn delete_connection(call: &mut Call) -> Answer {
    let documents = &mut call.world().documents;
    documents.remove(Family::RoleConnection, 0, |_: &Value| true);
    Ok(Reply::Empty)
}
