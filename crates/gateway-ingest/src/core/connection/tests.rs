use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

fn session(id: &str, url: Option<&str>) -> Session {
    Session {
        id: id.into(),
        sequence: 7,
        url: url.map(str::to_owned),
    }
}

/// What the peer does with one connection.
#[derive(Clone, Debug)]
enum Peer {
    /// Does not let it come about.
    Refuse(Cause),
    /// Accepts it, and says nothing or ends it.
    BeforeHello(End),
    /// Says HELLO, and no more.
    AfterHello(End),
    /// Replays some events, or lets the identify wait, then ends.
    Midway(u8, End),
    /// READY or RESUMED, and after so many milliseconds the end.
    Live(u64, End),
    /// READY without a usable URL.
    UnusableReady,
    /// All that Discord should do.
    Behave,
    /// The same, but no session is known any more.
    Forgetful,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Silence,
    Ended(Cause),
    /// Op 7, and whether our close frame is answered.
    Reconnect(bool),
    InvalidSession(bool, bool),
    ClientCloses(bool),
}

/// One shard against a peer, with a virtual clock.
struct Run {
    connection: Connection,
    start: Instant,
    now: Instant,
    /// What the peer is going to do, and when.
    planned: VecDeque<(Instant, Input)>,
    answers_close: bool,
    connects: Vec<(Instant, Target)>,
    outputs: Vec<Output>,
    sessions: u32,
    latency: Duration,
    random: Box<dyn FnMut() -> f64>,
}

impl Run {
    fn new(session: Option<Session>, random: impl FnMut() -> f64 + 'static) -> Self {
        let now = Instant::now();
        Self {
            connection: Connection::default(),
            start: now,
            now,
            planned: VecDeque::from([(now, Input::Begin(session))]),
            answers_close: true,
            connects: Vec::new(),
            outputs: Vec::new(),
            sessions: 0,
            latency: Duration::from_millis(1),
            random: Box::new(random),
        }
    }

    /// Runs until `until`, or until the shard is live if `live` is set. `peer` says what happens to the next connection.
    fn run(&mut self, until: Instant, stop_when_live: bool, mut peer: impl FnMut() -> Peer) {
        while !(stop_when_live && self.connection.is_live()) {
            let deadline = self.connection.deadline();
            let planned = self.planned.front().map(|(at, _)| *at);
            let Some(next) = deadline.into_iter().chain(planned).min() else {
                // Nothing of the peer is awaited: it is live for good.
                assert!(self.connection.is_live(), "{:?}", self.connection);
                self.now = until;
                return;
            };
            // No wait for the peer is longer than the longest deadline.
            assert!(
                planned.is_some() || next <= self.now + READY,
                "{:?}",
                self.connection
            );
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            let input = match self.planned.front() {
                Some((at, _)) if *at <= self.now => self.planned.pop_front().unwrap().1,
                _ => Input::Time,
            };
            self.give(input, &mut peer);
        }
    }

    fn give(&mut self, input: Input, peer: &mut impl FnMut() -> Peer) {
        let random = (self.random)();
        for output in self.connection.handle(input, self.now, random) {
            match &output {
                Output::Connect(target) => {
                    self.connects.push((self.now, target.clone()));
                    let peer = peer();
                    self.plan(target, peer);
                }
                Output::Close { .. } => {
                    self.planned.clear();
                    if self.answers_close {
                        let answer = Input::Ended(Cause::Closed(Some(4000)));
                        self.planned.push_back((self.now + self.latency, answer));
                    }
                }
                Output::Drop { .. } => self.planned.clear(),
                _ => {}
            }
            self.outputs.push(output);
        }
        if self.connection.asks_leave() {
            self.planned.push_back((self.now, Input::MayConnect));
        }
    }

