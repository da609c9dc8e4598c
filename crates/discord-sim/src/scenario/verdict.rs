//! Whether an expectation is met by what the bot has done.

use serde_json::{Value, json};

use super::{
    document::SessionState,
    expectation::{Expectation, What},
    pattern,
};
use crate::dispatcher::InteractionCounts;

/// Of what came near, so much is shown.
const SHOWN: usize = 5;
/// Longest text of one of them (characters).
const SHOWN_TEXT: usize = 300;

/// What has happened since some moment.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) identifies: u64,
    pub(super) resumes: u64,
    /// Whether all sessions (one at least) are connected and have been sent all.
    pub(super) ready: bool,
    pub(super) interactions: InteractionCounts,
    pub(super) requests: Vec<Request>,
    /// Messages that the bot has written, as objects.
    pub(super) messages: Vec<Value>,
    /// Gateway commands, whole payloads.
    pub(super) commands: Vec<Value>,
    pub(super) violations: Vec<String>,
    /// The bot's end: its code, `None` for a signal.
    pub(super) exit: Option<Option<i32>>,
}

/// A request of the bot.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    pub(super) body: Value,
}

#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// So it is; what was found of it.
    Met(Value),
    /// Not yet, for this reason.
    Waiting(String),
    /// It can't become so any more.
    Failed(String),
}

/// Judges; `over` means that the time for it is over.
pub(super) fn judge(expectation: &Expectation, happened: &Happened, over: bool) -> Verdict {
    let verdict = match &expectation.what {
        What::Session(SessionState::Ready) if happened.ready => Verdict::Met(Value::Null),
        What::Session(SessionState::Ready) => {
            Verdict::Waiting("no session has been sent all that it is owed".to_owned())
        }
        What::Session(SessionState::Identified) => {
            tally(expectation, over, happened.identifies, Value::Null, || {
                "sessions were started".to_owned()
            })
        }
        What::Session(SessionState::Resumed) => {
            tally(expectation, over, happened.resumes, Value::Null, || {
                format!("sessions were resumed ({} started)", happened.identifies)
            })
        }
        What::Interactions => interactions(happened.interactions),
        What::Request {
            method,
            path,
            status,
            body,
        } => requests(
            expectation,
            happened,
            over,
            (method, path, *status, body.as_ref()),
        ),
        What::Message(meant) => {
            let is_it = |message: &&Value| pattern::matches(meant, message);
            found(expectation, over, &happened.messages, is_it, "messages")
        }
        What::Command { op, body } => {
            let is_it = |command: &&Value| {
                let d = &command["d"];
                command["op"] == *op && body.as_ref().is_none_or(|body| pattern::matches(body, d))
            };
            found(expectation, over, &happened.commands, is_it, "commands")
        }
        What::Violations(allowed) if happened.violations.len() as u64 > *allowed => {
            Verdict::Failed(format!(
                "the bot broke limits: {}",
                happened.violations.join("; ")
            ))
        }
        What::Violations(_) if over => Verdict::Met(Value::Null),
        What::Violations(_) => Verdict::Waiting(String::new()),
        What::Exit(code) => match happened.exit {
            None => Verdict::Waiting("the bot is still running".to_owned()),
            Some(Some(exit)) if exit == *code => Verdict::Met(Value::Null),
            Some(exit) => Verdict::Failed(exit_text(exit)),
        },
    };
    match verdict {
        Verdict::Waiting(reason) if over => Verdict::Failed(reason),
        verdict => verdict,
    }
}

/// How a bot ended.
pub(super) fn exit_text(code: Option<i32>) -> String {
    match code {
        Some(code) => format!("the bot has ended with code {code}"),
        None => "the bot was ended by a signal".to_owned(),
    }
}

