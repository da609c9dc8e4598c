//! The interactions that the bot was sent, as long as it may answer them.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use crate::world::snowflake_of;

/// The bot has to answer within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// A token is valid for this time.
const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Interactions kept; the oldest is forgotten.
const KEPT: usize = 10_000;

/// What has become of the interactions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InteractionCounts {
    /// Sent to the bot.
    pub sent: u64,
    /// Answered within 3 s.
    pub answered: u64,
    /// Not answered within 3 s.
    pub unanswered: u64,
}

/// An interaction that the bot was sent.
#[derive(Debug, Clone)]
pub(crate) struct Interaction {
    pub(crate) id: u64,
    /// Discord's type: 2 = command, 3 = component, 4 = autocomplete, 5 = modal.
    pub(crate) kind: u64,
    pub(crate) channel: u64,
    /// The user object of who acted.
    pub(crate) user: Value,
    /// `data.name` of a command.
    pub(crate) name: Option<String>,
    /// The message whose component was used.
    pub(crate) message: Option<u64>,
    pub(crate) answered: bool,
    /// The message that answers it.
    pub(crate) original: Option<u64>,
    sent: Instant,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Interactions {
    answer_within: Duration,
    token_lifetime: Duration,
    /// By token.
    known: HashMap<String, Interaction>,
    /// Tokens by id, so that the oldest is found.
    tokens: BTreeMap<u64, String>,
    counts: InteractionCounts,
    /// Sent and neither answered nor overdue.
    open: Vec<(u64, Instant)>,
}

impl Interactions {
    /// None yet; `scaled` says how Discord's times pass here.
    pub(crate) fn new(scaled: impl Fn(Duration) -> Duration) -> Self {
        Self {
            answer_within: scaled(ANSWER_WITHIN),
            token_lifetime: scaled(TOKEN_LIFETIME),
            known: HashMap::new(),
            tokens: BTreeMap::new(),
            counts: InteractionCounts::default(),
            open: Vec::new(),
        }
    }

    /// Notes an INTERACTION_CREATE.
    pub(crate) fn sent(&mut self, d: &Value, now: Instant) {
        let (Some(id), Some(token)) = (snowflake_of(&d["id"]), d["token"].as_str()) else {
            return;
        };
        let by_member = &d["member"]["user"];
        let interaction = Interaction {
            id,
            kind: d["type"].as_u64().unwrap_or_default(),
            channel: snowflake_of(&d["channel_id"]).unwrap_or_default(),
            user: if by_member.is_object() {
                by_member.clone()
            } else {
                d["user"].clone()
            },
            name: d["data"]["name"].as_str().map(str::to_owned),
            message: snowflake_of(&d["message"]["id"]),
            answered: false,
            original: None,
            sent: now,
        };
        self.expire(now);
        self.known.insert(token.to_owned(), interaction);
        self.tokens.insert(id, token.to_owned());
        self.open.push((id, now));
        self.counts.sent += 1;
        while self.tokens.len() > KEPT {
            if let Some((_, token)) = self.tokens.pop_first() {
                self.known.remove(&token);
            }
        }
    }

    /// One whose token is valid.
    pub(crate) fn find(&mut self, token: &str, now: Instant) -> Option<&mut Interaction> {
        let interaction = self.known.get_mut(token)?;
        (now.duration_since(interaction.sent) < self.token_lifetime).then_some(interaction)
    }

    /// One that may be answered now for the first time.
    ///
    /// # Errors
    ///
    /// Whether it is known at all.
    pub(crate) fn answer(
        &mut self,
        id: u64,
        token: &str,
        now: Instant,
    ) -> Result<Interaction, bool> {
        self.expire(now);
        let interaction = self
            .known
            .get_mut(token)
            .filter(|known| known.id == id)
            .ok_or(false)?;
        if interaction.answered {
            return Err(true);
        }
        if now.duration_since(interaction.sent) > self.answer_within {
            return Err(false);
        }
        interaction.answered = true;
        self.open.retain(|(open, _)| *open != id);
        self.counts.answered += 1;
        Ok(interaction.clone())
    }

    /// What has become of them until now.
    pub(crate) fn counts(&mut self, now: Instant) -> InteractionCounts {
        self.expire(now);
        self.counts
    }

    fn expire(&mut self, now: Instant) {
        let before = self.open.len();
        self.open
            .retain(|(_, sent)| now.duration_since(*sent) <= self.answer_within);
        self.counts.unanswered += (before - self.open.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_interaction_is_answered_once_and_in_time() {
        let (start, mut all) = (Instant::now(), Interactions::new(|time| time));
        for (id, token) in [("1", "a"), ("2", "b")] {
            all.sent(
                &json!({"id": id, "token": token, "type": 2, "channel_id": "9"}),
                start,
            );
        }
        assert_eq!(all.answer(1, "b", start).err(), Some(false));
        assert_eq!(
            all.answer(1, "a", start).map(|known| known.channel).ok(),
            Some(9)
        );
        assert_eq!(all.answer(1, "a", start).err(), Some(true));
        let late = start + ANSWER_WITHIN + Duration::from_millis(1);
        assert_eq!(all.answer(2, "b", late).err(), Some(false));
        let counts = InteractionCounts {
            sent: 2,
            answered: 1,
            unanswered: 1,
        };
        assert_eq!(all.counts(late), counts);
        assert!(all.find("a", late).is_some());
        assert!(all.find("a", start + TOKEN_LIFETIME).is_none());
    }
}
