//! The connection to Redis: calls with a deadline, and a typed reason when there is none.
//!
//! There is one connection at a time ([`crate::store::redis::connect`] makes the next one). While there is
//! none, calls fail at once instead of waiting for it: callers know better what to do meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::stream::{self, StreamExt as _};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::model::{BootTime, Clock, Timestamp};
use crate::store::redis::clock::ServerClock;
use crate::store::redis::confirm::Replicas;
use crate::store::redis::error::{translate, unavailable, wants_new_connection};
use crate::store::redis::feed::Feed;
use crate::store::redis::gather::Gather;
use crate::store::redis::keys::{Bucket, Names};
use crate::store::redis::options::RedisOptions;
use crate::store::redis::reply;
use crate::store::redis::scripts::Script;
use crate::store::{Outage, StoreError};

/// Calls in flight at the same time; more wait for their turn, within their deadline.
const IN_FLIGHT: usize = 16_384;
/// Subscriptions sent in one go.
const SUBSCRIBE: usize = 256;

/// Subscriptions under way at the same time.
const AT_ONCE: usize = 64;

/// One connection, of whichever kind.
#[derive(Clone)]
pub(super) enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The connection in use.
pub(super) struct Live {
    pub(super) wire: Wire,
    /// Carries what waits for replicas: `WAIT` holds up everything behind it on its connection.
    pub(super) confirming: Wire,
    /// Counts connections, from 1.
    pub(super) serial: u32,
}

/// The part of [`Live`] that one call needs.
#[derive(Clone)]
pub(super) struct Line {
    wire: Wire,
    serial: u32,
}

impl Line {
    /// Of which connection.
    pub(super) fn serial(&self) -> u32 {
        self.serial
    }
}

/// Everything about the way to Redis.
pub(super) struct Link {
    pub(super) options: RedisOptions,
    pub(super) names: Names,
    pub(super) clock: Arc<dyn Clock>,
    /// `None` for a cluster, where each shard has a clock of its own.
    pub(super) server_clock: Option<ServerClock>,
    pub(super) feed: Feed,
    pub(super) gather: Gather,
    pub(super) live: ArcSwapOption<Live>,
    /// Wakes whoever makes connections.
    pub(super) broken: Notify,
    /// Has somebody look whether a cluster's client answers anything at all.
    pub(super) silent: Notify,
    pub(super) closing: CancellationToken,
    pub(super) replicas: Replicas,
    state: Mutex<State>,
    settling_until: AtomicU64,
    permits: Semaphore,
    subscribing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The run id of the server this node was connected to last.
    server: Option<String>,
    outage: Option<StoreError>,
    notes: Vec<String>,
}

type Outcome<T> = Result<T, StoreError>;

impl Link {
    pub(super) fn new(options: RedisOptions, clock: Arc<dyn Clock>, is_cluster: bool) -> Self {
        Self {
            names: Names::new(&options.prefix),
            options,
            clock,
            server_clock: (!is_cluster).then(ServerClock::default),
            feed: Feed::new(),
            gather: Gather::default(),
            live: ArcSwapOption::empty(),
            broken: Notify::new(),
            silent: Notify::new(),
            closing: CancellationToken::new(),
            replicas: Replicas::default(),
            state: Mutex::default(),
            settling_until: AtomicU64::new(0),
            permits: Semaphore::new(IN_FLIGHT),
            subscribing: tokio::sync::Mutex::new(()),
        }
    }

    /// The connection, or why there is none.
    pub(super) fn live(&self) -> Outcome<Arc<Live>> {
        self.live.load_full().ok_or_else(|| {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let outage = state.outage.clone();
            outage.unwrap_or_else(|| unavailable(Outage::Disconnected, "not connected yet"))
        })
    }

    /// The connection for one call.
    fn line(&self) -> Outcome<Line> {
        match &*self.live.load() {
            Some(live) => Ok(Line { wire: live.wire.clone(), serial: live.serial }),
            None => self.live().map(|live| Line { wire: live.wire.clone(), serial: live.serial }),
        }
    }