fn interactions(counts: InteractionCounts) -> Verdict {
    let InteractionCounts {
        sent,
        answered,
        unanswered,
    } = counts;
    if unanswered > 0 {
        return Verdict::Failed(format!(
            "{unanswered} of {sent} were not answered within 3 s"
        ));
    }
    if sent > 0 && answered >= sent {
        return Verdict::Met(Value::Null);
    }
    Verdict::Waiting(format!("{answered} of {sent} interactions were answered"))
}

/// Compares a number with what is expected of it.
fn tally(
    expectation: &Expectation,
    over: bool,
    count: u64,
    found: Value,
    what: impl Fn() -> String,
) -> Verdict {
    let reason = || format!("{count} {}", what());
    match expectation.times {
        None if count > 0 => Verdict::Met(found),
        Some(times) if count > times => Verdict::Failed(reason()),
        // What must not happen could still do so.
        Some(0) if over => Verdict::Met(found),
        Some(times) if times > 0 && count == times => Verdict::Met(found),
        _ => Verdict::Waiting(reason()),
    }
}

fn requests(
    expectation: &Expectation,
    happened: &Happened,
    over: bool,
    (method, path, status, body): (&str, &str, Option<u16>, Option<&Value>),
) -> Verdict {
    let shown: Vec<Value> = happened.requests.iter().map(shown).collect();
    let fits = |request: &Request| {
        (method == "*" || request.method == method)
            && pattern::matches_path(path, &request.path)
            && status.is_none_or(|status| request.status == Some(status))
            && body.is_none_or(|body| pattern::matches(body, &request.body))
    };
    let fitting: Vec<bool> = happened.requests.iter().map(fits).collect();
    let count = fitting.iter().filter(|fits| **fits).count() as u64;
    let last = fitting.iter().rposition(|fits| *fits);
    let last = last.map_or(Value::Null, |place| shown[place].clone());
    tally(expectation, over, count, last, || near(&shown, "requests"))
}

fn shown(request: &Request) -> Value {
    json!({
        "route": format!("{} {}", request.method, request.path),
        "status": request.status,
        "body": request.body,
    })
}

fn found(
    expectation: &Expectation,
    over: bool,
    all: &[Value],
    is_it: impl Fn(&&Value) -> bool,
    what: &str,
) -> Verdict {
    let fitting: Vec<&Value> = all.iter().filter(is_it).collect();
    let last = fitting.last().map_or(Value::Null, |last| (*last).clone());
    tally(expectation, over, fitting.len() as u64, last, || {
        near(all, what)
    })
}

