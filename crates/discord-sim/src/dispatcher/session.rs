//! One gateway session: its sequence, its replay buffer, and how far its socket is.

use std::{collections::VecDeque, fmt::Write, sync::Arc, time::Instant};

use tokio::sync::Notify;

/// Identifies a session inside the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionKey(pub(crate) u64);

/// Identifies a connection inside the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What stands in the place of the sequence in a raw injected text.
pub(crate) const SEQUENCE_MARK: &str = "$SEQ";

/// The content of one entry of a session's log.
#[derive(Debug)]
pub(crate) enum Body {
    /// A dispatch: event name and the text of `d`.
    Dispatch { t: Box<str>, d: Arc<str> },
    /// A whole message as a test wants it; it may be anything.
    Raw { text: Arc<str> },
}

/// One entry of a session's log.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) session: SessionKey,
    pub(crate) session_id: Arc<str>,
    /// Its own sequence, or for a raw text without one, that of the entry before.
    pub(crate) sequence: u64,
    pub(crate) body: Body,
}

impl Sent {
    /// The message for the socket. `t`, `s`, `op` come before `d`: clients scan for them.
    pub(crate) fn frame(&self) -> String {
        match &self.body {
            Body::Raw { text } => text.to_string(),
            Body::Dispatch { t, d } => {
                let mut frame = String::with_capacity(t.len() + d.len() + 48);
                let name = serde_json::Value::from(&**t);
                // Writing to a string can't fail.
                let _ = write!(
                    frame,
                    "{{\"t\":{name},\"s\":{},\"op\":0,\"d\":{d}}}",
                    self.sequence
                );
                frame
            }
        }
    }

    fn size(&self) -> usize {
        match &self.body {
            Body::Raw { text } => text.len(),
            Body::Dispatch { d, .. } => d.len(),
        }
    }
}

/// Where a session's events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// To this connection.
    Connected(ConnectionId),
    /// Into the replay buffer only, since then.
    Disconnected(Instant),
}

/// A live session. Positions in its log are absolute: they count from the session's first entry.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) id: Arc<str>,
    pub(crate) shard: u32,
    pub(crate) total: u32,
    pub(crate) intents: u64,
    pub(crate) large_threshold: u32,
    pub(crate) link: Link,
    /// The last sequence given.
    pub(crate) sequence: u64,
    /// The highest sequence ever written to a socket.
    pub(crate) delivered: u64,
    /// The sequence after which a newer session of the shard took over the truth.
    pub(crate) shadowed_from: Option<u64>,
    /// Wakes the connection's writer.
    pub(crate) wake: Arc<Notify>,
    log: VecDeque<Arc<Sent>>,
    log_start: u64,
    /// The next position to hand to the writer.
    cursor: u64,
    /// Everything before this position is written.
    written: u64,
    /// The highest sequence that left the log.
    trimmed: u64,
    /// Entries the log may hold.
    limit: usize,
}

impl Session {
    pub(crate) fn new(
        (key, id): (SessionKey, Arc<str>),
        (shard, total): (u32, u32),
        (intents, large_threshold): (u64, u32),
        connection: ConnectionId,
        limit: usize,
    ) -> Self {
        Self {
            key,
            id,
            shard,
            total,
            intents,
            large_threshold,
            link: Link::Connected(connection),
            sequence: 0,
            delivered: 0,
            shadowed_from: None,
            wake: Arc::new(Notify::new()),
            log: VecDeque::new(),
            log_start: 0,
            cursor: 0,
            written: 0,
            trimmed: 0,
            limit,
        }
    }

    /// Gives a dispatch the next sequence and logs it.
    pub(crate) fn push(&mut self, t: &str, d: Arc<str>) -> Arc<Sent> {
        self.sequence += 1;
        self.log(Body::Dispatch { t: t.into(), d })
    }

    /// Logs a raw text; with [`SEQUENCE_MARK`] in it, it takes a sequence. Returns the entry and
    /// whether it took one.
    pub(crate) fn push_raw(&mut self, text: &str) -> (Arc<Sent>, bool) {
        let sequenced = text.contains(SEQUENCE_MARK);
        let text: Arc<str> = if sequenced {
            self.sequence += 1;
            text.replace(SEQUENCE_MARK, &self.sequence.to_string())
                .into()
        } else {
            text.into()
        };
        (self.log(Body::Raw { text }), sequenced)
    }

    fn log(&mut self, body: Body) -> Arc<Sent> {
        let sent = Arc::new(Sent {
            session: self.key,
            session_id: Arc::clone(&self.id),
            sequence: self.sequence,
            body,
        });
        self.log.push_back(Arc::clone(&sent));
        self.wake.notify_one();
        sent
    }

    /// Makes room in the log for what READY begins with, beyond the limit.
    pub(crate) fn widen_limit(&mut self, entries: usize) {
        self.limit = self.limit.saturating_add(entries);
    }

