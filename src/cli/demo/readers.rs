//! Tasks that read tokens as fast as they can, and one that shows some of them to the provider.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::demo::app::App;
use crate::cli::demo::histogram::Histogram;
use crate::model::{Clock, SessionKey, SystemClock};

/// Reads between two looks at what else the thread has to do.
const BATCH: u64 = 64;

/// How often a token is shown to the provider.
const PROOF_EVERY: Duration = Duration::from_millis(50);

/// What readers do and meet, counted while they run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: AtomicU64,
    pub(super) errors: AtomicU64,
    /// Tokens shown to the provider and accepted.
    pub(super) accepted: AtomicU64,
    /// How many of them were accepted only after a newer one was read.
    pub(super) overtaken: AtomicU64,
    first_error: Mutex<Option<String>>,
}

impl Tally {
    pub(super) fn fail(&self, key: &SessionKey, error: &anyhow::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("{}: {error:#}", key.session()));
    }

    pub(super) fn first_error(&self) -> Option<String> {
        self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the session's token shown to the provider; tells its generation if it was accepted.
    pub(super) async fn prove(&self, app: &App, key: &SessionKey) -> Option<u64> {
        match app.prove(key).await {
            Ok(accepted) => {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                self.overtaken.fetch_add(u64::from(accepted.overtaken), Ordering::Relaxed);
                Some(accepted.token.generation())
            }
            Err(error) => {
                self.fail(key, &error);
                None
            }
        }
    }
}

/// Readers at work. Dropping it stops them.
pub(super) struct Readers {
    tasks: JoinSet<Histogram>,
    stop: CancellationToken,
}

impl Readers {
    pub(super) fn start(
        count: u32,
        app: &App,
        keys: &Arc<[SessionKey]>,
        tally: &Arc<Tally>,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let reader = |number| Reader {
            app: app.clone(),
            keys: Arc::clone(keys),
            tally: Arc::clone(tally),
            stop: stop.clone(),
            dice: Dice(number),
        };
        tasks.spawn(reader(0).prove());
        for number in 1..=count {
            tasks.spawn(reader(number).read());
        }
        Self { tasks, stop }
    }

    /// Stops them and tells how long their reads took.
    pub(super) async fn stop(mut self) -> anyhow::Result<Histogram> {
        self.stop.cancel();
        let mut all = Histogram::default();
        while let Some(ended) = self.tasks.join_next().await {
            all.add(&ended.context("a reader panicked")?);
        }
        Ok(all)
    }
}

struct Reader {
    app: App,
    keys: Arc<[SessionKey]>,
    tally: Arc<Tally>,
    stop: CancellationToken,
    dice: Dice,
}

impl Reader {
    async fn read(mut self) -> Histogram {
        let mut spans = Histogram::default();
        while !self.stop.is_cancelled() {
            let mut failed = 0;
            for _ in 0..BATCH {
                let key = &self.keys[self.dice.below(self.keys.len())];
                let asked = SystemClock.boot();
                let answer = self.app.hive.token(key).await;
                let took = SystemClock.boot().since(asked);
                match answer {
                    Ok(_) => spans.note(took),
                    Err(error) => {
                        failed += 1;
                        self.tally.fail(key, &error.into());
                    }
                }
            }
            self.tally.reads.fetch_add(BATCH - failed, Ordering::Relaxed);
            // Readers share their threads with the provider and the exchanges: a read that never waits
            // would never let them in.
            tokio::task::yield_now().await;
        }
        spans
    }

    async fn prove(mut self) -> Histogram {
        let mut ticks = tokio::time::interval(PROOF_EVERY);
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let key = &self.keys[self.dice.below(self.keys.len())];
            self.tally.prove(&self.app, key).await;
        }
        Histogram::default()
    }
}

/// A linear congruential generator. Its high bits, which are used, are good enough to pick sessions.
struct Dice(u32);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let position = (u64::from(self.0) * count as u64) >> 32;
        usize::try_from(position).expect("smaller than the count")
    }
}
