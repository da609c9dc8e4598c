//! An event, readable.

use serde_json::{Map, Value};

use super::changes::{Change, between};
use crate::terminal::cut;

/// Changes shown for one event.
const CHANGES: usize = 12;
/// Characters of a value.
const VALUE: usize = 80;
/// Characters of an event's own data.
const DATA: usize = 200;

/// Fields that say what an event is about, in the order in which they are shown.
const FACTS: [&str; 6] = ["guild_id", "channel_id", "id", "user_id", "name", "content"];

/// Whether the terminal understands colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// ANSI colours.
    Colour,
    /// None.
    Plain,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }

    fn name(self, text: &str) -> String {
        self.paint("1;36", text)
    }

    fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn before(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn after(self, text: &str) -> String {
        self.paint("32", text)
    }
}

/// The text for an event's body: a line, and one more for each change.
pub(super) fn event(body: &[u8], style: Style) -> String {
    let Ok(Value::Object(event)) = serde_json::from_slice(body) else {
        return style.before(&format!(
            "not an event: {}",
            cut(&String::from_utf8_lossy(body), DATA)
        ));
    };
    let name = event
        .get("t")
        .and_then(Value::as_str)
        .unwrap_or("(no name)");
    let data = event.get("d").unwrap_or(&Value::Null);
    let mut lines = vec![format!("{} {}", style.name(name), facts(data, style))];
    match event.get("old") {
        None => lines[0] += &style.faint(&rest(data)),
        Some(old) if is_removal(name) => {
            lines.push(format!(
                "    was {}",
                style.before(&cut(&old.to_string(), DATA))
            ));
        }
        Some(old) => {
            let changes = between(old, data);
            lines.extend(
                changes
                    .iter()
                    .take(CHANGES)
                    .map(|change| shown(change, style)),
            );
            match changes.len() {
                0 => lines[0] += &style.faint(" (nothing changed)"),
                more if more > CHANGES => lines.push(format!("    … {} more", more - CHANGES)),
                _ => {}
            }
        }
    }
    lines.join("\n")
}

fn is_removal(name: &str) -> bool {
    name.ends_with("_DELETE") || name.ends_with("_REMOVE") || name.ends_with("_BULK")
}

fn facts(data: &Value, style: Style) -> String {
    let mut facts: Vec<String> = FACTS
        .iter()
        .filter_map(|name| Some((name, data.get(*name)?)))
        .filter(|(_, value)| value.is_string())
        .map(|(name, value)| format!("{} {}", style.faint(name), short(value)))
        .collect();
    let user = data
        .pointer("/user/username")
        .or(data.pointer("/author/username"));
    facts.extend(user.map(|user| format!("{} {}", style.faint("user"), short(user))));
    facts.join(" ")
}

/// What the facts leave out, cut short.
fn rest(data: &Value) -> String {
    let Value::Object(data) = data else {
        return format!(" {}", cut(&data.to_string(), DATA));
    };
    let rest: Map<String, Value> = data
        .iter()
        .filter(|(name, value)| !(FACTS.contains(&name.as_str()) && value.is_string()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if rest.is_empty() {
        String::new()
    } else {
        format!(" {}", cut(&Value::from(rest).to_string(), DATA))
    }
}

fn shown(change: &Change, style: Style) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or("(none)".to_owned(), short);
    let (old, new) = (
        style.before(&value(&change.old)),
        style.after(&value(&change.new)),
    );
    match (&change.old, &change.new) {
        (None, None) => format!("    {}", change.field),
        _ => format!("    {}: {old} → {new}", change.field),
    }
}

fn short(value: &Value) -> String {
    cut(&value.to_string(), VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(body: &str) -> String {
        event(body.as_bytes(), Style::Plain)
    }

    #[test]
    fn an_update_shows_what_changed() {
        let body = r#"{"op":0,"s":2,"t":"MESSAGE_UPDATE",
            "d":{"id":"1","channel_id":"2","content":"new","pinned":true},
            "old":{"id":"1","channel_id":"2","content":"old","pinned":true}}"#;
        assert_eq!(
            plain(body),
            "MESSAGE_UPDATE channel_id \"2\" id \"1\" content \"new\"\n    content: \"old\" → \"new\""
        );
        assert!(event(body.as_bytes(), Style::Colour).contains("\x1b[31m\"old\"\x1b[0m"));
    }

    #[test]
    fn a_removal_shows_what_was_there() {
        let body = r#"{"t":"MESSAGE_DELETE","d":{"id":"1"},"old":{"id":"1","content":"x"}}"#;
        assert_eq!(
            plain(body),
            "MESSAGE_DELETE id \"1\"\n    was {\"id\":\"1\",\"content\":\"x\"}"
        );
    }

    #[test]
    fn other_events_show_their_data_and_anything_is_shown_somehow() {
        let body = r#"{"t":"TYPING_START","d":{"user_id":"1","timestamp":5}}"#;
        assert_eq!(plain(body), "TYPING_START user_id \"1\" {\"timestamp\":5}");
        assert_eq!(plain("\u{1b}[2J"), "not an event: \u{fffd}[2J");
        assert_eq!(plain(r#"{"t":"RESUMED","d":null}"#), "RESUMED  null");
    }
}
