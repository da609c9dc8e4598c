//! Random events over few ids, so that they meet.

use serde_json::{Map, Value, json};

use super::writer::{Dispatch, SHARDS};

/// Every name with a rule, some without, and one that does not exist.
pub(crate) const NAMES: [&str; 56] = [
    "READY",
    "RESUMED",
    "USER_UPDATE",
    "GUILD_CREATE",
    "GUILD_UPDATE",
    "GUILD_DELETE",
    "CHANNEL_CREATE",
    "CHANNEL_UPDATE",
    "CHANNEL_DELETE",
    "CHANNEL_PINS_UPDATE",
    "CHANNEL_INFO",
    "VOICE_CHANNEL_STATUS_UPDATE",
    "VOICE_CHANNEL_START_TIME_UPDATE",
    "THREAD_CREATE",
    "THREAD_UPDATE",
    "THREAD_DELETE",
    "THREAD_LIST_SYNC",
    "THREAD_MEMBER_UPDATE",
    "THREAD_MEMBERS_UPDATE",
    "GUILD_MEMBER_ADD",
    "GUILD_MEMBER_UPDATE",
    "GUILD_MEMBER_REMOVE",
    "GUILD_MEMBERS_CHUNK",
    "PRESENCE_UPDATE",
    "VOICE_STATE_UPDATE",
    "MESSAGE_CREATE",
    "MESSAGE_UPDATE",
    "MESSAGE_DELETE",
    "MESSAGE_DELETE_BULK",
    "MESSAGE_REACTION_ADD",
    "MESSAGE_REACTION_REMOVE",
    "MESSAGE_REACTION_REMOVE_ALL",
    "MESSAGE_REACTION_REMOVE_EMOJI",
    "MESSAGE_POLL_VOTE_ADD",
    "MESSAGE_POLL_VOTE_REMOVE",
    "GUILD_ROLE_CREATE",
    "GUILD_ROLE_UPDATE",
    "GUILD_ROLE_DELETE",
    "GUILD_EMOJIS_UPDATE",
    "GUILD_STICKERS_UPDATE",
    "GUILD_SOUNDBOARD_SOUNDS_UPDATE",
    "SOUNDBOARD_SOUNDS",
    "GUILD_SOUNDBOARD_SOUND_CREATE",
    "GUILD_SOUNDBOARD_SOUND_UPDATE",
    "GUILD_SOUNDBOARD_SOUND_DELETE",
    "STAGE_INSTANCE_CREATE",
    "STAGE_INSTANCE_UPDATE",
    "STAGE_INSTANCE_DELETE",
    "GUILD_SCHEDULED_EVENT_CREATE",
    "GUILD_SCHEDULED_EVENT_UPDATE",
    "GUILD_SCHEDULED_EVENT_DELETE",
    "GUILD_SCHEDULED_EVENT_USER_ADD",
    "GUILD_SCHEDULED_EVENT_USER_REMOVE",
    "GUILD_BAN_ADD",
    "TYPING_START",
    "INVENTED_TOMORROW",
];

/// Guilds of both shards.
pub(crate) const GUILDS: [u64; 3] = [1 << 22, 2 << 22, 3 << 22];
/// Shards of a session beside those of [`SHARDS`].
const OTHER_TOTAL: u32 = 3;
/// Channels without a guild.
pub(crate) const PRIVATE: [u64; 2] = [5, 6];

/// A stream of events, one for each seed, with sessions and sequences as Discord gives them. Some
/// payloads are spoiled if `spoil` is set.
pub(crate) fn dispatches(seeds: &[u64], spoil: bool) -> Vec<Dispatch> {
    let mut sessions = [0_u32; SHARDS as usize];
    let mut sequences = [0_u64; SHARDS as usize];
    let mut dispatches = Vec::new();
    for seed in seeds {
        let mut dice = Dice(*seed);
        let name = NAMES[dice.below(NAMES.len())];
        let mut d = payload(name, &mut dice);
        if spoil && dice.one_in(6) {
            spoil_field(&mut d, &mut dice);
        }
        let repeated = if spoil && dice.one_in(8) {
            d.keys().nth(dice.below(d.len().max(1))).cloned()
        } else {
            Some("x".to_owned()).filter(|x| d.contains_key(x) && dice.one_in(8))
        };
        let data = repeating(&Value::Object(d).to_string(), repeated.as_deref());
        let shard = dice.below(SHARDS as usize);
        if name == "READY" {
            sessions[shard] += 1;
            sequences[shard] = 0;
        }
        sequences[shard] += 1;
        dispatches.push(Dispatch {
            session: format!("{shard}-{}", sessions[shard]),
            seq: sequences[shard],
            shard: u32::try_from(shard).unwrap(),
            total: if dice.one_in(8) { OTHER_TOTAL } else { SHARDS },
            received_us: dice.below(50) as u64,
            name: name.to_owned(),
            data,
        });
    }
    dispatches
}

