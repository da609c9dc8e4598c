//! Every event of Discord's documentation reaches exactly the sessions whose intents ask for it: one session for each intent,
//! one with all of them, one with none.

use std::collections::{BTreeMap, BTreeSet};

use discord_sim::{Action, Load, Mix, Sim, generator::DISPATCH_TYPES};
use serde_json::{Value, json};

use tokio::{task::JoinHandle, time::timeout};

use crate::{
    ALL_INTENTS, DEADLINE,
    client::{RawClient, identify},
    config,
    http::request,
    start,
};

const INTENTS: &str = include_str!("documented_intents.tsv");

/// What does not occur here: RESUMED (`sessions` has it), and what a bot can't do in direct messages.
const UNSEEN: &[(&str, Of)] = &[
    ("RESUMED", Of::Any),
    ("MESSAGE_REACTION_REMOVE_ALL", Of::Private),
    ("MESSAGE_REACTION_REMOVE_EMOJI", Of::Private),
];

/// Which events of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Any,
    Guild,
    Private,
    Own,
}

/// The intents that ask for the events of a kind; none: they are always sent.
type Documented = BTreeMap<(&'static str, Of), u64>;

fn documented() -> Documented {
    let mut asked_for = Documented::new();
    for line in INTENTS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [_, bit, t, of] = columns[..] else {
            panic!("not four columns: {line}");
        };
        let of = match of {
            "any" => Of::Any,
            "guild" => Of::Guild,
            "private" => Of::Private,
            "own" => Of::Own,
            _ => panic!("unknown: {line}"),
        };
        let intent = bit.parse::<u32>().map_or(0, |bit| 1 << bit);
        *asked_for.entry((t, of)).or_default() |= intent;
    }
    // Who asks for all of them is told of the bot's own as well. No intent: always.
    let of_all = asked_for[&("THREAD_MEMBERS_UPDATE", Of::Guild)];
    *asked_for
        .get_mut(&("THREAD_MEMBERS_UPDATE", Of::Own))
        .unwrap() |= of_all;
    asked_for
}

/// Which line of the table an event is on.
fn kind(documented: &Documented, event: &Value, bot: &str) -> (String, Of) {
    let (t, d) = (event["t"].as_str().unwrap(), &event["d"]);
    let has = |of| documented.contains_key(&(t, of));
    let is_own = d["user"]["id"] == bot
        || d["added_members"]
            .as_array()
            .is_some_and(|added| added.iter().any(|member| member["user_id"] == bot))
        || d["removed_member_ids"]
            .as_array()
            .is_some_and(|removed| removed.iter().any(|user| user == bot));
    let of = if has(Of::Own) && is_own {
        Of::Own
    } else if has(Of::Private) && d.get("guild_id").is_none() {
        Of::Private
    } else if has(Of::Guild) {
        Of::Guild
    } else {
        Of::Any
    };
    (t.to_owned(), of)
}

/// One session for each intent, one with all of them, one with none.
pub(crate) struct Sessions(BTreeMap<u64, JoinHandle<Vec<Value>>>);

impl Sessions {
    pub(crate) async fn start(sim: &Sim) -> Self {
        let mut sessions = BTreeMap::new();
        let single = (0..64).map(|bit| 1 << bit);
        let single = single.filter(|intent| ALL_INTENTS & intent != 0);
        for intents in single.chain([0, ALL_INTENTS]) {
            sessions.insert(intents, session(sim, intents).await);
        }
        Self(sessions)
    }

