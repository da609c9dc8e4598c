use super::*;
use crate::core::{applied::Stored, journal::JournalWriter};

fn event(sequence: u64) -> EventId {
    EventId {
        total: 1,
        shard: 0,
        session: "s".into(),
        sequence,
    }
}

fn owner() -> Owner {
    Owner::new("nonce".into(), None)
}

/// What is stored of shard 0 of one.
fn applied(text: &str) -> Stored {
    Stored {
        shards: [("1:0".to_owned(), text.to_owned())].into(),
        numbers: [(0, text.to_owned())].into(),
    }
}

/// What a predecessor leaves that has applied up to `last`, of which these are in the journal.
fn left(last: u64, journaled: &[u64]) -> Loaded {
    let mut journal = JournalWriter::default();
    for sequence in journaled {
        journal.push("s", *sequence, Some("{}"), None);
    }
    Loaded {
        applied: applied(&format!(r#"[["s",{last}]]"#)),
        journal: Some(JournalWriter::finish("other/1", [&journal])),
    }
}

fn published(action: Action) -> Vec<usize> {
    let Action::Publish(publications) = action else {
        panic!("{action:?}")
    };
    publications.iter().map(|one| one.event).collect()
}

#[test]
fn a_batch_is_acknowledged_last() {
    let mut owner = owner();
    assert_eq!(owner.next_action(), Action::Await);
    owner.delivered(vec![vec![event(1)], vec![event(2), event(3)]], None);
    let claim = Claim {
        token: "nonce:1".into(),
        holder: None,
    };
    assert_eq!(owner.next_action(), Action::Claim(claim));
    owner.claimed(&Loaded::default());
    assert_eq!(owner.next_action(), Action::Purge(vec![0, 1, 2]));
    // The plan has cut the batch short.
    owner.purged(2);
    assert_eq!(owner.next_action(), Action::Read);
    owner.planned(vec![None, Some("1".into())]);
    let Action::Commit(commit) = owner.next_action() else {
        panic!("not a commit")
    };
    assert_eq!(commit.applied, applied(r#"[["s",2]]"#));
    owner.committed();
    assert_eq!(published(owner.next_action()), [0, 1]);
    assert!(owner.published().is_none());
    owner.confirmed();
    assert!(owner.published().is_some());
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
    assert!(!owner.may_retire());
    let _ = committed(&mut owner);
    assert_eq!(published(owner.next_action()), [2]);
    assert_eq!(owner.next_action(), Action::Await);
    assert!(!owner.may_retire());
    owner.confirmed();
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
    assert_eq!(owner.next_action(), Action::Await);
    assert!(owner.may_retire());
}

/// Takes a batch of one event up to its commit.
fn committed(owner: &mut Owner) -> Commit {
    assert!(matches!(owner.next_action(), Action::Purge(_)));
    owner.purged(1);
    assert_eq!(owner.next_action(), Action::Read);
    owner.planned(vec![None]);
    let Action::Commit(commit) = owner.next_action() else {
        panic!("not a commit")
    };
    owner.committed();
    commit
}

fn journaled(commit: &Commit, sequences: impl IntoIterator<Item = u64>) -> bool {
    let mut journal = Journal::decode(&commit.journal).unwrap();
    let all = (sequences.into_iter()).all(|sequence| journal.take("s", sequence).is_some());
    all && journal.is_empty()
}

#[test]
fn the_next_batches_are_applied_while_confirms_are_awaited() {
    let mut owner = owner();
    owner.delivered(vec![vec![event(1)], vec![event(2), event(3)]], None);
    let _ = owner.next_action();
    owner.claimed(&Loaded::default());
    assert!(journaled(&committed(&mut owner), [1]));
    assert_eq!(published(owner.next_action()), [0]);
    assert!(journaled(&committed(&mut owner), [1, 2]));
    assert_eq!(published(owner.next_action()), [1]);
    // The journal would grow without end.
    assert_eq!(owner.next_action(), Action::AwaitConfirm);
    owner.confirmed();
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
    assert!(journaled(&committed(&mut owner), [2, 3]));
    assert_eq!(published(owner.next_action()), [2]);
    assert_eq!(owner.next_action(), Action::Await);
    // Also deliveries that come meanwhile.
    owner.confirmed();
    assert_eq!(owner.next_action(), Action::Await);
    owner.delivered(vec![vec![event(3)], vec![event(4)]], None);
    assert!(journaled(&committed(&mut owner), [3, 4]));
    assert_eq!(published(owner.next_action()), [1]);
    owner.confirmed();
    assert_eq!(owner.next_action(), Action::Acknowledge(2));
    owner.confirmed();
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
    assert!(owner.may_retire());
}

/// What is in flight is neither published again nor forgotten when Redis has to be claimed again.
#[test]
fn what_is_in_flight_outlives_a_connection_to_redis() {
    let mut owner = owner();
    owner.delivered(vec![vec![event(1)], vec![event(2)]], None);
    let _ = owner.next_action();
    owner.claimed(&Loaded::default());
    let first = committed(&mut owner);
    assert_eq!(published(owner.next_action()), [0]);
    owner.timed_out();
    assert!(matches!(owner.next_action(), Action::Claim(_)));
    owner.claimed(&Loaded {
        applied: first.applied,
        journal: Some(first.journal),
    });
    assert!(journaled(&committed(&mut owner), [1, 2]));
    assert_eq!(published(owner.next_action()), [1]);
    owner.confirmed();
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
}

#[test]
fn what_a_predecessor_left_is_confirmed_before_its_journal_is_replaced() {
    let mut owner = owner();
    owner.delivered(vec![vec![event(7), event(8)]], None);
    let _ = owner.next_action();
    owner.claimed(&left(7, &[7]));
    assert_eq!(published(owner.next_action()), [0]);
    assert_eq!(owner.next_action(), Action::AwaitConfirm);
    owner.confirmed();
    assert!(journaled(&committed(&mut owner), [8]));
}

#[test]
fn every_connection_has_a_token_of_its_own() {
    let mut owner = owner();
    owner.delivered(vec![vec![event(1)]], None);
    let mut tokens = Vec::new();
    for holder in [None, None, Some("nonce:".to_owned())] {
        let Action::Claim(claim) = owner.next_action() else {
            panic!("no claim")
        };
        assert_eq!(claim.holder, holder);
        tokens.push(claim.token);
        if tokens.len() == 2 {
            owner.claimed(&Loaded::default());
            assert_eq!(owner.next_action(), Action::Purge(vec![0]));
        }
        owner.timed_out();
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 3);
}

/// Redis can be read and claimed, but takes no commits: the journal that was found is published once.
#[test]
fn a_journal_is_published_once_however_often_it_is_found() {
    let mut owner = owner();
    // One frame came twice.
    owner.delivered(
        vec![vec![event(7), event(8)], vec![event(8)], vec![event(9)]],
        None,
    );
    for round in 0..4 {
        assert!(matches!(owner.next_action(), Action::Claim(_)));
        owner.claimed(&left(8, &[7, 8]));
        if round == 0 {
            assert_eq!(published(owner.next_action()), [0, 1]);
            owner.confirmed();
            assert_eq!(owner.next_action(), Action::Acknowledge(2));
        }
        assert_eq!(owner.next_action(), Action::Purge(vec![3]));
        owner.timed_out();
    }
    assert_eq!(
        owner.findings(),
        [Finding::Duplicates(1), Finding::Replays(2)]
    );
}

/// The outcome of a commit is not known: what Redis holds tells.
#[test]
fn a_batch_that_was_applied_unnoticed_is_published_from_its_journal() {
    let mut owner = owner();
    owner.delivered(vec![vec![event(1)]], None);
    let _ = owner.next_action();
    owner.claimed(&Loaded::default());
    let _ = owner.next_action();
    owner.purged(1);
    let _ = owner.next_action();
    owner.planned(vec![Some("1".into())]);
    let Action::Commit(commit) = owner.next_action() else {
        panic!("not a commit")
    };
    owner.timed_out();
    assert!(matches!(owner.next_action(), Action::Claim(_)));
    owner.claimed(&Loaded {
        applied: commit.applied,
        journal: Some(commit.journal),
    });
    let Action::Publish(publications) = owner.next_action() else {
        panic!("not published")
    };
    assert_eq!(publications[0].old.as_deref(), Some("1"));
    owner.confirmed();
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
}

#[test]
fn an_unreadable_delivery_is_left_behind_what_can_be_done() {
    let mut owner = owner();
    owner.delivered(vec![vec![], vec![event(1)]], Some("version 9".into()));
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
    let _ = owner.next_action();
    owner.claimed(&left(1, &[]));
    assert_eq!(owner.next_action(), Action::Acknowledge(1));
    let unreadable = Action::GiveUp(Reason::Unreadable("version 9".into()));
    assert_eq!(owner.next_action(), unreadable);
    assert_eq!(owner.next_action(), unreadable);
}

#[test]
fn what_redis_holds_of_a_newer_version_is_not_touched() {
    let newer = [
        Loaded {
            journal: Some(r#"{"version":9}"#.into()),
            ..Loaded::default()
        },
        Loaded {
            applied: applied("v9"),
            journal: None,
        },
    ];
    for loaded in newer {
        let mut owner = owner();
        owner.delivered(vec![vec![event(1)]], None);
        let _ = owner.next_action();
        owner.claimed(&loaded);
        let next = owner.next_action();
        assert!(
            matches!(next, Action::GiveUp(Reason::Unreadable(_))),
            "{next:?}"
        );
        assert!(!owner.may_retire());
    }
}

#[test]
fn fenced_and_unpublished_owners_let_go() {
    let mut owner = owner();
    owner.delivered(vec![vec![event(1)]], None);
    let _ = owner.next_action();
    owner.refused();
    assert_eq!(owner.next_action(), Action::GiveUp(Reason::Fenced));
    let mut owner = self::owner();
    owner.delivered(vec![vec![event(1)]], None);
    let _ = owner.next_action();
    owner.claimed(&left(1, &[1]));
    let _ = owner.next_action();
    owner.unpublished();
    assert_eq!(owner.next_action(), Action::GiveUp(Reason::Unpublished));
}
