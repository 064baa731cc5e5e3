//! Puts together what the entries of all segments say: who was answered, what is done, what is open.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::journal::book::Segment;
use crate::journal::codec::{Stamp, Written};
use crate::journal::{Answer, Intent, Recorded, Recovered, Unreadable};
use crate::ledger::{AttemptId, Tombstone};
use crate::model::{BootTime, SessionKey};

/// Where an entry stands, and how the clocks of then and now compare.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) now: Stamp,
    pub(super) same_boot: bool,
}

impl Place {
    fn age(self, at: Stamp) -> Duration {
        at.age(self.now, self.same_boot)
    }
}

/// What was read so far.
pub(super) struct Gathering {
    retention: Duration,
    exchanges: Vec<Exchange>,
    index: HashMap<AttemptId, usize>,
    deletions: HashMap<SessionKey, Recorded<(SessionKey, Tombstone)>>,
    remaining: Vec<(u64, HashSet<AttemptId>)>,
    /// By segment, the age of its youngest deletion.
    youngest_deletion: BTreeMap<u64, Duration>,
    /// By segment, which others it has marks of.
    marks: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Exchange {
    attempt: Option<AttemptId>,
    intent: Option<(Intent, Duration)>,
    answer: Option<(Answer, Duration)>,
    unreadable: Option<(Unreadable, Duration)>,
    /// Where its entries stand.
    segments: Vec<u64>,
    done: bool,
    /// How long ago the last thing happened to it.
    youngest: Option<Duration>,
}

impl Exchange {
    fn touch(&mut self, age: Duration) {
        self.youngest = Some(self.youngest.map_or(age, |youngest| youngest.min(age)));
    }

    fn stands_in(&mut self, segment: u64) {
        if self.segments.last() != Some(&segment) {
            self.segments.push(segment);
        }
    }

    /// A done exchange older than the retention is of no use to anyone.
    fn forget_if_over(&mut self, retention: Duration) {
        if self.done && self.youngest.is_none_or(|age| age > retention) {
            (self.intent, self.answer, self.unreadable) = (None, None, None);
        }
    }
}

impl Gathering {
    pub(super) fn new(retention: Duration) -> Self {
        Self {
            retention,
            exchanges: Vec::new(),
            index: HashMap::new(),
            deletions: HashMap::new(),
            remaining: Vec::new(),
            youngest_deletion: BTreeMap::new(),
            marks: Vec::new(),
        }
    }

    /// Takes in one entry; false if it names no possible session.
    pub(super) fn take(&mut self, place: Place, written: Written) -> bool {
        match written {
            Written::Intent { at, attempt, key, provider, base } => {
                let Ok(key) = SessionKey::from_joined(&key) else {
                    return false;
                };
                let age = place.age(at);
                let intent = Intent { attempt, key, provider, base };
                self.exchange(attempt, place, age).intent = Some((intent, age));
            }
            Written::Answer(answer) => {
                let (attempt, age) = (answer.attempt, place.age(answer.at));
                let Some(answer) = answer.into_answer() else {
                    return false;
                };
                self.exchange(attempt, place, age).answer = Some((answer, age));
            }
            Written::Unreadable { at, attempt, key, provider, base, body } => {
                let body = Zeroizing::new(body);
                let Ok(key) = SessionKey::from_joined(&key) else {
                    return false;
                };
                let age = place.age(at);
                let unreadable = Unreadable { attempt, key, provider, base, body };
                self.exchange(attempt, place, age).unreadable = Some((unreadable, age));
            }
            Written::Deletion { at, key, generation, version, last_sequence, until } => {
                let Ok(key) = SessionKey::from_joined(&key) else {
                    return false;
                };
                let stone = Tombstone { generation, version, last_sequence, until };
                self.deletion(place, place.age(at), key, stone);
            }
            Written::Done { at, attempts } => {
                for attempt in attempts {
                    self.done(place, attempt, place.age(at));
                }
            }
            Written::Remaining { segment, open } => {
                self.marks.push((place.segment, segment));
                self.remaining.push((segment, open.into_iter().collect()));
            }
            Written::Padding { .. } => {}
        }
        true
    }

