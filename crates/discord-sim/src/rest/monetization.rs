//! Entitlements, and what there is to buy.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Family, id, snowflake_of};

/// The entitlements that the query asks for, oldest first.
pub(super) fn entitlements(call: &mut Call) -> Answer {
    let limit = call.limit(100, 100)?;
    let (before, after) = (
        call.query_id("before").unwrap_or(u64::MAX),
        call.query_id("after").unwrap_or(0),
    );
    let wanted = ["user_id", "guild_id"].map(|name| (name, call.query(name).map(str::to_owned)));
    let skus = call
        .query("sku_ids")
        .map(|skus| skus.split(',').map(str::to_owned).collect());
    let skus: Option<Vec<String>> = skus;
    let fits = |entitlement: &&Value| {
        let own = snowflake_of(&entitlement["id"]).unwrap_or_default();
        after < own
            && own < before
            && wanted.iter().all(|(name, value)| {
                value
                    .as_ref()
                    .is_none_or(|value| entitlement[*name] == value.as_str())
            })
            && skus
                .as_ref()
                .is_none_or(|skus| skus.iter().any(|sku| entitlement["sku_id"] == sku.as_str()))
    };
    let all = call.world().documents.list(Family::Entitlement, 0);
    json(all.iter().filter(fits).take(limit).collect::<Vec<_>>())
}

fn named(call: &mut Call) -> Result<Value, Refusal> {
    let entitlement = call.id("entitlement")?;
    let known = call
        .world()
        .documents
        .find(Family::Entitlement, 0, entitlement);
    known
        .cloned()
        .ok_or_else(|| Refusal::unknown(Unknown::Entitlement))
}

pub(super) fn entitlement(call: &mut Call) -> Answer {
    json(named(call)?)
}

/// A test entitlement: it never ends.
pub(super) fn create_entitlement(call: &mut Call) -> Answer {
    let body = call.fields()?.clone();
    let field = |name: &str| body.get(name).and_then(snowflake_of);
    let sku = field("sku_id").ok_or_else(|| Refusal::required("sku_id"))?;
    let owner = field("owner_id").ok_or_else(|| Refusal::required("owner_id"))?;
    let of = match body.get("owner_type").and_then(Value::as_u64) {
        Some(1) => "guild_id",
        Some(2) => "user_id",
        None => return Err(Refusal::required("owner_type")),
        Some(other) => {
            let message = format!("Value must be one of {{1, 2}}, not {other}.");
            return Err(Refusal::form("owner_type", "BASE_TYPE_CHOICES", &message));
        }
    };
    let (fresh, application) = (call.world().next_id(), call.bot());
    let mut entitlement = json!({
        "id": id(fresh), "sku_id": id(sku), "application_id": id(application), "type": 4, "deleted": false,
        "gift_code_flags": 0, "promotion_id": null, "consumed": false,
    });
    entitlement[of] = id(owner);
    let documents = &mut call.world().documents;
    documents.put(Family::Entitlement, 0, "id", entitlement.clone());
    let mut told = entitlement.clone();
    (told["starts_at"], told["ends_at"]) = (Value::Null, Value::Null);
    call.tell(None, "ENTITLEMENT_CREATE", 0, &told);
    json(entitlement)
}

pub(super) fn consume(call: &mut Call) -> Answer {
    let mut entitlement = named(call)?;
    entitlement["consumed"] = json!(true);
    let documents = &mut call.world().documents;
    documents.put(Family::Entitlement, 0, "id", entitlement.clone());
    call.tell(None, "ENTITLEMENT_UPDATE", 0, &entitlement);
    Ok(Reply::Empty)
}

pub(super) fn delete_entitlement(call: &mut Call) -> Answer {
    let mut entitlement = named(call)?;
    let is_it = |known: &Value| known["id"] == entitlement["id"];
    call.world().documents.remove(Family::Entitlement, 0, is_it);
    entitlement["deleted"] = json!(true);
    call.tell(None, "ENTITLEMENT_DELETE", 0, &entitlement);
    Ok(Reply::Empty)
}

/// Nobody has subscribed to anything.
pub(super) fn subscription(_: &mut Call) -> Answer {
    Err(Refusal::not_found())
}
