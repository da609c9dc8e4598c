//! The journal: what is needed to publish batches again that were applied but perhaps not published.
//!
//! It is written in the transaction that applies the last of them. Whoever takes the partition over after a crash finds in it
//! the `old` values that can't be computed any more, because the state has moved on.
//!
//! Its text is `{"version":2,"batch":"<id>","events":[[session, sequence, old, gap], …]}`; version 1 was the bare array.

use std::{collections::HashMap, fmt::Write};

use dispatch_proto::notice::Gap;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::object::push_string;

/// The version that is written.
const VERSION: u64 = 2;

/// Why a journal can't be read. It is never taken for empty: its events would be lost.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Written by a build that knows more than this one.
    #[error("unknown journal version {0}")]
    UnknownVersion(u64),
    /// Not a journal of a known version.
    #[error("journal is unreadable: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// What a batch adds to the journal.
#[derive(Clone, Debug, Default)]
pub struct JournalWriter {
    entries: String,
}

impl JournalWriter {
    /// Adds an event of the batch with what is published beside its payload.
    pub fn push(&mut self, session: &str, sequence: u64, old: Option<&str>, gap: Option<&Gap>) {
        if !self.entries.is_empty() {
            self.entries.push(',');
        }
        self.entries.push('[');
        push_string(&mut self.entries, session);
        // Writing to a string can't fail.
        let _ = write!(self.entries, ",{sequence},");
        self.entries.push_str(old.unwrap_or("null"));
        self.entries.push(',');
        let gap = gap.and_then(|gap| serde_json::to_string(gap).ok());
        self.entries.push_str(gap.as_deref().unwrap_or("null"));
        self.entries.push(']');
    }

    /// The stored text: what these batches add, in order. `last` is the id of the last of them, which no other batch has.
    #[must_use]
    pub fn finish<'a>(last: &str, batches: impl IntoIterator<Item = &'a Self>) -> String {
        let entries = batches.into_iter().map(|batch| &*batch.entries);
        let entries: Vec<_> = entries.filter(|entries| !entries.is_empty()).collect();
        let bytes: usize = entries.iter().map(|entries| entries.len() + 1).sum();
        let mut text = String::with_capacity(bytes + last.len() + 48);
        let _ = write!(text, r#"{{"version":{VERSION},"batch":"#);
        push_string(&mut text, last);
        text.push_str(r#","events":["#);
        for (at, entries) in entries.into_iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(entries);
        }
        text.push_str("]}");
        text
    }
}

/// A journal as found on Redis: what may have to be published again.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    batch: Option<String>,
    entries: HashMap<(String, u64), Journaled>,
}

/// What was published, or was about to be, beside an event's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journaled {
    /// JSON text of `old`.
    pub old: Option<String>,
    /// The gap before the event.
    pub gap: Option<Gap>,
}

#[derive(Deserialize)]
struct Entry<'a>(
    String,
    u64,
    #[serde(borrow)] Option<&'a RawValue>,
    Option<Gap>,
);

impl Journal {
    /// The journal that ends with a batch, all of which is published by who asks, or about to be.
    #[must_use]
    pub fn published(batch: String) -> Self {
        Self {
            batch: Some(batch),
            entries: HashMap::new(),
        }
    }