/// The text of an object with one of its fields once more at its end, as null: the last one counts.
fn repeating(object: &str, name: Option<&str>) -> String {
    match (object.strip_suffix('}'), name) {
        (Some(open), Some(name)) => format!("{open},{}:null}}", json!(name)),
        _ => object.to_owned(),
    }
}

/// Deletions of everything that can be deleted.
pub(crate) fn farewell() -> Vec<Dispatch> {
    let guild =
        |total| GUILDS.map(|guild| ("GUILD_DELETE", json!({ "id": guild.to_string() }), total));
    let private = |id: u64| ("CHANNEL_DELETE", json!({ "id": id.to_string() }), SHARDS);
    let gone = guild(SHARDS).into_iter().chain(guild(OTHER_TOTAL));
    (1..)
        .zip(gone.chain(PRIVATE.map(private)))
        .map(|(seq, (name, d, total))| Dispatch {
            seq,
            total,
            ..Dispatch::new(name, &d.to_string())
        })
        .collect()
}

/// A small deterministic generator (splitmix64), so that a seed is an event and shrinks as such.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn some(&mut self, mut one: impl FnMut(&mut Self) -> Value) -> Value {
        (0..self.below(4)).map(|_| one(self)).collect()
    }
}

fn payload(name: &str, dice: &mut Dice) -> Map<String, Value> {
    let guild = GUILDS[dice.below(GUILDS.len())];
    let g = guild.to_string();
    let user = json!({ "id": "1", "name": dice.below(3) });
    let value = match name {
        "READY" => json!({
            "user": user,
            "guilds": dice.some(|dice| json!({
                "id": GUILDS[dice.below(GUILDS.len())].to_string(),
                "unavailable": true,
            })),
        }),
        "USER_UPDATE" => user,
        "GUILD_CREATE" | "GUILD_DELETE" if dice.one_in(3) => {
            json!({ "id": g, "unavailable": true })
        }
        "GUILD_DELETE" => json!({ "id": g }),
        "GUILD_CREATE" => {
            let mut d = json!({
                "id": g,
                "name": "a\"b",
                "member_count": dice.below(3),
                "icon": null,
                "channels": dice.some(|dice| channel(guild, dice)),
                "threads": dice.some(|dice| channel(guild, dice)),
                "roles": dice.some(|dice| role(guild, dice)),
                "emojis": dice.some(|dice| plain(guild, dice)),
                "stickers": dice.some(|dice| plain(guild, dice)),
                "members": dice.some(member),
                "presences": dice.some(presence),
                "voice_states": dice.some(|dice| voice(guild, dice)),
                "stage_instances": dice.some(|dice| plain(guild, dice)),
                "guild_scheduled_events": dice.some(|dice| scheduled(guild, dice)),
                "soundboard_sounds": dice.some(|dice| sound(guild, dice)),
            });
            if dice.one_in(3) {
                d["large"] = json!(true);
            }
            if dice.one_in(4) {
                d.as_object_mut().unwrap().shift_remove("member_count");
            }
            if dice.one_in(6) {
                d["unavailable"] = json!(false);
            }
            d
        }
        "GUILD_UPDATE" => json!({ "id": g, "name": dice.below(9), "roles": [] }),
        "CHANNEL_PINS_UPDATE" => {
            let pin = if dice.one_in(2) {
                json!(null)
            } else {
                json!("2026")
            };
            json!({ "guild_id": g, "channel_id": channel_id(guild, dice), "last_pin_timestamp": pin })
        }
        "CHANNEL_INFO" => json!({
            "guild_id": g,
            "channels": dice.some(|dice| json!({ "id": channel_id(guild, dice), "status": null })),
        }),
        "VOICE_CHANNEL_STATUS_UPDATE" => {
            json!({ "guild_id": g, "id": channel_id(guild, dice), "status": dice.below(9) })
        }
        "VOICE_CHANNEL_START_TIME_UPDATE" => {
            json!({ "guild_id": g, "id": channel_id(guild, dice), "voice_start_time": 1.5 })
        }
        "THREAD_LIST_SYNC" => {
            let mut d = json!({ "guild_id": g, "threads": dice.some(|dice| channel(guild, dice)) });
            if dice.one_in(2) {
                d["channel_ids"] = dice.some(|dice| json!(channel_id(guild, dice)));
            }
            if dice.one_in(2) {
                d["members"] = dice.some(
                    |dice| json!({ "id": channel_id(guild, dice), "user_id": "1", "flags": 2 }),
                );
            }
            d
        }
        "THREAD_MEMBER_UPDATE" => {
            json!({ "id": channel_id(guild, dice), "guild_id": g, "flags": 1 })
        }
        "THREAD_MEMBERS_UPDATE" => {
            let mut d = json!({ "id": channel_id(guild, dice), "guild_id": g });
            if !dice.one_in(4) {
                d["member_count"] = json!(dice.below(50));
            }
            if dice.one_in(2) {
                d["added_members"] = dice.some(|dice| {
                    json!({ "id": "7", "user_id": user_id(dice), "presence": null, "member": {} })
                });
            }
            if dice.one_in(2) {
                d["removed_member_ids"] = dice.some(|dice| json!(user_id(dice)));
            }
            d
        }
        name if name.starts_with("CHANNEL_") || name.starts_with("THREAD_") => {
            let private = dice.one_in(5) && name.starts_with("CHANNEL_");
            let mut d = channel(guild, dice);
            if private {
                d["id"] = json!(PRIVATE[dice.below(2)].to_string());
            } else {
                d["guild_id"] = json!(g);
            }
            d
        }
        name if name.starts_with("GUILD_MEMBER_") => with_guild(member(dice), &g),
        "GUILD_MEMBERS_CHUNK" => json!({
            "guild_id": g,
            "members": dice.some(member),
            "presences": dice.some(presence),
        }),
        "PRESENCE_UPDATE" => with_guild(presence(dice), &g),
        "VOICE_STATE_UPDATE" => with_guild(voice(guild, dice), &g),
        name if name.starts_with("MESSAGE_REACTION_") || name.starts_with("MESSAGE_POLL_") => {
            let mut d = message(guild, dice);
            d["message_id"] = d["id"].clone();
            d["user_id"] = json!(user_id(dice));
            d["answer_id"] = json!(dice.below(3));
            d["emoji"] = emoji(dice);
            d["burst"] = json!(dice.one_in(3));
            if dice.one_in(3) {
                d["burst_colors"] = json!(["#fff"]);
            }
            d
        }
        name if name.starts_with("MESSAGE_") => message(guild, dice),
        "GUILD_ROLE_DELETE" => json!({ "guild_id": g, "role_id": plain_id(guild, dice) }),
        "GUILD_ROLE_CREATE" | "GUILD_ROLE_UPDATE" => {
            json!({ "guild_id": g, "role": role(guild, dice) })
        }
        "GUILD_EMOJIS_UPDATE" => {
            json!({ "guild_id": g, "emojis": dice.some(|dice| plain(guild, dice)) })
        }
        "GUILD_STICKERS_UPDATE" => {
            json!({ "guild_id": g, "stickers": dice.some(|dice| plain(guild, dice)) })
        }
        "SOUNDBOARD_SOUNDS" | "GUILD_SOUNDBOARD_SOUNDS_UPDATE" => {
            json!({ "guild_id": g, "soundboard_sounds": dice.some(|dice| sound(guild, dice)) })
        }
        "GUILD_SCHEDULED_EVENT_CREATE" | "GUILD_SCHEDULED_EVENT_UPDATE" => {
            with_guild(scheduled(guild, dice), &g)
        }
        name if name.starts_with("GUILD_SOUNDBOARD_SOUND_") => with_guild(sound(guild, dice), &g),
        "GUILD_SCHEDULED_EVENT_USER_ADD" | "GUILD_SCHEDULED_EVENT_USER_REMOVE" => {
            json!({ "guild_id": g, "guild_scheduled_event_id": plain_id(guild, dice) })
        }
        _ => with_guild(plain(guild, dice), &g),
    };
    value.as_object().unwrap().clone()
}

