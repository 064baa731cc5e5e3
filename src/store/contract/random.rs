//! Random operations: the store answers and remembers exactly what the pure ledger does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::samples::{HOUR, MINUTE, sealed, tokens};
use crate::ledger::{
    AttemptId, Begin, Claim, Commit, Entry, ErrorNote, Fail, FailKind, NewTokens, NodeId, Origin,
    Put, Reassert, Tombstone, Urgency, begin, bury, commit, delete, fail, postpone, put, reassert,
    set_profile, settle, visible_again,
};
use crate::model::{ProviderId, SessionKey, Timestamp};
use crate::store::{At, SessionStore};

const ANSWERS: &str = "the store answers";

/// A finite run of arbitrary bytes that choices are made from. Zero means the plainest choice.
#[derive(Debug)]
pub(super) struct Randomness {
    bytes: std::vec::IntoIter<u8>,
}

impl Randomness {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter() }
    }

    /// SplitMix64, so that every run of the suite plays the same sequences.
    pub(super) fn from_seed(seed: u64, length: usize) -> Self {
        let mut state = seed;
        let word = |_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)).to_be_bytes()
        };
        Self::new((0..length.div_ceil(8)).flat_map(word).collect())
    }

    fn is_used_up(&self) -> bool {
        self.bytes.len() == 0
    }

    fn below(&mut self, end: u8) -> u8 {
        self.bytes.next().unwrap_or(0) % end
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let last = u8::try_from(choices.len()).expect("a handful of choices");
        choices[usize::from(self.below(last))].clone()
    }
}

/// Plays operations until the randomness is used up; returns the names of the replies that came.
pub(super) async fn play(store: Arc<dyn SessionStore>, mut random: Randomness) -> BTreeSet<String> {
    let (model, latest, seen) = (BTreeMap::new(), Timestamp::default(), BTreeSet::new());
    let mut game = Game { store, model, latest, moves: 0, seen };
    while !random.is_used_up() {
        game.step(&mut random).await;
    }
    game.seen
}

struct Game {
    store: Arc<dyn SessionStore>,
    model: BTreeMap<SessionKey, Entry>,
    /// The store's time as last seen.
    latest: Timestamp,
    moves: u32,
    seen: BTreeSet<String>,
}

impl Game {
    async fn step(&mut self, random: &mut Randomness) {
        self.moves += 1;
        let name = random.pick(&["a", "a", "b"]);
        let key = SessionKey::new("random", name).expect("a plain short name");
        let is_there = self.entry(&key).record.is_some();
        match random.below(21) {
            0 => self.put(&key, random).await,
            // Little happens to what is not there.
            1..=9 if !is_there => self.put(&key, random).await,
            1..=7 => self.begin(&key, random).await,
            8 | 9 => self.commit(&key, random).await,
            10..=13 if self.holder(&key).is_some() => self.fail(&key, random).await,
            10..=13 => self.settle(&key, random).await,
            14 | 15 => self.settle(&key, random).await,
            16 => self.postpone(&key, random).await,
            17 | 18 => self.claim(random).await,
            20 => self.put_back(&key, random).await,
            _ => self.delete_or_describe(&key, random).await,
        }
        let loaded = self.store.load(&key).await.expect(ANSWERS);
        self.see(&loaded);
        let moves = self.moves;
        assert_eq!(&loaded.reply, self.entry(&key), "{key:?} after move {moves}");
        let read = self.store.read(&key).await.expect(ANSWERS);
        let due = read.reply.due.or(loaded.reply.due);
        assert_eq!(Entry { due, ..read.reply }, loaded.reply, "{key:?} after move {moves}");
        assert!(read.now <= self.store.load(&key).await.expect(ANSWERS).now, "ahead of the store");
    }

    fn entry(&mut self, key: &SessionKey) -> &mut Entry {
        self.model.entry(key.clone()).or_default()
    }

    fn see<T: std::fmt::Debug>(&mut self, at: &At<T>) {
        assert!(at.now >= self.latest, "the store's time went back");
        self.latest = at.now;
        let reply = format!("{:?}", at.reply);
        let name = reply.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        self.seen.insert(name.to_owned());
    }

    fn generation(&mut self, key: &SessionKey) -> u64 {
        self.entry(key).next_put_generation().saturating_sub(2)
    }

    fn holder(&mut self, key: &SessionKey) -> Option<AttemptId> {
        self.entry(key).record.as_ref()?.slot.as_ref().map(|slot| slot.attempt)
    }