    /// Runs a script. Its effect is in doubt after an error, and every script is safe to repeat.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: impl FnOnce(&mut Cmd),
    ) -> Outcome<Value> {
        let line = self.line()?;
        self.run_on(line, invocation(script, keys, arguments), script).await
    }

    /// As [`Link::run`], behind everything that was sent before: it may be about that. Two connections keep
    /// no order, so it goes over both, and the answer counts that says more than `void`.
    pub(super) async fn run_behind(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: impl FnOnce(&mut Cmd),
        void: &str,
    ) -> Outcome<Value> {
        let live = self.live()?;
        let command = invocation(script, keys, arguments);
        let line = |wire: &Wire| Line { wire: wire.clone(), serial: live.serial };
        let slow = self.run_on(line(&live.confirming), command.clone(), script).await?;
        let quick = self.run_on(line(&live.wire), command, script).await?;
        Ok(if reply::is_tagged(&slow, void) { quick } else { slow })
    }

    async fn run_on(&self, line: Line, command: Cmd, script: &Script) -> Outcome<Value> {
        let Line { mut wire, serial } = line;
        self.within(serial, async {
            match wire.command(&command).await {
                Err(error) if is_unknown_script(&error) => {
                    wire.command(&load(script)).await?;
                    wire.command(&command).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// Sends one plain command.
    pub(super) async fn command(&self, command: &Cmd) -> Outcome<Value> {
        let line = self.line()?;
        self.send(line, command).await
    }

    pub(super) async fn send(&self, mut line: Line, command: &Cmd) -> Outcome<Value> {
        self.within(line.serial, line.wire.command(command)).await
    }

    /// The connection for a call that reads a session of the bucket: its channel is subscribed to.
    pub(super) async fn listening(&self, bucket: Bucket) -> Outcome<Line> {
        let line = self.line()?;
        if self.feed.is_subscribed(bucket, line.serial) {
            return Ok(line);
        }
        // Once a bucket and connection: what that needs is not made room for in every read.
        Box::pin(self.subscribe(&[bucket])).await?;
        self.line()
    }

    async fn within<T>(
        &self,
        serial: u32,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Outcome<T> {
        self.within_span(serial, self.options.deadline, call).await
    }

    pub(super) async fn within_span<T>(
        &self,
        serial: u32,
        deadline: Duration,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Outcome<T> {
        let call = async {
            let _permit = self.permits.acquire().await;
            call.await
        };
        let answer = match tokio::time::timeout(deadline, call).await {
            Ok(answer) => answer.map_err(|error| translate(&error)),
            Err(_) if self.permits.available_permits() == 0 => {
                Err(unavailable(Outage::Busy, format!("{IN_FLIGHT} calls are in flight")))
            }
            Err(_) => Err(no_answer(deadline)),
        };
        match &answer {
            // A cluster's client connects by itself, and knows which of its servers is meant.
            Err(StoreError::Unavailable { outage: Outage::NoAnswer, .. })
                if self.server_clock.is_none() =>
            {
                self.silent.notify_one();
            }
            Err(error) if self.server_clock.is_some() && wants_new_connection(error) => {
                self.lost(serial, error.clone());
            }
            _ => {}
        }
        answer
    }

    /// Subscribes to the buckets' channels, unless that is done. Who waits for another's turn has his
    /// buckets subscribed to in it.
    pub(super) async fn subscribe(&self, buckets: &[Bucket]) -> Outcome<()> {
        let live = self.live()?;
        let missing = |bucket: &&Bucket| !self.feed.is_subscribed(**bucket, live.serial);
        let is_done = || !buckets.iter().any(|bucket| missing(&bucket));
        if is_done() {
            return Ok(());
        }
        if self.server_clock.is_none() {
            let missing: Vec<Bucket> = buckets.iter().filter(missing).copied().collect();
            return self.subscribe_each(&live, missing).await;
        }
        self.feed.ask_for(buckets.iter().filter(missing));
        let _one_at_a_time = self.subscribing.lock().await;
        if is_done() {
            return Ok(());
        }
        let mut asked = self.feed.take_asked();
        asked.extend(buckets);
        asked.sort_unstable();
        asked.dedup();
        let missing: Vec<Bucket> = asked.iter().filter(missing).copied().collect();
        for some in missing.chunks(SUBSCRIBE) {
            self.subscribe_some(&live, some).await?;
        }
        Ok(())
    }

    /// In a cluster one shard may be gone while the others answer. A few at a time, so that other calls come
    /// in between.
    async fn subscribe_each(&self, live: &Live, buckets: Vec<Bucket>) -> Outcome<()> {
        let each = buckets
            .into_iter()
            .map(|bucket| async move { self.subscribe_some(live, &[bucket]).await });
        let each = stream::iter(each).buffer_unordered(AT_ONCE);
        each.fold(Ok(()), async |all, one| all.and(one)).await
    }

    async fn subscribe_some(&self, live: &Live, some: &[Bucket]) -> Outcome<()> {
        let subscribing = live.wire.clone().subscribe(&self.names, some);
        let subscribed = self.within(live.serial, subscribing).await;
        // One that failed is subscribed to by the next connection, or the next attempt.
        let serial = if subscribed.is_ok() { live.serial } else { u32::MAX };
        self.feed.set_subscribed(some, serial);
        // What was announced before was not heard.
        some.iter().for_each(|bucket| self.feed.forget_due(*bucket));
        subscribed
    }

    /// The connection of that number is of no use any more.
    pub(super) fn lost(&self, serial: u32, why: StoreError) {
        let current = self.live.load_full();
        if current.is_none_or(|live| live.serial != serial) {
            return;
        }
        self.live.store(None);
        self.set_outage(Some(why));
        self.feed.missed();
        self.broken.notify_one();
    }

    /// Takes note of the server's time as an answer told it.
    pub(super) fn learn_time(&self, now: Timestamp) {
        if let Some(clock) = &self.server_clock {
            clock.learn(now, self.clock.boot());
        }
    }

    /// From now on nothing begins for that long, while others put back what the server may have lost.
    pub(super) fn settle_for(&self, span: Duration) {
        let until = self.clock.boot() + span;
        self.settling_until.fetch_max(until.as_nanos(), Ordering::AcqRel);
    }

    /// Refuses while the server settles.
    pub(super) fn settled(&self) -> Outcome<()> {
        let until = BootTime::from_nanos(self.settling_until.load(Ordering::Acquire));
        let left = until.since(self.clock.boot());
        if left.is_zero() {
            return Ok(());
        }
        let detail = format!("nothing begins for another {} ms", left.as_millis());
        Err(unavailable(Outage::Settling, detail))
    }

    /// True if this node was connected to another server before.
    pub(super) fn is_another(&self, run_id: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.server.as_deref().is_some_and(|before| before != run_id)
    }

    /// Takes note of the server behind the connection.
    pub(super) fn meet(&self, run_id: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.server = Some(run_id.to_owned());
    }

    pub(super) fn set_outage(&self, outage: Option<StoreError>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).outage = outage;
    }

    /// Takes over what an operator should know; true if it is something new.
    pub(super) fn set_notes(&self, notes: Vec<String>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = state.notes != notes;
        state.notes = notes;
        is_news
    }

    pub(super) fn outage_and_notes(&self) -> (Option<StoreError>, Vec<String>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outage = if self.live.load().is_some() { None } else { state.outage.clone() };
        (outage, state.notes.clone())
    }
}

impl Wire {
    pub(super) async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }?
        .extract_error()
    }

    /// Sends all of them to the key's server.
    pub(super) async fn commands(&mut self, all: &Pipeline, key: &str) -> RedisResult<Vec<Value>> {
        let count = all.len();
        match self {
            Self::Single(connection) => connection.req_packed_commands(all, 0, count).await,
            Self::Cluster(connection) => {
                let route = Route::with_key(key, SlotAddr::Master);
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                connection.route_pipeline(all.clone(), 0, count, route).await
            }
        }
    }

    pub(super) async fn subscribe(mut self, names: &Names, buckets: &[Bucket]) -> RedisResult<()> {
        match &mut self {
            _ if buckets.is_empty() => Ok(()),
            Self::Single(connection) => {
                let mut all = redis::pipe();
                for bucket in buckets {
                    all.cmd("SSUBSCRIBE").arg(names.channel(*bucket));
                }
                let answers = connection.req_packed_commands(&all, 0, buckets.len()).await?;
                answers.into_iter().try_for_each(|answer| answer.extract_error().map(|_| ()))
            }
            Self::Cluster(connection) => {
                let each = buckets.iter().map(|bucket| {
                    let (mut connection, channel) = (connection.clone(), names.channel(*bucket));
                    async move { connection.ssubscribe(channel).await }
                });
                futures_util::future::try_join_all(each).await.map(|_| ())
            }
        }
    }
}

fn no_answer(deadline: Duration) -> StoreError {
    unavailable(Outage::NoAnswer, format!("none within {} ms", deadline.as_millis()))
}

pub(super) fn invocation(script: &Script, keys: &[&str], arguments: impl FnOnce(&mut Cmd)) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(&script.hash).arg(keys.len()).arg(keys);
    arguments(&mut command);
    command
}

pub(super) fn load(script: &Script) -> Cmd {
    let mut command = redis::cmd("SCRIPT");
    command.arg("LOAD").arg(&script.code);
    command
}

fn is_unknown_script(error: &redis::RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// A span as scripts take it: milliseconds, at most some four thousand years.
pub(super) fn millis(span: Duration) -> u64 {
    const LONGEST: u64 = 1 << 47;
    u64::try_from(span.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}