/// What there was.
fn near(all: &[Value], what: &str) -> String {
    let mut text = format!("of {} {what} fit", all.len());
    let skipped = all.len().saturating_sub(SHOWN);
    if skipped > 0 {
        text.push_str(&format!("; the last {SHOWN}"));
    }
    for one in &all[skipped..] {
        let one: String = one.to_string().chars().take(SHOWN_TEXT).collect();
        text.push_str("\n      ");
        text.push_str(&one);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::document::ExpectDocument;

    fn expect(text: &str) -> Expectation {
        let document: ExpectDocument = toml::from_str(text).unwrap();
        Expectation::read(document).unwrap()
    }

    fn request(route: &str, status: u16, body: Value) -> Request {
        let (method, path) = route.split_once(' ').unwrap();
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            status: Some(status),
            body,
        }
    }

    fn failed(verdict: &Verdict, why: &str) -> bool {
        matches!(verdict, Verdict::Failed(reason) if reason.contains(why))
    }

    #[test]
    fn a_request_is_found_by_route_status_and_body() {
        let happened = Happened {
            requests: vec![
                request(
                    "POST /channels/1/messages",
                    429,
                    json!({"content": "pong 1"}),
                ),
                request(
                    "POST /channels/1/messages",
                    200,
                    json!({"content": "pong 1", "tts": false}),
                ),
                request("GET /users/@me", 200, Value::Null),
            ],
            ..Happened::default()
        };
        let ask = |text: &str| judge(&expect(text), &happened, true);
        for met in [
            "request = \"POST /channels/*/messages\"",
            "request = \"POST /channels/1/messages\"\nstatus = 200\ntimes = 1\nbody = { content = \"pong *\" }",
            "request = \"* /users/@me\"",
            "request = \"DELETE /**\"\ntimes = 0",
        ] {
            assert!(matches!(ask(met), Verdict::Met(_)), "{met}");
        }
        assert!(failed(
            &ask("request = \"PATCH /users/@me\""),
            "0 of 3 requests fit"
        ));
        assert!(failed(
            &ask("request = \"POST /channels/*/messages\"\ntimes = 1"),
            "2 of 3"
        ));
        assert!(failed(
            &ask("request = \"POST /**\"\nbody = { content = \"x\" }"),
            "pong 1"
        ));
        let Verdict::Met(found) = ask("request = \"POST /channels/*/messages\"") else {
            panic!("not found");
        };
        assert_eq!(found["status"], 200);
    }

    #[test]
    fn what_must_not_happen_is_watched_until_the_time_is_over() {
        let none = Happened::default();
        let never = expect("message = { content = \"*\" }\ntimes = 0");
        assert!(matches!(judge(&never, &none, false), Verdict::Waiting(_)));
        assert!(matches!(judge(&never, &none, true), Verdict::Met(_)));
        let one = Happened {
            messages: vec![json!({"content": "a", "id": "7"})],
            ..Happened::default()
        };
        assert!(failed(&judge(&never, &one, false), "1 of 1 messages"));
        let any = expect("message = { content = \"a\" }");
        assert_eq!(
            judge(&any, &one, false),
            Verdict::Met(one.messages[0].clone())
        );
        let twice = expect("message = { content = \"a\" }\ntimes = 2");
        assert!(matches!(judge(&twice, &one, false), Verdict::Waiting(_)));
        assert!(failed(&judge(&twice, &one, true), "1 of 1"));
    }

    #[test]
    fn every_interaction_is_answered_in_time() {
        let ask = |sent, answered, unanswered| {
            let happened = Happened {
                interactions: InteractionCounts {
                    sent,
                    answered,
                    unanswered,
                },
                ..Happened::default()
            };
            judge(&expect("interaction = \"answered\""), &happened, false)
        };
        assert!(matches!(ask(0, 0, 0), Verdict::Waiting(_)));
        assert!(matches!(ask(2, 1, 0), Verdict::Waiting(_)));
        assert_eq!(ask(2, 2, 0), Verdict::Met(Value::Null));
        assert!(failed(&ask(2, 1, 1), "3 s"));
    }

    #[test]
    fn sessions_commands_limits_and_the_end_are_judged() {
        let happened = Happened {
            resumes: 2,
            ready: true,
            commands: vec![json!({"op": 8, "d": {"guild_id": "1", "query": ""}})],
            violations: vec!["too much".to_owned()],
            exit: Some(Some(3)),
            ..Happened::default()
        };
        let ask = |text: &str| judge(&expect(text), &happened, true);
        for met in [
            "session = \"resumed\"",
            "session = \"resumed\"\ntimes = 2",
            "session = \"identified\"\ntimes = 0",
            "session = \"ready\"",
            "command = 8\nbody = { query = \"\" }",
            "violations = 1",
            "exit = 3",
        ] {
            assert!(matches!(ask(met), Verdict::Met(_)), "{met}");
        }
        assert!(failed(&ask("session = \"identified\""), "0 sessions"));
        assert!(failed(
            &ask("session = \"resumed\"\ntimes = 1"),
            "2 sessions"
        ));
        assert!(failed(&ask("command = 4"), "0 of 1 commands"));
        assert!(failed(&ask("violations = 0"), "too much"));
        assert!(failed(&ask("exit = 0"), "code 3"));
        assert!(failed(
            &judge(&expect("exit = 0"), &Happened::default(), true),
            "still running"
        ));
    }
}
