//! The journal: what is needed to publish a batch again that was applied but perhaps not published.
//!
//! It is written in the transaction that applies the batch. Whoever takes the partition over after a crash finds in it
//! the `old` values that can't be computed any more, because the state has moved on.

use std::{collections::HashMap, fmt::Write};

use dispatch_proto::notice::Gap;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A journal that is being written.
#[derive(Clone, Debug, Default)]
pub struct JournalWriter {
    entries: String,
}

impl JournalWriter {
    /// Adds an event of the batch with what is published beside its payload.
    pub fn push(&mut self, session: &str, sequence: u64, old: Option<&str>, gap: Option<&Gap>) {
        self.entries
            .push_str(if self.entries.is_empty() { "[[" } else { ",[" });
        // Writing to a string can't fail.
        let _ = write!(
            self.entries,
            "{},{sequence},",
            serde_json::Value::from(session)
        );
        self.entries.push_str(old.unwrap_or("null"));
        self.entries.push(',');
        self.entries
            .push_str(&serde_json::to_string(&gap).unwrap_or_else(|_| "null".to_owned()));
        self.entries.push(']');
    }

    /// The stored text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.entries
            .push_str(if self.entries.is_empty() { "[]" } else { "]" });
        self.entries
    }
}

/// The journal of a predecessor: what may have to be published again.
#[derive(Clone, Debug, Default)]
pub struct Journal {
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

impl Journal {
    /// Reads what [`JournalWriter`] wrote.
    ///
    /// # Errors
    ///
    /// If the text is something else.
    pub fn decode(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Entry<'a>(
            String,
            u64,
            #[serde(borrow)] Option<&'a RawValue>,
            Option<Gap>,
        );

        let entries: Vec<Entry<'_>> = serde_json::from_str(text)?;
        let entries = entries
            .into_iter()
            .map(|Entry(session, sequence, old, gap)| {
                (
                    (session, sequence),
                    Journaled {
                        old: old.map(|old| old.get().to_owned()),
                        gap,
                    },
                )
            });
        Ok(Self {
            entries: entries.collect(),
        })
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
        let mut journal = Journal::decode(&writer.finish()).unwrap();
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
        assert!(
            Journal::decode(&JournalWriter::default().finish())
                .unwrap()
                .is_empty()
        );
        assert!(Journal::decode("{}").is_err());
    }
}
