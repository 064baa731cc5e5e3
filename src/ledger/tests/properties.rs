//! What holds whatever happens, in any order (`docs/ARCHITECTURE.md`, invariants).

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::ledger::samples::{
    MINUTE, begin_request, commit_request, fail_request, put_request, tokens,
};
use crate::ledger::tests::holder;
use crate::ledger::{
    Begin, BeginReply, Commit, CommitReply, Entry, Fail, FailKind, FailReply, Grant, NewTokens,
    Record, Settled, Status, Urgency, begin, commit, delete, fail, put, settle,
};
use crate::model::Timestamp;

/// One thing that happens to a session.
#[derive(Debug, Clone)]
enum Step {
    Login,
    Begin(Ask),
    /// `recent` counts grants back from the newest.
    Commit {
        recent: usize,
    },
    Fail {
        recent: usize,
        kind: FailKind,
    },
    Settle {
        max_tries: u32,
    },
    Delete,
    Wait {
        span: Duration,
    },
}

/// How somebody asks to begin.
#[derive(Debug, Clone)]
struct Ask {
    takeover: bool,
    hard: bool,
    outdated: bool,
    patience: Duration,
    max_tries: u32,
}

fn step() -> impl Strategy<Value = Step> {
    let patience = prop_oneof![Just(Duration::ZERO), Just(MINUTE)];
    let kind = prop_oneof![
        Just(FailKind::NotSent),
        Just(FailKind::Refused),
        Just(FailKind::InDoubt),
        Just(FailKind::Rejected),
        Just(FailKind::Rejected),
        Just(FailKind::Misconfigured),
    ];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    prop_oneof![
        1 => Just(Step::Login),
        8 => (flags, patience, 1..4_u32).prop_map(
            |((takeover, hard, outdated), patience, max_tries)| {
                Step::Begin(Ask { takeover, hard, outdated, patience, max_tries })
            }
        ),
        6 => (0..4_usize).prop_map(|recent| Step::Commit { recent }),
        5 => (0..2_usize, kind).prop_map(|(recent, kind)| Step::Fail { recent, kind }),
        2 => (1..4_u32).prop_map(|max_tries| Step::Settle { max_tries }),
        1 => Just(Step::Delete),
        3 => (0..5000_u64).prop_map(|s| Step::Wait { span: Duration::from_secs(s) }),
    ]
}

