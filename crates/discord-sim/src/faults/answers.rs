//! Wrong answers at chosen points of a connection, in the order in which they were asked for.

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::protocol::close::gateway_close_ends_session;

/// Where a connection can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Point {
    /// Instead of the answer to the WebSocket upgrade.
    Connect,
    /// After the upgrade, instead of HELLO.
    Upgrade,
    /// After HELLO.
    Hello,
    /// Instead of READY.
    Identify,
    /// Instead of the replay and RESUMED.
    Resume,
    /// After READY or RESUMED.
    Session,
    /// Instead of carrying out the next command with this opcode.
    Command(u64),
}

/// What the gateway does instead of what it should. Where that is not possible (a close frame before the upgrade, an HTTP
/// status after it), it resets the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// Nothing, and goes on: heartbeats are acknowledged, a close frame is answered.
    Ignore,
    /// Nothing, and nothing ever again on this connection; it stays open, as if the node had died.
    Silence,
    /// A TCP reset.
    Reset,
    /// The end of the TCP connection, without a close frame.
    End,
    /// An HTTP status in answer to the upgrade; [`Point::Connect`] only.
    Http(u16),
    /// A close frame with this code, which decides about the session as Discord's documentation says. What the client has
    /// sent after that is not read.
    Close(u16),
    /// Op 7. A client that has not gone after 5 s is closed with 4000.
    Reconnect,
    /// Op 7, then [`Answer::Silence`].
    ReconnectThenSilence,
    /// Op 9. Not resumable ends the session.
    InvalidSession {
        /// The op's `d`.
        resumable: bool,
    },
    /// Op 9, then [`Answer::Silence`].
    InvalidSessionThenSilence {
        /// The op's `d`.
        resumable: bool,
    },
}

impl Answer {
    /// Whether it says that the session is over.
    pub(crate) fn ends_session(self) -> bool {
        match self {
            Self::Close(code) => gateway_close_ends_session(code),
            Self::InvalidSession { resumable } | Self::InvalidSessionThenSilence { resumable } => {
                !resumable
            }
            _ => false,
        }
    }
}

/// Which of the gateway's addresses a connection was made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Host {
    /// What `/gateway/bot` names.
    Main,
    /// What READY names for resuming, where that is an address of its own
    /// ([`ResumeUrl::Own`](crate::ResumeUrl::Own)).
    Resume,
}

/// A wrong answer, and how often it is still given.
#[derive(Debug, Clone, Copy)]
struct Rule {
    at: Point,
    with: Answer,
    /// `None` = until it is switched off.
    left: Option<u32>,
    host: Option<Host>,
    scope: Scope,
}

/// The wrong answers that are still to be given, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<Rule>);

impl Answers {
    pub(super) fn add(
        &mut self,
        (at, with): (Point, Answer),
        times: Option<u32>,
        host: Option<Host>,
        scope: Scope,
    ) {
        self.0.push(Rule {
            at,
            with,
            left: times,
            host,
            scope,
        });
        self.0.retain(|rule| rule.left != Some(0));
    }

    /// Switches off what was asked for `scope` (all of it: what was asked for single shards, too), at one point or at all.
    pub(super) fn remove(&mut self, at: Option<Point>, scope: Scope) {
        self.0.retain(|rule| {
            let meant = scope == Scope::All || rule.scope == scope;
            !meant || at.is_some_and(|at| at != rule.at)
        });
    }

    /// Takes the wrong answer for a connection of `host` at a point, if there is one. `shard` is `None` before the client has
    /// named it; what is meant for a single shard at such a point is then answered to IDENTIFY or RESUME.
    pub(crate) fn take(&mut self, at: Point, shard: Option<u32>, host: Host) -> Option<Answer> {
        let late = |rule: &Rule| {
            matches!(at, Point::Identify | Point::Resume)
                && matches!(rule.at, Point::Connect | Point::Upgrade | Point::Hello)
                && rule.scope != Scope::All
        };
        let meant = |rule: &Rule| {
            (rule.at == at || late(rule))
                && rule.scope.covers(shard)
                && rule.host.is_none_or(|meant| meant == host)
        };
        let index = self.0.iter().position(meant)?;
        let rule = &mut self.0[index];
        let with = rule.with;
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                self.0.remove(index);
            }
        }
        Some(with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_given_in_order_as_often_as_asked() {
        let mut answers = Answers::default();
        answers.add(
            (Point::Resume, Answer::Close(1011)),
            Some(2),
            None,
            Scope::All,
        );
        answers.add((Point::Resume, Answer::Reset), Some(0), None, Scope::All);
        let end = Answer::InvalidSession { resumable: false };
        answers.add((Point::Resume, end), None, None, Scope::Shard(1));
        let mut take = |shard| answers.take(Point::Resume, Some(shard), Host::Main);
        assert_eq!(take(0), Some(Answer::Close(1011)));
        assert_eq!(take(1), Some(Answer::Close(1011)));
        assert_eq!((take(0), take(1), take(1)), (None, Some(end), Some(end)));
        answers.remove(Some(Point::Identify), Scope::All);
        answers.remove(None, Scope::Shard(0));
        assert_eq!(answers.take(Point::Resume, Some(1), Host::Main), Some(end));
        answers.remove(Some(Point::Resume), Scope::All);
        assert_eq!(answers.take(Point::Resume, Some(1), Host::Main), None);
    }

    #[test]
    fn a_host_is_meant_alone_and_a_shard_as_soon_as_it_is_known() {
        let mut answers = Answers::default();
        let resume = Some(Host::Resume);
        answers.add((Point::Upgrade, Answer::Ignore), None, resume, Scope::All);
        assert_eq!(answers.take(Point::Upgrade, None, Host::Main), None);
        let silent = answers.take(Point::Upgrade, None, Host::Resume);
        assert_eq!(silent, Some(Answer::Ignore));

        answers.add((Point::Connect, Answer::Reset), None, None, Scope::Shard(2));
        assert_eq!(answers.take(Point::Connect, None, Host::Main), None);
        assert_eq!(answers.take(Point::Identify, Some(1), Host::Main), None);
        let reset = answers.take(Point::Identify, Some(2), Host::Main);
        assert_eq!(reset, Some(Answer::Reset));
    }
}
