//! What twilight has in its cache, by the keys and in the words of Discord.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use twilight_cache_inmemory::DefaultInMemoryCache;

pub(crate) fn dump(cache: &DefaultInMemoryCache) -> Value {
    let mut dump = Map::new();
    let mut add = |key: String, value: Value| drop(dump.insert(key, value));
    for guild in cache.iter().guilds() {
        let at = guild.id();
        let mut object = object(guild.value());
        // They are kept apart.
        remove(&mut object, &["guild_scheduled_events"]);
        add(format!("guild:{at}"), object);
        for event in cache.scheduled_events(at).iter().flat_map(|ids| ids.iter()) {
            if let Some(event) = cache.scheduled_event(*event) {
                let key = format!("scheduled_event:{at}:{}", event.resource().id);
                add(key, self::object(event.resource()));
            }
        }
    }
    for channel in cache.iter().channels() {
        let key = match channel.guild_id {
            Some(guild) => format!("channel:{guild}:{}", channel.id),
            None => format!("channel:{}", channel.id),
        };
        add(key, object(channel.value()));
    }
    for role in cache.iter().roles() {
        let key = format!("role:{}:{}", role.guild_id(), role.resource().id);
        add(key, object(role.resource()));
    }
    for emoji in cache.iter().emojis() {
        let key = format!("emoji:{}:{}", emoji.guild_id(), emoji.resource().id());
        let mut object = object(emoji.resource());
        nest_id(&mut object, "user_id", "user");
        add(key, object);
    }
    for sticker in cache.iter().stickers() {
        let key = format!("sticker:{}:{}", sticker.guild_id(), sticker.resource().id());
        let mut object = object(sticker.resource());
        rename(&mut object, "kind", "type");
        nest_id(&mut object, "user_id", "user");
        add(key, object);
    }
    for stage in cache.iter().stage_instances() {
        let key = format!("stage:{}:{}", stage.guild_id(), stage.resource().id);
        add(key, object(stage.resource()));
    }
    for member in cache.iter().members() {
        let (guild, user) = member.key();
        let mut object = object(member.value());
        nest_id(&mut object, "user_id", "user");
        add(format!("member:{guild}:{user}"), object);
    }
    for user in cache.iter().users() {
        add(format!("user:{}", user.key()), object(user.value()));
    }
    if let Some(user) = cache.current_user() {
        add("bot_user".to_owned(), object(&user));
    }
    for presence in cache.iter().presences() {
        let (guild, user) = presence.key();
        let mut object = object(presence.value());
        nest_id(&mut object, "user_id", "user");
        add(format!("presence:{guild}:{user}"), object);
    }
    for voice in cache.iter().voice_states() {
        let (guild, user) = voice.key();
        add(format!("voice:{guild}:{user}"), object(voice.value()));
    }
    for message in cache.iter().messages() {
        let mut object = object(message.value());
        rename(&mut object, "kind", "type");
        rename(&mut object, "reference", "message_reference");
        let author = json!({"id": object["author"]});
        object["author"] = author;
        nest_id(&mut object, "thread_id", "thread");
        let mentions = message.mentions().iter();
        object["mentions"] = mentions.map(|id| json!({"id": id})).collect();
        if let Some(interaction) = message.interaction() {
            let user = interaction.user_id();
            object["interaction"] = json!({
                "id": interaction.id(),
                "type": interaction.kind(),
                "name": interaction.name(),
                "user": {"id": user},
            });
        }
        let key = format!("message:{}:{}", message.channel_id(), message.id());
        add(key, object);
    }
    fill(&mut dump);
    Value::Object(dump)
}

/// The library leaves out what is null or empty. Each object then has what any of its kind has.
fn fill(dump: &mut Map<String, Value>) {
    let family = |key: &str| key.split(':').next().unwrap_or_default().to_owned();
    let mut places = BTreeMap::new();
    for (key, object) in dump.iter() {
        gather(&family(key), object, &mut places);
    }
    for (key, object) in dump.iter_mut() {
        complete(&family(key), object, &places);
    }
}

/// The fields of each place in the objects.
type Places = BTreeMap<String, BTreeSet<String>>;

fn gather(place: &str, value: &Value, places: &mut Places) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let known = places.entry(place.to_owned()).or_default();
                known.insert(name.clone());
                gather(&format!("{place}.{name}"), value, places);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                gather(place, element, places);
            }
        }
        _ => {}
    }
}

fn complete(place: &str, value: &mut Value, places: &Places) {
    match value {
        Value::Object(fields) => {
            for name in places.get(place).into_iter().flatten() {
                let value = fields.entry(name.clone()).or_insert(Value::Null);
                complete(&format!("{place}.{name}"), value, places);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                complete(place, element, places);
            }
        }
        _ => {}
    }
}

fn object(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn remove(object: &mut Value, names: &[&str]) {
    for name in names {
        object.as_object_mut().unwrap().shift_remove(*name);
    }
}

fn rename(object: &mut Value, from: &str, to: &str) {
    let object = object.as_object_mut().unwrap();
    if let Some(value) = object.shift_remove(from) {
        object.insert(to.to_owned(), value);
    }
}

/// An id where Discord has an object.
fn nest_id(object: &mut Value, from: &str, to: &str) {
    let fields = object.as_object_mut().unwrap();
    if let Some(id) = fields.shift_remove(from).filter(|id| !id.is_null()) {
        fields.insert(to.to_owned(), json!({"id": id}));
    }
}