    /// Reads what [`JournalWriter`] wrote.
    ///
    /// # Errors
    ///
    /// If the text is something else.
    pub fn decode(text: &str) -> Result<Self, JournalError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        #[derive(Deserialize)]
        struct Current<'a> {
            batch: String,
            #[serde(borrow)]
            events: Vec<Entry<'a>>,
        }
        let (batch, entries) = if text.starts_with('[') {
            (None, serde_json::from_str(text)?)
        } else {
            let Version { version } = serde_json::from_str(text)?;
            if version != VERSION {
                return Err(JournalError::UnknownVersion(version));
            }
            let Current { batch, events } = serde_json::from_str(text)?;
            (Some(batch), events)
        };
        let entry = |Entry(session, sequence, old, gap): Entry<'_>| {
            let old = old.map(|old| old.get().to_owned());
            ((session, sequence), Journaled { old, gap })
        };
        Ok(Self {
            batch,
            entries: entries.into_iter().map(entry).collect(),
        })
    }

    /// The last batch in it; none for a journal of version 1, or if there is no journal.
    #[must_use]
    pub fn batch(&self) -> Option<&str> {
        self.batch.as_deref()
    }

    /// Takes an event out, if it is in the journal: it is published once more, not twice.
    pub fn take(&mut self, session: &str, sequence: u64) -> Option<Journaled> {
        self.entries.remove(&(session.to_owned(), sequence))
    }

    /// Whether nothing is left to publish again.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use dispatch_proto::notice::GapReason;

    use super::*;

    #[test]
    fn what_is_written_is_read_byte_for_byte() {
        let gap = Gap {
            shard: 0,
            reason: GapReason::SessionReplaced,
            last_session: "a".into(),
            last_sequence: 9,
            next_session: "b\"".into(),
            next_sequence: 1,
        };
        let mut writer = JournalWriter::default();
        writer.push("b\"", 1, None, Some(&gap));
        writer.push("b\"", 2, Some(r#"{ "x":1.00 }"#), None);
        let mut journal = Journal::decode(&JournalWriter::finish("b/1", [&writer])).unwrap();
        assert_eq!(journal.batch(), Some("b/1"));
        assert_eq!(
            journal.take("b\"", 1),
            Some(Journaled {
                old: None,
                gap: Some(gap)
            })
        );
        let old = journal.take("b\"", 2).unwrap().old;
        assert_eq!(old.as_deref(), Some(r#"{ "x":1.00 }"#));
        assert_eq!(journal.take("b\"", 2), None);
        assert!(journal.is_empty());
    }

    #[test]
    fn an_empty_journal_is_a_journal() {
        let text = JournalWriter::finish("x", [&JournalWriter::default()]);
        assert_eq!(text, r#"{"version":2,"batch":"x","events":[]}"#);
        assert!(Journal::decode(&text).unwrap().is_empty());
    }

    #[test]
    fn a_journal_of_several_batches_holds_all_of_them() {
        let mut batches = [(); 3].map(|()| JournalWriter::default());
        batches[0].push("s", 1, None, None);
        batches[2].push("s", 2, Some("{}"), None);
        batches[2].push("t", 1, None, None);
        let text = JournalWriter::finish("b/3", &batches);
        assert_eq!(
            text,
            r#"{"version":2,"batch":"b/3","events":[["s",1,null,null],["s",2,{},null],["t",1,null,null]]}"#
        );
        let mut journal = Journal::decode(&text).unwrap();
        for (session, sequence) in [("s", 1), ("s", 2), ("t", 1)] {
            assert!(journal.take(session, sequence).is_some());
        }
        assert!(journal.is_empty());
    }

    #[test]
    fn the_first_version_is_read() {
        let mut journal = Journal::decode(r#"[["s",7,{"a":1},null],["s",8,null,null]]"#).unwrap();
        assert_eq!(journal.batch(), None);
        let old = journal.take("s", 7).unwrap().old;
        assert_eq!(old.as_deref(), Some(r#"{"a":1}"#));
        assert!(journal.take("s", 8).is_some());
        assert!(Journal::decode("[]").unwrap().is_empty());
    }

    #[test]
    fn what_a_newer_build_wrote_is_not_taken_for_empty() {
        for text in [
            r#"{"version":3,"batch":"x","events":[]}"#,
            r#"{"something":{},"version":3}"#,
        ] {
            let error = Journal::decode(text).unwrap_err();
            assert!(matches!(error, JournalError::UnknownVersion(3)), "{error}");
        }
        for text in ["", "{}", "\u{1}\u{2}", r#"{"version":2}"#, r#"[["s"]]"#] {
            let error = Journal::decode(text).unwrap_err();
            assert!(matches!(error, JournalError::Unreadable(_)), "{error}");
        }
    }
}