    fn plan(&mut self, target: &Target, peer: Peer) {
        let mut at = self.now;
        let mut plan = |after: Duration, input| {
            at += after;
            self.planned.push_back((at, input));
        };
        let latency = self.latency;
        let (hello, midway, live, live_for, end) = match peer {
            Peer::Refuse(cause) => {
                plan(latency, Input::Ended(cause));
                return;
            }
            Peer::BeforeHello(end) => (false, 0, false, 0, end),
            Peer::AfterHello(end) => (true, 0, false, 0, end),
            Peer::Midway(events, end) => (true, events, false, 0, end),
            Peer::Live(millis, end) => (true, 1, true, millis, end),
            Peer::UnusableReady => (true, 0, false, 0, End::Silence),
            Peer::Forgetful if target.session.is_some() => {
                (true, 0, false, 0, End::InvalidSession(false, true))
            }
            Peer::Behave | Peer::Forgetful => (true, 3, true, 0, End::Silence),
        };
        plan(latency, Input::Upgraded);
        let unusable = matches!(peer, Peer::UnusableReady);
        if hello {
            plan(latency, Input::Hello);
            if target.session.is_some() {
                for sequence in 0..midway {
                    plan(latency, Input::Event(Some(sequence.into())));
                }
            } else {
                // This process's doing: the peer can't keep it from coming.
                plan(latency, Input::IdentifySent);
            }
        }
        if live || unusable {
            if target.session.is_none() || unusable {
                self.sessions += 1;
                let id = self.sessions.to_string();
                let url = (!unusable).then_some("ws://resume");
                plan(
                    latency,
                    Input::Ready {
                        session: session(&id, url),
                        usable: !unusable,
                    },
                );
            } else {
                plan(latency, Input::Resumed);
            }
        }
        let after = Duration::from_millis(live_for) + latency;
        match end {
            End::Silence => {}
            End::Ended(cause) => plan(after, Input::Ended(cause)),
            End::Reconnect(answers) => {
                plan(after, Input::Reconnect);
                self.answers_close = answers;
            }
            End::InvalidSession(resumable, answers) => {
                plan(after, Input::InvalidSession { resumable });
                self.answers_close = answers;
            }
            End::ClientCloses(answers) => {
                plan(after, Input::ClientCloses(Cause::Misread));
                self.answers_close = answers;
            }
        }
    }

    fn most_connects_in(&self, window: Duration) -> usize {
        let count = |from: Instant| {
            let inside = |at: &Instant| (from..from + window).contains(at);
            self.connects.iter().filter(|(at, _)| inside(at)).count()
        };
        let counts = self.connects.iter().map(|(at, _)| count(*at));
        counts.max().unwrap_or_default()
    }

    /// Where the connections went: `r` to the resume URL, `m` to the main URL with a session, `i` to identify.
    fn targets(&self) -> String {
        let letter = |target: &Target| match &target.session {
            Some(session) if session.url.is_some() => 'r',
            Some(_) => 'm',
            None => 'i',
        };
        self.connects
            .iter()
            .map(|(_, target)| letter(target))
            .collect()
    }

    fn lost(&self) -> usize {
        let lost = |output: &&Output| matches!(output, Output::SessionLost { .. });
        self.outputs.iter().filter(lost).count()
    }
}

/// The targets of the first connections to a peer that always does the same.
fn targets_of(peer: &Peer, connections: usize) -> String {
    let mut run = Run::new(Some(session("a", Some("ws://resume"))), || 0.5);
    let until = run.start + Duration::from_secs(600);
    run.run(until, false, || peer.clone());
    run.targets().chars().take(connections).collect()
}

#[test]
fn refused_resumes_lead_to_the_main_url_and_then_to_a_new_session() {
    for end in [
        End::Ended(Cause::Closed(Some(1011))),
        End::Ended(Cause::Closed(Some(4000))),
        End::Ended(Cause::Closed(None)),
        End::Ended(Cause::Cut),
        End::Reconnect(true),
        End::Reconnect(false),
        End::InvalidSession(true, true),
        End::InvalidSession(true, false),
        End::Silence,
    ] {
        assert_eq!(targets_of(&Peer::AfterHello(end), 7), "rrrmmii", "{end:?}");
    }
}

#[test]
fn a_resume_host_that_is_silent_or_refuses_is_left_at_once() {
    for peer in [
        Peer::Refuse(Cause::Refused),
        Peer::Refuse(Cause::Dns),
        Peer::Refuse(Cause::Tls),
        Peer::BeforeHello(End::Silence),
        Peer::BeforeHello(End::Ended(Cause::Cut)),
    ] {
        // A peer that is away says nothing about the session, which is kept.
        assert_eq!(targets_of(&peer, 9), "rmmmmmmmm", "{peer:?}");
    }
}