    async fn put(&mut self, key: &SessionKey, random: &mut Randomness) {
        let wanted = self.entry(key).next_put_generation();
        let request = Put {
            generation: random.pick(&[wanted, wanted, wanted.saturating_sub(1), wanted + 2]),
            provider: ProviderId::new("sample").expect("a plain short name"),
            tokens: self.tokens(random),
        };
        let at = self.store.put(key, request.clone()).await.expect(ANSWERS);
        self.see(&at);
        assert_eq!(at.reply, put(self.entry(key), at.now, &request), "{request:?}");
    }

    async fn begin(&mut self, key: &SessionKey, random: &mut Randomness) {
        let generation = self.generation(key);
        let older = generation.saturating_sub(1);
        let patience = random.pick(&[MINUTE, Duration::ZERO]);
        let request = Begin {
            attempt: attempt(random),
            node: NodeId { name: "node".into(), incarnation: 1 },
            minimum_generation: random.pick(&[0, 0, generation, generation, 0, 0, generation + 1]),
            expected_generation: random
                .pick(&[generation, generation, generation, generation, generation, older]),
            takeover_of: random.pick(&[self.holder(key), None, Some(AttemptId(1))]),
            patience,
            max_tries: random.pick(&[3, 2, 1]),
            urgency: random.pick(&[
                Urgency::Hard,
                Urgency::Hard,
                Urgency::Due { fresh_margin: MINUTE },
            ]),
            confirmed: random.pick(&[false, true]),
        };
        let at = self.store.begin(key, request.clone()).await.expect(ANSWERS);
        self.see(&at);
        assert_eq!(at.reply, begin(self.entry(key), at.now, &request), "{request:?}");
    }

    async fn commit(&mut self, key: &SessionKey, random: &mut Randomness) {
        let generation = self.generation(key);
        let last = self.entry(key).record.as_ref().map_or(0, |record| record.last_sequence);
        let back = |steps| generation.saturating_sub(steps);
        let request = Commit {
            attempt: attempt(random),
            base: random.pick(&[back(0), back(1), back(1), back(2)]),
            sequence: last.saturating_sub(random.below(3).into()),
            tokens: self.tokens(random),
            last_read: random.pick(&[None, Some(self.latest)]),
            origin: random.pick(&[
                None,
                None,
                None,
                None,
                None,
                Some(origin(generation)),
                Some(origin(9)),
            ]),
        };
        let at = self.store.commit(key, request.clone()).await.expect(ANSWERS);
        self.see(&at);
        assert_eq!(at.reply, commit(self.entry(key), at.now, &request), "{request:?}");
    }

    async fn fail(&mut self, key: &SessionKey, random: &mut Randomness) {
        let generation = self.generation(key);
        let holder = self.holder(key).unwrap_or(AttemptId(0));
        let at = self.latest;
        let request = Fail {
            attempt: random.pick(&[holder, holder, AttemptId(1)]),
            base: random.pick(&[generation, generation, generation.saturating_sub(1)]),
            kind: random.pick(&[
                FailKind::InDoubt,
                FailKind::Rejected,
                FailKind::Rejected,
                FailKind::NotSent,
                FailKind::Refused,
                FailKind::Misconfigured,
            ]),
            delay: random.pick(&[Duration::ZERO, MINUTE]),
            suspect_for: random.pick(&[Duration::ZERO, MINUTE]),
            error: ErrorNote { code: "sample_error".into(), description: None, at },
        };
        let at = self.store.fail(key, request.clone()).await.expect(ANSWERS);
        self.see(&at);
        assert_eq!(at.reply, fail(self.entry(key), at.now, &request), "{request:?}");
    }

    /// Rare, as it starts the session's history anew.
    async fn put_back(&mut self, key: &SessionKey, random: &mut Randomness) {
        match random.below(6) {
            0 => self.reassert(key, random).await,
            1 => self.bury(key, random).await,
            _ => self.begin(key, random).await,
        }
    }

    async fn reassert(&mut self, key: &SessionKey, random: &mut Randomness) {
        let generation = self.generation(key);
        let last = self.entry(key).record.as_ref().map_or(0, |record| record.last_sequence);
        let request = Reassert {
            attempt: attempt(random),
            node: NodeId { name: "other node".into(), incarnation: u64::MAX },
            base: random.pick(&[generation, generation.saturating_sub(1), generation + 2]),
            sequence: (last + 1).saturating_sub(random.below(3).into()),
            tries: random.pick(&[1, 2]),
            patience: random.pick(&[MINUTE, Duration::ZERO]),
            tokens: self.tokens(random),
            origin: random.pick(&[origin(generation), origin(9)]),
        };
        let at = self.store.reassert(key, request.clone()).await.expect(ANSWERS);
        self.see(&at);
        assert_eq!(at.reply, reassert(self.entry(key), at.now, &request), "{request:?}");
    }

