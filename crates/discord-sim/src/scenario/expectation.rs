//! What the bot must have done.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{
    document::{ExpectDocument, InteractionState, SessionState, Since},
    names, summary_of,
};

/// How long is waited for what must happen.
const WITHIN: Duration = Duration::from_secs(10);

/// How long is watched for what must not happen.
const NEVER_WITHIN: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) what: What,
    /// `None`: once at least.
    pub(super) times: Option<u64>,
    pub(super) within: Duration,
    pub(super) since: Since,
    summary: String,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Session(SessionState),
    Interactions,
    Request {
        method: String,
        path: String,
        status: Option<u16>,
        body: Option<Value>,
    },
    Message(Value),
    Command {
        op: u64,
        body: Option<Value>,
    },
    Violations(u64),
    Exit(i32),
}

impl Expectation {
    pub(super) fn read(document: ExpectDocument) -> Result<Self, String> {
        let summary = summary_of(&document);
        let ExpectDocument {
            session,
            interaction,
            request,
            message,
            command,
            violations,
            exit,
            mut status,
            mut body,
            times,
            within,
            since,
        } = document;
        let mut all = Vec::new();
        all.extend(session.map(What::Session));
        all.extend(interaction.map(|InteractionState::Answered| What::Interactions));
        if let Some(request) = &request {
            let (method, path) = request
                .split_once(' ')
                .filter(|(_, path)| path.starts_with('/'))
                .ok_or("`request` is \"METHOD /path\"")?;
            all.push(What::Request {
                method: method.to_owned(),
                path: path.to_owned(),
                status: status.take(),
                body: body.take(),
            });
        }
        all.extend(message.map(What::Message));
        all.extend(command.map(|op| What::Command {
            op,
            body: body.take(),
        }));
        all.extend(violations.map(What::Violations));
        all.extend(exit.map(What::Exit));
        let count = all.len();
        let what = all.pop().filter(|_| count == 1).ok_or(
            "`expect` has one of session, interaction, request, message, command, violations and \
             exit, not none or several",
        )?;
        if body.is_some() {
            return Err("`body` belongs to `request` and `command`".to_owned());
        }
        if status.is_some() {
            return Err("`status` belongs to `request`".to_owned());
        }
        let is_counted = match what {
            What::Session(state) => state != SessionState::Ready,
            What::Request { .. } | What::Message(_) | What::Command { .. } => true,
            What::Interactions | What::Violations(_) | What::Exit(_) => false,
        };
        if times.is_some() && !is_counted {
            return Err("`times` is for what can be counted".to_owned());
        }
        let usual = match (&what, times) {
            (_, Some(0)) => NEVER_WITHIN,
            (What::Violations(_), _) => Duration::ZERO,
            _ => WITHIN,
        };
        let all_along = matches!(what, What::Violations(_));
        let usually_since = if all_along {
            Since::Start
        } else {
            Since::Cause
        };
        Ok(Self {
            what,
            times,
            within: within.map_or(usual, |within| within.0),
            since: since.unwrap_or(usually_since),
            summary,
        })
    }

    pub(super) fn summary(&self) -> String {
        self.summary.clone()
    }

    /// With what is named put in its place.
    pub(super) fn filled(&self, known: &BTreeMap<String, Value>) -> Result<Self, String> {
        let mut filled = self.clone();
        match &mut filled.what {
            What::Request { path, body, .. } => {
                *path = names::fill_text(path, known)?;
                if let Some(body) = body {
                    names::fill_value(body, known)?;
                }
            }
            What::Message(pattern)
            | What::Command {
                body: Some(pattern),
                ..
            } => {
                names::fill_value(pattern, known)?;
            }
            _ => {}
        }
        Ok(filled)
    }
}