#[test]
fn a_session_that_goes_on_is_kept_and_its_url_left_when_it_does_not_hold() {
    let peer = Peer::Live(100, End::Reconnect(true));
    assert_eq!(targets_of(&peer, 8), "rrrmmmmm");
}

#[test]
fn a_session_that_discord_does_not_know_is_given_up_at_once() {
    for end in [
        End::InvalidSession(false, true),
        End::Ended(Cause::Closed(Some(4007))),
        End::Ended(Cause::Closed(Some(4009))),
    ] {
        assert_eq!(targets_of(&Peer::AfterHello(end), 4), "riii", "{end:?}");
    }
    let mut run = Run::new(Some(session("a", None)), || 0.0);
    run.run(run.start + Duration::from_secs(1), false, || {
        Peer::AfterHello(End::InvalidSession(false, true))
    });
    assert_eq!(run.lost(), 1);
    let delay = run.outputs.iter().find_map(|output| match output {
        Output::Retry { delay, .. } => Some(*delay),
        _ => None,
    });
    assert_eq!(delay, Some(Duration::from_secs(1)));
}

#[test]
fn a_fatal_code_ends_it_in_any_state() {
    for peer in [
        Peer::BeforeHello(End::Ended(Cause::Closed(Some(4010)))),
        Peer::AfterHello(End::Ended(Cause::Closed(Some(4010)))),
        Peer::Live(5, End::Ended(Cause::Closed(Some(4010)))),
    ] {
        let mut run = Run::new(None, || 0.0);
        for _ in 0..20 {
            let Some((at, input)) = run.planned.pop_front() else {
                break;
            };
            run.now = at;
            run.give(input, &mut || peer.clone());
        }
        assert_eq!(run.outputs.last(), Some(&Output::Fatal(4010)), "{peer:?}");
        assert!(run.connection.is_over() && run.connects.len() == 1);
    }
}

#[test]
fn after_a_stable_time_the_next_connection_is_made_at_once() {
    let mut run = Run::new(None, || 1.0);
    let mut peers = VecDeque::from([
        Peer::Refuse(Cause::Refused),
        Peer::Refuse(Cause::Refused),
        Peer::Refuse(Cause::Refused),
        Peer::Live(31_000, End::Reconnect(true)),
    ]);
    run.run(run.start + Duration::from_secs(100), false, || {
        peers.pop_front().unwrap_or(Peer::Behave)
    });
    assert!(run.connection.is_live());
    let Some(Output::Retry {
        cause: Cause::Reconnect,
        failures: 0,
        delay,
    }) = run
        .outputs
        .iter()
        .rfind(|output| matches!(output, Output::Retry { .. }))
    else {
        panic!("{:?}", run.outputs);
    };
    assert!(*delay <= Duration::from_millis(500));
}

#[test]
fn each_wait_for_the_peer_has_its_deadline() {
    for (peer, expected, seconds) in [
        (Peer::BeforeHello(End::Silence), Deadline::Hello, 20),
        (Peer::AfterHello(End::Silence), Deadline::Resumed, 60),
        (Peer::Midway(9, End::Silence), Deadline::Resumed, 60),
        (Peer::Live(0, End::Reconnect(false)), Deadline::Close, 5),
        (
            Peer::Live(0, End::InvalidSession(true, false)),
            Deadline::Close,
            5,
        ),
    ] {
        let mut run = Run::new(Some(session("a", None)), || 0.0);
        run.latency = Duration::ZERO;
        let just_before = run.start + Duration::from_millis(seconds * 1000 - 1);
        run.run(just_before, false, || peer.clone());
        assert!(!run.outputs.contains(&Output::Missed(expected)), "{peer:?}");
        run.run(just_before + Duration::from_millis(1), false, || {
            peer.clone()
        });
        assert!(run.outputs.contains(&Output::Missed(expected)), "{peer:?}");
    }
}