    async fn bury(&mut self, key: &SessionKey, random: &mut Randomness) {
        let generation = self.generation(key);
        let stone = Tombstone {
            generation: random.pick(&[generation.saturating_sub(1), generation]),
            version: 7,
            last_sequence: 8,
            until: Timestamp::default(),
        };
        let at = self.store.bury(key, stone.clone()).await.expect(ANSWERS);
        self.see(&at);
        assert_eq!(at.reply, bury(self.entry(key), at.now, &stone), "{stone:?}");
    }

    async fn settle(&mut self, key: &SessionKey, random: &mut Randomness) {
        let max_tries = random.pick(&[3, 2]);
        let at = self.store.settle(key, max_tries).await.expect(ANSWERS);
        self.see(&at);
        assert_eq!(at.reply, settle(self.entry(key), at.now, max_tries));
    }

    async fn postpone(&mut self, key: &SessionKey, random: &mut Randomness) {
        let due_in = random.pick(&[Some(MINUTE), None, Some(Duration::ZERO)]);
        let last_read = random.pick(&[None, Some(self.latest)]);
        self.store.postpone(key, due_in, last_read).await.expect(ANSWERS);
        // The reply does not tell the store's time: it is read back from what it did.
        let loaded = self.store.load(key).await.expect(ANSWERS);
        let now = match (due_in, loaded.reply.due, &loaded.reply.record) {
            (Some(span), Some(due), Some(_)) => due - span,
            _ => loaded.now,
        };
        assert!((self.latest..=loaded.now).contains(&now), "{now:?}");
        postpone(self.entry(key), now, due_in, last_read);
    }

    async fn claim(&mut self, random: &mut Randomness) {
        let request = Claim {
            horizon: random.pick(&[MINUTE, Duration::ZERO, HOUR]),
            limit: random.pick(&[2, 1, 10]),
            visibility: random.pick(&[MINUTE, Duration::ZERO]),
        };
        let at = self.store.claim(request).await.expect(ANSWERS);
        self.see(&at);
        let ahead = at.now + request.horizon;
        let due = |(key, entry): (&SessionKey, &Entry)| Some((entry.due?, key.clone()));
        let mut expected: Vec<_> = self.model.iter().filter_map(due).collect();
        expected.sort();
        expected.retain(|(due, _)| *due <= ahead);
        expected.truncate(request.limit);
        for (due, key) in &expected {
            self.entry(key).due = Some(visible_again(*due, at.now, request.visibility));
        }
        let expected: Vec<_> = expected.into_iter().map(|(due, key)| (key, due)).collect();
        assert_eq!(at.reply, expected, "{request:?}");
    }

    async fn delete_or_describe(&mut self, key: &SessionKey, random: &mut Randomness) {
        if random.pick(&[true, false]) {
            let at = self.store.delete(key).await.expect(ANSWERS);
            self.see(&at);
            assert_eq!(at.reply, delete(self.entry(key), at.now));
        } else {
            let profile = sealed(&format!("profile {}", self.moves));
            let there = self.store.set_profile(key, 1, profile.clone()).await.expect(ANSWERS);
            assert_eq!(there, set_profile(self.entry(key), 1, profile));
        }
    }

    fn tokens(&self, random: &mut Randomness) -> NewTokens {
        let fresh = tokens(&self.moves.to_string());
        NewTokens {
            refresh: random.pick(&[fresh.refresh.clone(), fresh.refresh.clone(), None]),
            extra: random.pick(&[None, Some(sealed("extra"))]),
            expires_in: random.pick(&[Some(Duration::ZERO), Some(HOUR), None]),
            refresh_expires_in: random.pick(&[fresh.refresh_expires_in, None]),
            due_in: random.pick(&[Some(MINUTE), Some(Duration::ZERO), None]),
            ..fresh
        }
    }
}

fn origin(version: u64) -> Origin {
    Origin { provider: ProviderId::new("origin").expect("a plain short name"), grant: 1, version }
}

fn attempt(random: &mut Randomness) -> AttemptId {
    AttemptId(u128::from(random.below(5)))
}