fn spoil_field(d: &mut Map<String, Value>, dice: &mut Dice) {
    let Some(name) = d.keys().nth(dice.below(d.len().max(1))).cloned() else {
        return;
    };
    let odd = [
        json!(null),
        json!(true),
        json!("x"),
        json!([]),
        json!([7, {}]),
        json!({}),
        json!(-1),
    ];
    match dice.below(odd.len() + 1) {
        choice if choice < odd.len() => drop(d.insert(name, odd[choice].clone())),
        _ => drop(d.shift_remove(&name)),
    }
}

fn with_guild(mut value: Value, guild: &str) -> Value {
    value["guild_id"] = json!(guild);
    value
}

fn user_id(dice: &mut Dice) -> String {
    (dice.below(3) + 1).to_string()
}

/// Of each guild 0 and 1 are text channels, 2 is a category, 3 to 5 are threads.
fn channel_id(guild: u64, dice: &mut Dice) -> String {
    (guild + dice.below(6) as u64).to_string()
}

fn plain_id(guild: u64, dice: &mut Dice) -> String {
    (guild + 10 + dice.below(3) as u64).to_string()
}

fn channel(guild: u64, dice: &mut Dice) -> Value {
    let number = dice.below(6) as u64;
    let kind = [15, 0, 4, 11, 12, 10][usize::try_from(number).unwrap()];
    let parent = (guild + dice.below(3) as u64).to_string();
    let mut channel =
        json!({ "id": (guild + number).to_string(), "parent_id": parent, "x": dice.below(9) });
    if !dice.one_in(4) {
        channel["type"] = json!(kind);
    }
    if dice.one_in(4) {
        channel["flags"] = json!(1 << 17 | dice.below(3));
        channel["name"] = json!("___hidden___");
    }
    if dice.one_in(4) {
        channel["topic"] = json!(null);
    }
    if number > 2 {
        channel["thread_metadata"] = json!({ "archived": dice.one_in(4) });
        channel["message_count"] = json!(dice.below(3));
        channel["total_message_sent"] = json!(7);
        if dice.one_in(3) {
            channel["member"] = json!({ "flags": 1 });
        }
    }
    channel
}