#[test]
fn replayed_events_renew_the_deadline() {
    let mut connection = Connection::default();
    let start = Instant::now();
    let mut give = |input, after| connection.handle(input, start + Duration::from_secs(after), 0.0);
    for (input, after) in [
        (Input::Begin(Some(session("a", None))), 0),
        (Input::MayConnect, 0),
        (Input::Upgraded, 0),
        (Input::Hello, 0),
        (Input::Event(Some(9)), 59),
    ] {
        let _ = give(input, after);
    }
    assert_eq!(give(Input::Time, 118), []);
    assert!(give(Input::Time, 119).contains(&Output::Missed(Deadline::Resumed)));
    assert_eq!(
        connection.session().map(|session| session.sequence),
        Some(9)
    );
}

#[test]
fn who_does_not_listen_misses_nothing() {
    let mut connection = Connection::default();
    let start = Instant::now();
    let mut give = |input, after| connection.handle(input, start + Duration::from_secs(after), 0.0);
    for input in [
        Input::Begin(Some(session("a", None))),
        Input::MayConnect,
        Input::Upgraded,
        Input::Hello,
        Input::Reading(false),
    ] {
        let _ = give(input, 0);
    }
    assert_eq!(give(Input::Time, 500), []);
    assert_eq!(give(Input::Reading(true), 500), []);
    assert_eq!(give(Input::Time, 559), []);
    assert!(give(Input::Time, 560).contains(&Output::Missed(Deadline::Resumed)));
}

#[test]
fn a_ready_that_the_client_cannot_use_is_resumed_on_the_main_url() {
    let mut run = Run::new(None, || 0.0);
    let mut peers = VecDeque::from([Peer::UnusableReady]);
    run.run(run.start + Duration::from_secs(10), true, || {
        peers.pop_front().unwrap_or(Peer::Behave)
    });
    assert!(run.connection.is_live());
    assert_eq!((run.targets().as_str(), run.lost()), ("im", 0));
}

#[test]
fn commands_reconnect_with_the_session_or_without() {
    for (new_session, target) in [(false, "ir"), (true, "ii")] {
        let mut run = Run::new(None, || 0.0);
        run.run(run.start + Duration::from_secs(10), true, || Peer::Behave);
        run.give(Input::Command { new_session }, &mut || Peer::Behave);
        let closed = Output::Close {
            end_session: new_session,
        };
        assert!(run.outputs.contains(&closed));
        assert_eq!(run.connection.status(), Status::Disconnected);
        run.run(run.now + Duration::from_secs(10), true, || Peer::Behave);
        assert_eq!((run.targets().as_str(), run.lost()), (target, 0));
    }
}

#[test]
fn it_stops_in_any_state() {
    let mut connection = Connection::default();
    let start = Instant::now();
    let stop = |connection: &mut Connection| connection.handle(Input::Stop, start, 0.0);
    assert_eq!(stop(&mut connection), [Output::Drop { asked: false }]);
    assert!(connection.is_over());

    let mut run = Run::new(None, || 0.0);
    run.run(start + Duration::from_secs(5), true, || Peer::Behave);
    let mut connection = run.connection;
    let now = run.now;
    let closed = connection.handle(Input::Stop, now, 0.0);
    assert_eq!(closed, [Output::Close { end_session: false }]);
    let missed = connection.handle(Input::Time, now + LAST_CLOSE, 0.0);
    assert_eq!(
        missed,
        [
            Output::Missed(Deadline::Close),
            Output::Drop { asked: true }
        ]
    );
    assert!(connection.is_over());
    assert_eq!(connection.handle(Input::Owned, now, 0.0), []);
}

#[test]
fn without_leave_nothing_is_connected() {
    let mut connection = Connection::default();
    let now = Instant::now();
    let mut give = |input| {
        let todo = connection.handle(input, now, 0.0);
        (todo, connection.asks_leave())
    };
    assert_eq!(give(Input::MayConnect), (vec![], false));
    assert_eq!(give(Input::Begin(None)), (vec![], true));
    assert_eq!(give(Input::NotOwned), (vec![], false));
    assert_eq!(give(Input::MayConnect), (vec![], false));
    assert_eq!(give(Input::Owned), (vec![], true));
    let target = Target { session: None };
    assert_eq!(
        give(Input::MayConnect),
        (vec![Output::Connect(target)], false)
    );
}