    /// Stops the simulator and compares what each session was sent with what the documentation says; returns what of that
    /// did not occur.
    pub(crate) async fn check(self, sim: &Sim) -> BTreeSet<(&'static str, Of)> {
        let documented = documented();
        assert!(sim.quiet(DEADLINE).await);
        sim.shutdown().await;
        let mut received = BTreeMap::new();
        for (intents, session) in self.0 {
            let events = timeout(DEADLINE, session).await.unwrap().unwrap();
            let bot = events[0]["d"]["user"]["id"].as_str().unwrap().to_owned();
            let mut counts = BTreeMap::<_, u64>::new();
            for event in &events {
                *counts.entry(kind(&documented, event, &bot)).or_default() += 1;
            }
            received.insert(intents, counts);
        }
        let all = &received[&ALL_INTENTS];
        let mut wrong = Vec::new();
        for (intents, counts) in &received {
            for ((t, of), told) in all {
                let asked_for = documented.get(&(t.as_str(), *of)).copied().unwrap_or(0);
                let wanted = asked_for == 0 || asked_for & intents != 0;
                let expected = if wanted { *told } else { 0 };
                let count = counts.get(&(t.clone(), *of)).copied().unwrap_or(0);
                if count != expected {
                    wrong.push(format!(
                        "{count} instead of {expected} {t} ({of:?}) with intents {intents:#b}"
                    ));
                }
            }
            assert!(counts.keys().all(|kind| all.contains_key(kind)));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let seen = |(t, of): &(&str, Of)| all.contains_key(&((*t).to_owned(), *of));
        documented.into_keys().filter(|kind| !seen(kind)).collect()
    }
}

/// A session that reads all that comes until it is closed.
async fn session(sim: &Sim, intents: u64) -> JoinHandle<Vec<Value>> {
    let mut client = RawClient::hello(sim).await;
    let mut d = identify(0, 1);
    d["intents"] = json!(intents);
    client.send(&json!({"op": 2, "d": d})).await;
    let ready = client.event("READY").await;
    tokio::spawn(async move {
        let mut events = client.until_it_ends().await;
        events.insert(0, ready);
        events
    })
}

async fn ask(sim: &Sim, method: &str, path: &str, body: Value) -> Value {
    let (path, body) = (format!("/api/v10{path}"), body.to_string());
    let token = Some("Bot sim-token");
    let (status, answer) = request(&sim.http_url(), method, &path, token, Some(&body)).await;
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
    answer
}

async fn talk_in_private(sim: &Sim, user: &str) {
    let ask = async |method, path: &str, body| ask(sim, method, path, body).await;
    let body = json!({"recipient_id": user});
    let channel = ask("POST", "/users/@me/channels", body).await;
    let channel = channel["id"].as_str().unwrap();
    let at = format!("/channels/{channel}");
    ask("POST", &format!("{at}/typing"), Value::Null).await;
    let message = ask("POST", &format!("{at}/messages"), json!({"content": "x"})).await;
    let message = message["id"].as_str().unwrap();
    let this = format!("{at}/messages/{message}");
    ask("PATCH", &this, json!({"content": "y"})).await;
    let reaction = format!("{this}/reactions/%F0%9F%91%8D/@me");
    ask("PUT", &reaction, Value::Null).await;
    ask("DELETE", &reaction, Value::Null).await;
    ask("PUT", &format!("{at}/pins/{message}"), Value::Null).await;
    let answers = json!([{"poll_media": {"text": "a"}}, {"poll_media": {"text": "b"}}]);
    let poll = json!({"question": {"text": "q"}, "answers": answers});
    let polled = ask("POST", &format!("{at}/messages"), json!({"poll": poll})).await;
    // The second vote takes the place of the first, and is taken back.
    for (deed, answer) in [("vote", 2), ("vote", 1), ("unvote", 1), ("vote", 2)] {
        let action = json!({"do": deed, "channel": channel, "answer": answer});
        let action: Action = serde_json::from_value(action).unwrap();
        sim.act(&action).unwrap();
    }
    let polled = format!("{at}/messages/{}", polled["id"].as_str().unwrap());
    let shown = ask("GET", &polled, Value::Null).await;
    let expected = json!([{"id": 2, "count": 1, "me_voted": false}]);
    assert_eq!(shown["poll"]["results"]["answer_counts"], expected);
    for deed in ["message", "edit", "react", "unreact", "type", "delete"] {
        let action = json!({"do": deed, "channel": channel, "content": "z"});
        let action: Action = serde_json::from_value(action).unwrap();
        sim.act(&action).unwrap();
    }
    ask("DELETE", &this, Value::Null).await;
}

/// The bot's own member changes, and the bot comes into a thread and leaves it.
async fn change_the_bot(sim: &Sim, guild: &str, text: &str) {
    let ask = async |method, path: &str, body| ask(sim, method, path, body).await;
    let own = format!("/guilds/{guild}/members/@me");
    ask("PATCH", &own, json!({"nick": "robot"})).await;
    let body = json!({"name": "thread", "type": 11});
    let thread = ask("POST", &format!("/channels/{text}/threads"), body).await;
    let own = format!(
        "/channels/{}/thread-members/@me",
        thread["id"].as_str().unwrap()
    );
    ask("DELETE", &own, Value::Null).await;
    ask("PUT", &own, Value::Null).await;
}

#[tokio::test]
async fn each_event_comes_where_the_intents_ask_for_it() {
    let sim = start(config()).await;
    let sessions = Sessions::start(&sim).await;
    let action = json!({"do": "message", "content": "hello"});
    let action: Action = serde_json::from_value(action).unwrap();
    let done = sim.act(&action).unwrap();
    talk_in_private(&sim, &done.user.unwrap()).await;
    change_the_bot(&sim, &done.guild.unwrap(), &done.channel.unwrap()).await;
    let load = Load {
        mix: Mix::only(&DISPATCH_TYPES),
        events: Some(3_000),
        ..Load::default()
    };
    assert_eq!(sim.generate(load).await, 3_000);
    let unseen = sessions.check(&sim).await;
    assert_eq!(unseen, BTreeSet::from_iter(UNSEEN.iter().copied()));
}