/// An object that is known by its id alone.
fn plain(guild: u64, dice: &mut Dice) -> Value {
    let mut value = json!({ "id": plain_id(guild, dice), "x": dice.below(9) });
    if dice.one_in(2) {
        value["user_count"] = json!(dice.below(3));
    }
    if dice.one_in(3) {
        value["y"] = json!({ "z": [null, { "u": null, "v": 1 }] });
    }
    value
}

fn role(guild: u64, dice: &mut Dice) -> Value {
    let mut role = plain(guild, dice);
    if dice.one_in(2) {
        role["name"] = json!("r");
        role["position"] = json!(dice.below(3));
        role["permissions"] = json!("0");
    }
    if dice.one_in(2) {
        role["tags"] = json!({ "premium_subscriber": null });
    }
    role
}

fn scheduled(guild: u64, dice: &mut Dice) -> Value {
    let mut event = plain(guild, dice);
    event["channel_id"] = match dice.below(3) {
        0 => json!(null),
        _ => json!(channel_id(guild, dice)),
    };
    event
}

fn sound(guild: u64, dice: &mut Dice) -> Value {
    json!({ "sound_id": plain_id(guild, dice), "name": dice.below(9) })
}

fn member(dice: &mut Dice) -> Value {
    let mut member = json!({ "user": { "id": user_id(dice) }, "nick": dice.below(9) });
    if dice.one_in(2) {
        member["roles"] = json!([]);
        member["joined_at"] = json!("2026");
    }
    if dice.one_in(3) {
        member["avatar"] = json!(null);
    }
    member
}

fn presence(dice: &mut Dice) -> Value {
    let mut user = json!({ "id": user_id(dice) });
    if dice.one_in(2) {
        user["name"] = json!(dice.below(9));
    }
    if dice.one_in(3) {
        user["banner"] = json!(null);
    }
    json!({ "user": user, "status": (["online", "offline"][dice.below(2)]) })
}

fn voice(guild: u64, dice: &mut Dice) -> Value {
    let channel = if dice.one_in(3) {
        json!(null)
    } else {
        json!(channel_id(guild, dice))
    };
    json!({ "user_id": user_id(dice), "channel_id": channel, "member": null })
}

fn message(guild: u64, dice: &mut Dice) -> Value {
    let private = dice.one_in(5);
    let channel = if private {
        PRIVATE[dice.below(2)].to_string()
    } else {
        channel_id(guild, dice)
    };
    let id = |dice: &mut Dice| json!((dice.below(4) + 100).to_string());
    let mut message = json!({ "id": id(dice), "channel_id": channel, "x": dice.below(9) });
    message["ids"] = dice.some(id);
    if !private && !dice.one_in(4) {
        message["guild_id"] = json!(guild.to_string());
    }
    if dice.one_in(2) {
        message["author"] = json!({ "id": user_id(dice) });
        message["timestamp"] = json!("2026");
        message["content"] = json!("null");
    }
    if dice.one_in(3) {
        message["tts"] = json!(dice.one_in(2));
    }
    if dice.one_in(4) {
        message["type"] = json!(21);
    }
    if dice.one_in(3) {
        message["edited_timestamp"] = json!(null);
    }
    if dice.one_in(3) {
        message["reactions"] =
            dice.some(|dice| json!({ "emoji": emoji(dice), "count": dice.below(3) }));
    }
    if dice.one_in(2) {
        message["poll"] = json!({ "layout_type": 1 });
        if dice.one_in(2) {
            let counts = dice.some(|dice| json!({ "id": dice.below(3), "count": dice.below(3) }));
            message["poll"]["results"] = json!({ "answer_counts": counts });
        }
    }
    message
}

fn emoji(dice: &mut Dice) -> Value {
    match dice.below(3) {
        0 => json!({ "id": null, "name": "🔥" }),
        1 => json!({ "id": "77", "name": "own" }),
        _ => json!({ "id": "77", "name": null }),
    }
}
