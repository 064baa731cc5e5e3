//! Callers that read random sessions all the time, and what they meet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::node::answers::key;
use crate::cli::node::protocol::{ReadersAsked, Refusal};
use crate::cli::node::told;
use crate::hive::TokenHive;
use crate::model::{Clock, SessionKey, SystemClock, TokenError};

/// All readers of a node.
pub(super) struct Readers {
    hive: TokenHive,
    /// By what the sessions' names begin with.
    tallies: Mutex<BTreeMap<String, Arc<Mutex<Tally>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What readers met.
#[derive(Debug, Default, Serialize)]
struct Tally {
    /// Tokens handed out.
    ok: u64,
    /// Tokens handed out after the provider had stopped accepting them.
    expired: u64,
    /// Tokens handed out although this process had seen a newer version before it asked.
    regressed: u64,
    /// The longest any read took.
    slowest_ms: u64,
    errors: BTreeMap<&'static str, Met>,
}

/// One kind of error.
#[derive(Debug, Serialize)]
struct Met {
    count: u64,
    /// On the wall clock.
    first_ms: i64,
    last_ms: i64,
    /// What the first one said.
    example: String,
}

impl Readers {
    pub(super) fn new(hive: TokenHive) -> Self {
        let (tallies, tasks) = (Mutex::default(), TaskTracker::new());
        Self { hive, tallies, tasks, stop: CancellationToken::new() }
    }

    /// Starts some more.
    pub(super) fn start(&self, asked: &ReadersAsked) -> Result<(), Refusal> {
        let range = asked.first..asked.first.saturating_add(asked.count);
        let sessions = range.map(|number| {
            let key = key(&format!("{}{number}", asked.prefix))?;
            Ok(Session { key, newest: AtomicU64::new(0) })
        });
        let sessions: Arc<[Session]> = sessions.collect::<Result<_, Refusal>>()?;
        if sessions.is_empty() {
            return Err(Refusal::new("not_understood", &"there are no sessions to read"));
        }
        let tally = Arc::clone(lock(&self.tallies).entry(asked.prefix.clone()).or_default());
        let until = asked.seconds.map(|span| SystemClock.boot() + Duration::from_secs(span));
        for number in 0..asked.callers {
            let reader = Reader {
                hive: self.hive.clone(),
                sessions: Arc::clone(&sessions),
                tally: Arc::clone(&tally),
                pause: Duration::from_millis(asked.pause_ms),
                dice: Dice(asked.seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            };
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                let read = reader.read(|| until.is_some_and(|until| SystemClock.boot() >= until));
                stop.run_until_cancelled(read).await
            });
        }
        Ok(())
    }

    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What was met so far, by what the sessions' names begin with.
    pub(super) fn met(&self, reset: bool) -> Value {
        let tallies = lock(&self.tallies);
        let told = tallies.iter().map(|(prefix, tally)| {
            let mut tally = lock(tally);
            let told = serde_json::to_value(&*tally).expect("a tally has string keys only");
            if reset {
                *tally = Tally::default();
            }
            (prefix.clone(), told)
        });
        Value::Object(told.collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Session {
    key: SessionKey,
    /// The highest version this process was handed.
    newest: AtomicU64,
}

struct Reader {
    hive: TokenHive,
    sessions: Arc<[Session]>,
    tally: Arc<Mutex<Tally>>,
    pause: Duration,
    dice: Dice,
}

impl Reader {
    async fn read(mut self, is_over: impl Fn() -> bool) {
        while !is_over() {
            self.read_once().await;
            if self.pause.is_zero() {
                // A read that never waits would never let the exchanges in.
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(self.pause).await;
            }
        }
    }

    async fn read_once(&mut self) {
        let session = &self.sessions[self.dice.below(self.sessions.len())];
        let newest = session.newest.load(Ordering::Acquire);
        let asked = SystemClock.boot();
        let answer = self.hive.token(&session.key).await;
        let took = told::millis(SystemClock.boot().since(asked));
        let mut tally = lock(&self.tally);
        tally.slowest_ms = tally.slowest_ms.max(took);
        match answer {
            Ok(token) => {
                tally.ok += 1;
                tally.expired += u64::from(!token.is_valid(asked));
                tally.regressed += u64::from(token.version() < newest);
                session.newest.fetch_max(token.version(), Ordering::AcqRel);
            }
            Err(error) => tally.note(&session.key, &error),
        }
    }
}

impl Tally {
    fn note(&mut self, key: &SessionKey, error: &TokenError) {
        let now = SystemClock.now().as_millis();
        let met = self.errors.entry(told::kind(error)).or_insert_with(|| Met {
            count: 0,
            first_ms: now,
            last_ms: now,
            example: format!("{}: {error}", key.session()),
        });
        met.count += 1;
        met.last_ms = now;
    }
}

/// A linear congruential generator of 64 bits. Its high bits, which are used, are good enough to pick
/// sessions.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let position = ((self.0 >> 32) * count as u64) >> 32;
        usize::try_from(position).expect("smaller than the count")
    }
}