    /// Cuts the log to its limit, written entries only. False if a disconnected session has more
    /// unwritten ones than that: it can't be resumed any more. (A connected one may: what makes
    /// events waits for it.)
    pub(crate) fn trim(&mut self) -> bool {
        while self.log.len() > self.limit {
            if self.log_start >= self.written {
                return matches!(self.link, Link::Connected(_));
            }
            if let Some(sent) = self.log.pop_front() {
                self.trimmed = sent.sequence;
                self.log_start += 1;
            }
        }
        true
    }

    /// Entries not yet written to the socket.
    pub(crate) fn behind(&self) -> usize {
        self.log.len() - usize::try_from(self.written - self.log_start).unwrap_or(usize::MAX)
    }

    /// Whether the log is full of entries not yet written.
    pub(crate) fn is_full(&self) -> bool {
        self.behind() >= self.limit
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.link, Link::Connected(_))
    }

    /// Whether a resume from `sequence` finds everything it needs in the log.
    pub(crate) fn can_replay_from(&self, sequence: u64) -> bool {
        sequence >= self.trimmed
    }

    /// Sets the writer's position after `sequence`, for a new connection.
    pub(crate) fn rewind(&mut self, sequence: u64, connection: ConnectionId) {
        let index = self.log.partition_point(|sent| sent.sequence <= sequence);
        self.cursor = self.log_start + index as u64;
        self.written = self.cursor;
        self.link = Link::Connected(connection);
        // A waiter of the former connection must not swallow the new one's notifications.
        self.wake = Arc::new(Notify::new());
    }

    /// The next entries for the socket, and the position after them.
    pub(crate) fn take(&mut self, entries: usize, bytes: usize) -> (Vec<Arc<Sent>>, u64) {
        let from = usize::try_from(self.cursor - self.log_start).unwrap_or(usize::MAX);
        let mut size = 0;
        let mut batch = Vec::new();
        for sent in self.log.range(from.min(self.log.len())..).take(entries) {
            size += sent.size();
            if size > bytes && !batch.is_empty() {
                break;
            }
            batch.push(Arc::clone(sent));
        }
        self.cursor += batch.len() as u64;
        (batch, self.cursor)
    }

    /// The socket took everything before `position`, up to this sequence.
    pub(crate) fn mark_written(&mut self, position: u64, sequence: u64) {
        self.written = position;
        self.delivered = self.delivered.max(sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(limit: usize) -> Session {
        Session::new(
            (SessionKey(1), "s".into()),
            (0, 1),
            (0, 50),
            ConnectionId(1),
            limit,
        )
    }

    fn push(session: &mut Session, count: u64) {
        for _ in 0..count {
            session.push("X", "{}".into());
            assert!(session.trim());
        }
    }

    fn write(session: &mut Session) -> Vec<u64> {
        let (batch, position) = session.take(100, 1_000);
        let last = batch.last().map_or(0, |sent| sent.sequence);
        session.mark_written(position, last);
        batch.iter().map(|sent| sent.sequence).collect()
    }

    #[test]
    fn a_resume_replays_from_its_sequence() {
        let mut session = session(10);
        push(&mut session, 5);
        assert_eq!(write(&mut session), [1, 2, 3, 4, 5]);
        session.link = Link::Disconnected(Instant::now());
        push(&mut session, 2);
        assert_eq!((session.behind(), session.delivered), (2, 5));
        session.rewind(3, ConnectionId(2));
        assert_eq!(write(&mut session), [4, 5, 6, 7]);
        assert_eq!(session.behind(), 0);
    }

    #[test]
    fn the_log_keeps_what_is_unwritten_and_trims_the_rest() {
        let mut session = session(3);
        push(&mut session, 5);
        assert!(session.can_replay_from(0) && session.is_full());
        write(&mut session);
        push(&mut session, 1);
        assert!(session.can_replay_from(3) && !session.can_replay_from(2));
        session.link = Link::Disconnected(Instant::now());
        push(&mut session, 2);
        session.push("X", "{}".into());
        assert!(!session.trim());
    }

    #[test]
    fn batches_are_bounded_but_never_empty() {
        let mut session = session(10);
        push(&mut session, 3);
        assert_eq!(session.take(2, 1_000).0.len(), 2);
        assert_eq!(session.take(2, 0).0.len(), 1);
        assert_eq!(session.take(2, 0).0.len(), 0);
    }

    #[test]
    fn frames_name_t_s_op_before_d() {
        let mut session = session(10);
        let sent = session.push("A_B", "{\"t\":1}".into());
        assert_eq!(
            sent.frame(),
            "{\"t\":\"A_B\",\"s\":1,\"op\":0,\"d\":{\"t\":1}}"
        );
        let (raw, sequenced) = session.push_raw("{\"op\":0,\"s\":$SEQ}");
        assert_eq!(
            (raw.frame().as_str(), sequenced),
            ("{\"op\":0,\"s\":2}", true)
        );
        let (raw, sequenced) = session.push_raw("nonsense");
        assert_eq!(
            (raw.frame().as_str(), raw.sequence, sequenced),
            ("nonsense", 2, false)
        );
    }
}