    fn exchange(&mut self, attempt: AttemptId, place: Place, age: Duration) -> &mut Exchange {
        let index = *self.index.entry(attempt).or_insert(self.exchanges.len());
        if index == self.exchanges.len() {
            self.exchanges.push(Exchange { attempt: Some(attempt), ..Exchange::default() });
        }
        let exchange = &mut self.exchanges[index];
        exchange.stands_in(place.segment);
        exchange.touch(age);
        exchange
    }

    fn deletion(&mut self, place: Place, age: Duration, key: SessionKey, stone: Tombstone) {
        let youngest = self.youngest_deletion.entry(place.segment).or_insert(age);
        *youngest = age.min(*youngest);
        if age <= self.retention {
            let what = (key.clone(), stone);
            self.deletions.insert(key, Recorded { what, done: false, age });
        }
    }

    fn done(&mut self, place: Place, attempt: AttemptId, age: Duration) {
        let Some(index) = self.index.get(&attempt) else {
            return; // What it belonged to is forgotten.
        };
        let exchange = &mut self.exchanges[*index];
        exchange.done = true;
        exchange.touch(age);
        exchange.forget_if_over(self.retention);
        let elsewhere = exchange.segments.iter().filter(|segment| **segment != place.segment);
        self.marks.extend(elsewhere.map(|segment| (place.segment, *segment)));
    }

    /// Puts down in `segments` what is open and how old things are, and gives back what is to be known.
    pub(super) fn finish(
        mut self,
        segments: &mut BTreeMap<u64, Segment>,
        now: BootTime,
    ) -> Recovered {
        self.settle_remaining();
        for (by, of) in &self.marks {
            if let Some(segment) = segments.get_mut(by) {
                segment.marks.insert(*of);
            }
        }
        let deletions = self.youngest_deletion.iter().map(|(number, age)| (*number, *age));
        let exchanges = self.exchanges.iter().flat_map(|exchange| {
            let age = exchange.youngest.unwrap_or_default();
            exchange.segments.iter().map(move |number| (*number, age))
        });
        for (number, age) in deletions.chain(exchanges) {
            if let Some(segment) = segments.get_mut(&number) {
                segment.touched = segment.touched.max(Some(now - age));
            }
        }
        for exchange in self.exchanges.iter().filter(|exchange| !exchange.done) {
            for number in &exchange.segments {
                if let Some(segment) = segments.get_mut(number) {
                    segment.open.extend(exchange.attempt);
                }
            }
        }
        self.recovered()
    }

    fn settle_remaining(&mut self) {
        for exchange in &mut self.exchanges {
            let Some(attempt) = exchange.attempt else {
                continue;
            };
            let is_closed = |(segment, open): &(u64, HashSet<AttemptId>)| {
                exchange.segments.contains(segment) && !open.contains(&attempt)
            };
            if self.remaining.iter().any(is_closed) {
                exchange.done = true;
                exchange.forget_if_over(self.retention);
            }
        }
    }

    fn recovered(self) -> Recovered {
        let mut recovered = Recovered::default();
        for exchange in self.exchanges {
            let done = exchange.done;
            if exchange.answer.is_none() && !done {
                let recorded = |(what, age)| Recorded { what, done, age };
                recovered.intents.extend(exchange.intent.map(recorded));
            }
            recovered.answers.extend(exchange.answer.map(|(what, age)| Recorded {
                what,
                done,
                age,
            }));
            recovered.unreadable.extend(exchange.unreadable.map(|(what, age)| Recorded {
                what,
                done,
                age,
            }));
        }
        recovered.deletions = self.deletions.into_values().collect();
        recovered.deletions.sort_by_key(|deletion| Reverse(deletion.age));
        recovered
    }
}