fn cause() -> impl Strategy<Value = Cause> {
    let codes = prop_oneof![
        Just(None),
        prop::sample::select(vec![
            1000, 1001, 1006, 1011, 4000, 4001, 4002, 4003, 4005, 4007, 4008, 4009
        ])
        .prop_map(Some)
    ];
    prop_oneof![
        Just(Cause::Refused),
        Just(Cause::Dns),
        Just(Cause::Tls),
        Just(Cause::Upgrade),
        Just(Cause::Network),
        Just(Cause::Zombie),
        Just(Cause::Cut),
        codes.prop_map(Cause::Closed),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Silence),
        cause().prop_map(End::Ended),
        any::<bool>().prop_map(End::Reconnect),
        any::<(bool, bool)>()
            .prop_map(|(resumable, answers)| End::InvalidSession(resumable, answers)),
        any::<bool>().prop_map(End::ClientCloses),
    ]
}

/// Ends of live connections; one that lasts is no matter here.
fn live_end() -> impl Strategy<Value = End> {
    end().prop_filter("it ends", |end| !matches!(end, End::Silence))
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        cause().prop_map(Peer::Refuse),
        end().prop_map(Peer::BeforeHello),
        end().prop_map(Peer::AfterHello),
        (any::<u8>(), end()).prop_map(|(events, end)| Peer::Midway(events, end)),
        (0_u64..40_000, live_end()).prop_map(|(millis, end)| Peer::Live(millis, end)),
        (0_u64..10, live_end()).prop_map(|(millis, end)| Peer::Live(millis, end)),
        Just(Peer::UnusableReady),
    ]
}

/// Where the randomness lies for a whole run: at an end of its range, or anywhere.
fn randomness() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        Just(vec![0.0]),
        Just(vec![1.0]),
        prop::collection::vec(0.0..=1.0, 1..50),
    ]
}

/// A peer may do the same again and again, or something else each time.
fn peers() -> impl Strategy<Value = Vec<Peer>> {
    prop::collection::vec(peer(), 1..6)
}

fn start(resumes: bool, randomness: Vec<f64>) -> Run {
    let session = resumes.then(|| session("a", Some("ws://resume")));
    let mut randomness = randomness.into_iter().cycle();
    Run::new(session, move || randomness.next().unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_peer_sees_many_connections(
        resumes: bool,
        randomness in randomness(),
        peers in peers(),
    ) {
        let mut run = start(resumes, randomness);
        let mut peers = peers.into_iter().cycle();
        let until = run.start + Duration::from_secs(300);
        run.run(until, false, || peers.next().unwrap());
        prop_assert!(run.most_connects_in(Duration::from_secs(20)) <= 14);
    }

    #[test]
    fn a_peer_that_behaves_has_the_shard_within_a_minute(
        resumes: bool,
        randomness in randomness(),
        peers in peers(),
        trouble in 0_u64..300,
        knows_session: bool,
    ) {
        let mut run = start(resumes, randomness);
        let mut peers = peers.into_iter().cycle();
        let until = run.start + Duration::from_secs(trouble);
        run.run(until, false, || peers.next().unwrap());
        // What is left of an old connection that does nothing takes its own time.
        run.planned.retain(|(_, input)| *input == Input::MayConnect);
        while !run.connection.is_live() && run.planned.is_empty()
            && !matches!(run.connection.state, State::Waiting { .. })
        {
            let Some(deadline) = run.connection.deadline() else {
                run.give(Input::Ended(Cause::Zombie), &mut || Peer::Behave);
                break;
            };
            run.now = deadline;
            run.give(Input::Time, &mut || Peer::Behave);
        }
        let behaves = run.now;
        let peer = if knows_session { Peer::Behave } else { Peer::Forgetful };
        run.run(behaves + Duration::from_secs(60), true, || peer.clone());
        prop_assert!(run.connection.is_live(), "{:?}", run.connection);
    }
}