/// A session, everything granted to it, and the names of all replies seen.
struct World {
    entry: Entry,
    now: Timestamp,
    grants: Vec<(u128, Grant)>,
    seen: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let (entry, now) = (Entry::default(), Timestamp::from_millis(1_700_000_000_000));
        Self { entry, now, grants: Vec::new(), seen: BTreeSet::new() }
    }

    fn take(&mut self, step: &Step) {
        let before = self.entry.clone();
        match step {
            Step::Login => self.login(),
            Step::Begin(ask) => self.begin(&self.request(ask)),
            Step::Commit { recent } => self.commit(*recent),
            Step::Fail { recent, kind } => self.fail(*recent, *kind),
            Step::Settle { max_tries } => self.settle(*max_tries),
            Step::Delete => {
                delete(&mut self.entry, self.now);
            }
            Step::Wait { span } => self.now = self.now + *span,
        }
        self.check_order(&before);
    }

    fn note(&mut self, reply: &impl std::fmt::Debug) {
        let text = format!("{reply:?}");
        let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        self.seen.insert(name.to_owned());
    }

    fn generation(&self) -> u64 {
        self.entry.next_put_generation().saturating_sub(2)
    }

    /// Generations, versions and sequences never go back; a live session is looked after.
    fn check_order(&self, before: &Entry) {
        let order = |entry: &Entry| {
            let live = entry.record.as_ref().map(|r| (r.generation, r.version, r.last_sequence));
            let buried =
                entry.tombstone.as_ref().map(|t| (t.generation, t.version, t.last_sequence));
            live.or(buried).unwrap_or((0, 0, 0))
        };
        let (old, new) = (order(before), order(&self.entry));
        assert!(old.0 <= new.0 && old.1 <= new.1 && old.2 <= new.2, "{old:?} to {new:?}");
        let Some(record) = &self.entry.record else {
            assert_eq!(self.entry.due, None);
            return;
        };
        assert_eq!(self.entry.due.is_none(), record.status == Status::Dead, "{:?}", self.entry);
        if record.status != Status::Active {
            assert_eq!(record.slot, None, "no exchange is open");
        }
        if let Some(earlier) = &before.record
            && (&earlier.access, earlier.status) != (&record.access, record.status)
        {
            assert!(record.version > earlier.version, "readers must notice");
        }
    }

    fn login(&mut self) {
        let generation = self.entry.next_put_generation();
        put(&mut self.entry, self.now, &put_request(generation, "login"));
        assert_eq!(holder(&self.entry), None);
        // Whatever was granted before is worth nothing from now on.
        for (attempt, grant) in &self.grants {
            let mut entry = self.entry.clone();
            let reply = commit(&mut entry, self.now, &commit_request(*attempt, grant, "old"));
            assert_eq!((reply, &entry), (CommitReply::Stale { generation }, &self.entry));
        }
    }

    fn request(&self, ask: &Ask) -> Begin {
        let attempt = u128::try_from(self.grants.len()).unwrap() + 1;
        let due = Urgency::Due { fresh_margin: MINUTE };
        Begin {
            takeover_of: holder(&self.entry).filter(|_| ask.takeover),
            patience: ask.patience,
            max_tries: ask.max_tries,
            urgency: if ask.hard { Urgency::Hard } else { due },
            ..begin_request(attempt, self.generation().saturating_sub(ask.outdated.into()))
        }
    }

    fn begin(&mut self, request: &Begin) {
        let before = self.entry.clone();
        let reply = begin(&mut self.entry, self.now, request);
        self.note(&reply);
        let BeginReply::Granted(grant) = reply else {
            assert_eq!(self.entry, before, "a refusal changes nothing");
            return;
        };
        let (old, new) = (before.record.unwrap(), self.entry.record.clone().unwrap());
        assert_eq!(old.status, Status::Active);
        if let Some(slot) = &old.slot {
            assert!(slot.until <= self.now && request.takeover_of == Some(slot.attempt));
        }
        assert_eq!((grant.base, grant.tries), (old.generation, old.tries + 1));
        assert!(grant.tries <= request.max_tries);
        assert!(self.grants.iter().all(|(_, earlier)| earlier.sequence < grant.sequence));
        assert_eq!(new.slot.as_ref().map(|slot| slot.base), Some(grant.base));
        let mut again = self.entry.clone();
        let repeated = begin(&mut again, self.now, request);
        assert_eq!((repeated, &again), (BeginReply::Granted(grant.clone()), &self.entry));
        self.grants.push((request.attempt.0, grant));
    }

    fn granted(&self, recent: usize) -> Option<(u128, Grant)> {
        self.grants.iter().rev().nth(recent).cloned()
    }

    fn commit(&mut self, recent: usize) {
        let Some((attempt, grant)) = self.granted(recent) else {
            return;
        };
        let name = format!("tokens of {attempt}");
        // Now and then the provider gives no new refresh token: the one in use stays good.
        let refresh = tokens(&name).refresh.filter(|_| attempt % 7 != 0);
        let tokens = NewTokens { refresh, ..tokens(&name) };
        let request = Commit { tokens, ..commit_request(attempt, &grant, &name) };
        let before = self.entry.clone();
        let reply = commit(&mut self.entry, self.now, &request);
        self.note(&reply);
        check_commit(&before, &self.entry, &request, &reply);
        let mut again = self.entry.clone();
        let repeated = commit(&mut again, self.now, &request);
        assert_eq!(again, self.entry, "a repeated commit changes nothing");
        let same = repeated == reply
            || matches!((&reply, &repeated), (CommitReply::Healed(a), CommitReply::Installed(b)) if a == b);
        assert!(same, "{reply:?}, then {repeated:?}");
    }

    fn fail(&mut self, recent: usize, kind: FailKind) {
        let Some((attempt, grant)) = self.granted(recent) else {
            return;
        };
        let request = fail_request(attempt, grant.base, kind);
        let before = self.entry.clone();
        let reply = fail(&mut self.entry, self.now, &request);
        self.note(&reply);
        check_fail(&before, &self.entry, &request, &reply);
        let mut again = self.entry.clone();
        fail(&mut again, self.now, &request);
        assert_eq!(again, self.entry, "a repeated failure changes nothing");
    }

    fn settle(&mut self, max_tries: u32) {
        let before = self.entry.clone();
        let settled = settle(&mut self.entry, self.now, max_tries);
        self.note(&settled);
        match (settled, before.record.as_ref().map(|record| (record.status, record.tries))) {
            (Settled::Dead, Some((Status::Suspect { until }, tries))) => {
                assert!(until <= self.now && tries >= max_tries);
            }
            (Settled::LastTry, Some((Status::Suspect { until }, tries))) => {
                assert!(until <= self.now && tries < max_tries);
            }
            (Settled::NotYet { .. } | Settled::NotSuspect, _) => assert_eq!(self.entry, before),
            other => panic!("{other:?}"),
        }
    }
}

fn check_commit(before: &Entry, after: &Entry, request: &Commit, reply: &CommitReply) {
    let Some(old) = &before.record else {
        assert_eq!(after, before, "nothing comes back after a deletion");
        assert!(matches!(reply, CommitReply::Gone | CommitReply::Absent), "{reply:?}");
        return;
    };
    let new = after.record.as_ref().expect("a commit deletes nothing");
    if holder(before) != Some(request.attempt) {
        assert_eq!(new.slot, old.slot, "the holder keeps its slot");
    } else {
        assert_eq!(new.slot, None);
    }
    let installed = |record: &Record| (record.generation, record.committed_sequence);
    if installed(new) < installed(old) {
        assert!(matches!(reply, CommitReply::Healed(_)), "an older exchange replaced a newer one");
        assert_ne!(old.status, Status::Active);
    }
    if old.generation == request.base + 1 && old.committed_attempt == Some(request.attempt) {
        assert_eq!(after, before, "it was installed before");
        return;
    }
    match reply {
        CommitReply::Installed(_) | CommitReply::Healed(_) => {
            assert_eq!(new.status, Status::Active);
            let given = request.tokens.refresh.as_ref();
            assert_eq!(new.refresh.as_ref(), given.or(old.refresh.as_ref()));
            let superseded = old.generation == new.generation && old.status == Status::Active;
            if superseded && given.is_some() {
                assert_eq!(new.spare, old.refresh, "the loser is kept");
            }
        }
        CommitReply::Late { .. } => {
            assert_eq!(new.refresh, old.refresh);
            // The token in use is no spare of itself.
            let given =
                request.tokens.refresh.as_ref().filter(|it| Some(*it) != old.refresh.as_ref());
            assert_eq!(new.spare.as_ref(), given.or(old.spare.as_ref()), "the loser is kept");
        }
        CommitReply::Stale { .. } => {
            assert_eq!((&new.refresh, &new.spare), (&old.refresh, &old.spare))
        }
        CommitReply::Gone | CommitReply::Absent => panic!("the session is there"),
    }
}

fn check_fail(before: &Entry, after: &Entry, request: &Fail, reply: &FailReply) {
    if before.record.is_none() || holder(before) != Some(request.attempt) {
        assert_eq!(after, before, "only the holder may fail");
        return;
    }
    let (old, new) = (before.record.as_ref().unwrap(), after.record.as_ref().unwrap());
    assert_eq!(new.slot, None);
    let rejected = request.kind == FailKind::Rejected && old.generation == request.base;
    match reply {
        FailReply::Dead => assert!(rejected && old.tries == 1 && old.spare.is_none(), "{old:?}"),
        FailReply::Suspect { .. } => assert!(rejected && old.tries > 1 && old.spare.is_none()),
        FailReply::TrySpare { .. } => assert!(rejected && new.refresh == old.spare),
        FailReply::Retry { .. } => {
            let unsent = request.kind != FailKind::InDoubt;
            assert_eq!(new.tries, old.tries - u32::from(unsent));
            assert_eq!(new.status, Status::Active);
        }
        FailReply::Recovered { .. } => assert!(old.generation > request.base),
        other => panic!("{other:?}"),
    }
}

fn play(steps: &[Step]) -> BTreeSet<String> {
    let mut world = World::new();
    world.login();
    steps.iter().for_each(|step| world.take(step));
    world.seen
}

proptest! {
    #[test]
    fn invariants_hold_in_every_history(steps in prop::collection::vec(step(), 1..80)) {
        play(&steps);
    }
}

/// Without this the histories might be too tame to mean anything.
#[test]
fn histories_reach_every_reply() {
    let mut runner = TestRunner::deterministic();
    let histories = prop::collection::vec(step(), 80);
    let mut seen = BTreeSet::new();
    for _ in 0..150 {
        let history = histories.new_tree(&mut runner).unwrap();
        seen.extend(play(&proptest::strategy::ValueTree::current(&history)));
    }

    let all = "Granted Newer Fresh Backoff Busy Exhausted Suspect Dead Gone \
               Installed Healed Late Stale Retry Recovered TrySpare NotYet LastTry NotSuspect";
    let missing: Vec<_> = all.split(' ').filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}
