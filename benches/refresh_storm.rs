//! 500 sessions expire at once and four callers ask for each, at a provider that revokes on reuse.
//!
//! Ends with an error if a promise about counts is broken: one request a session, no error, none lost.
//! Needs `redis-server` on the PATH.
#![expect(clippy::print_stdout, reason = "its tables are what a bench is for")]

#[path = "rivals/mod.rs"]
mod rivals;
#[path = "support/redis.rs"]
mod server;
#[path = "support/mod.rs"]
mod support;
#[path = "support/timing.rs"]
mod timing;

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use oauth2::{RefreshToken, TokenResponse};
use tempfile::TempDir;
use tokenhive::model::{Clock, ManualClock, SystemClock};
use tokenhive::simulator::{Minted, RevocationReason, Simulator, SimulatorOptions};
use tokenhive::{
    FileStore, HiveBuilder, JournalOptions, Keyring, MemoryStore, RedisOptions, RedisStore,
    RestoreOptions, SessionKey, TokenHive, TokenRequest,
};
use tokio::runtime::Builder;
use tokio::sync::{Mutex, Semaphore};

use self::rivals::TokenEndpoint;
use self::server::{APPENDING, Server};
use self::support::{is_quick, provider, saved, table};
use self::timing::{Sample, now};

const SESSIONS: usize = 500;
const CALLERS: usize = 4;
const IN_FLIGHT: usize = 64;
const LATENCY: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3600);
/// 500 requests, 64 at a time, 50 ms each.
const IDEAL_MILLIS: f64 = 500.0 / 64.0 * 50.0;

/// One way to keep sessions alive.
trait Keeper: Send + Sync + 'static {
    /// A caller wants a valid access token of session `number`.
    fn token(&self, number: usize) -> impl Future<Output = Option<String>> + Send;
}

/// Tokens expire because the hive's clock is moved. Redis has a clock of its own, which nobody moves: there
/// the tokens live for another hour, and callers want one that lives for two.
struct Hive {
    hive: TokenHive,
    keys: Vec<SessionKey>,
}

impl Hive {
    /// Sessions whose tokens have just become too old for callers. Nothing is refreshed ahead of them.
    async fn new(
        keep: impl FnOnce(HiveBuilder, Arc<ManualClock>) -> HiveBuilder,
        simulator: &Simulator,
        minted: &[Minted],
    ) -> Self {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let builder = TokenHive::builder().provider(provider(simulator.base_url()));
        let hive = keep(builder, clock.clone())
            .keyring(Keyring::generate())
            .concurrent_exchanges(IN_FLIGHT)
            .poll_every(HOUR)
            .start()
            .await
            .expect("the hive starts");
        let mut keys = Vec::new();
        for Minted { user, access_token, refresh_token } in minted {
            let key = SessionKey::new("bench", user).expect("the simulator's user names are plain");
            let text = saved(access_token.clone(), refresh_token.clone(), HOUR);
            let options = RestoreOptions::default();
            hive.restore(&key, "sim", &text, options).await.expect("a valid token");
            keys.push(key);
        }
        clock.advance(HOUR * 2);
        Self { hive, keys }
    }
}

impl Keeper for Hive {
    async fn token(&self, number: usize) -> Option<String> {
        let request = TokenRequest::new().min_validity(HOUR * 2);
        let token = self.hive.token_with(&self.keys[number], request).await.ok()?;
        Some(token.access_token().expose().to_owned())
    }
}

/// What a cache of one's own knows of a session. `access` is empty until the first refresh: expired.
#[derive(Clone)]
struct Cached {
    access: String,
    refresh: RefreshToken,
}

impl Cached {
    fn new(minted: &Minted) -> Self {
        let refresh = RefreshToken::new(minted.refresh_token.expose().to_owned());
        Self { access: String::new(), refresh }
    }

    fn is_expired(&self) -> bool {
        self.access.is_empty()
    }

    async fn refresh(&mut self, endpoint: &TokenEndpoint) -> Option<()> {
        let answer = endpoint.refresh(&self.refresh).await.ok()?;
        self.access.clone_from(answer.access_token().secret());
        if let Some(refresh) = answer.refresh_token() {
            self.refresh = refresh.clone();
        }
        Some(())
    }
}

/// The cache most people write first: look, refresh when expired, write back.
struct Naive {
    sessions: DashMap<usize, Cached>,
    endpoint: TokenEndpoint,
    limit: Semaphore,
}

impl Keeper for Naive {
    async fn token(&self, number: usize) -> Option<String> {
        let mut session = self.sessions.get(&number)?.clone();
        if session.is_expired() {
            let _permit = self.limit.acquire().await.ok()?;
            session.refresh(&self.endpoint).await?;
            self.sessions.insert(number, session.clone());
        }
        Some(session.access)
    }
}

/// The careful cache: a lock a session, held during the refresh.
struct Locked {
    sessions: DashMap<usize, Arc<Mutex<Cached>>>,
    endpoint: TokenEndpoint,
    limit: Semaphore,
}

impl Keeper for Locked {
    async fn token(&self, number: usize) -> Option<String> {
        let session = Arc::clone(&*self.sessions.get(&number)?);
        let mut session = session.lock().await;
        if session.is_expired() {
            let _permit = self.limit.acquire().await.ok()?;
            session.refresh(&self.endpoint).await?;
        }
        Some(session.access.clone())
    }
}

/// What one storm came to.
struct Outcome {
    millis: f64,
    requests: u64,
    reuses: u64,
    revoked: u64,
    /// Callers that got no token.
    errors: usize,
    /// Sessions whose token the provider refuses afterwards.
    lost: usize,
}

/// All storms of one contender.
#[derive(Default)]
struct Results(Vec<Outcome>);

const NAMES: [&str; 6] = [
    "tokenhive, memory store",
    "tokenhive, file store",
    "tokenhive, Redis and journal",
    "tokenhive, Redis without journal",
    "oauth2 + DashMap, no single flight",
    "oauth2 + DashMap + a Mutex a session, nothing durable",
];
/// How many of them have to keep the promise.
const OURS: usize = 4;

fn main() -> ExitCode {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let rounds = if is_quick() { 1 } else { 5 };
    println!(
        "refresh_storm: {SESSIONS} expired sessions, {CALLERS} callers each, {LATENCY:?} provider,"
    );
    println!("{IN_FLIGHT} in flight, {rounds} interleaved rounds, a new provider each time");
    println!(
        "ideal time {IDEAL_MILLIS:.0} ms, target for tokenhive at most 1.15 times that, on Redis 1.3\n"
    );
    let server = runtime.block_on(Server::start(APPENDING));
    let mut results: [Results; NAMES.len()] = Default::default();
    for round in 0..rounds {
        for turn in 0..NAMES.len() {
            let who = (round + turn) % NAMES.len();
            results[who].0.push(runtime.block_on(storm(who, &server)));
        }
    }
    show(&results);
    judge(&results[..OURS])
}

async fn storm(who: usize, server: &Server) -> Outcome {
    let options = SimulatorOptions {
        latency: LATENCY,
        access_token_lifetime: HOUR * 10,
        ..SimulatorOptions::strict()
    };
    let simulator = Simulator::start(options).await.expect("loopback has a free port");
    let minted = simulator.mint(SESSIONS, HOUR);
    let endpoint = TokenEndpoint::new(simulator.token_endpoint());
    let limit = Semaphore::new(IN_FLIGHT);
    let cached = minted.iter().map(Cached::new).enumerate();
    let folder = TempDir::new().expect("a folder for store or journal");
    let outcome = match who {
        0 => {
            let keep = |hive: HiveBuilder, clock: Arc<ManualClock>| {
                hive.store(MemoryStore::with_clock(clock.clone())).clock(clock)
            };
            hive_storm(keep, &simulator, &minted).await
        }
        1 => {
            let path = folder.path().join("tokens.redb");
            let keep = |hive: HiveBuilder, clock: Arc<ManualClock>| {
                let store = FileStore::open_with_clock(path, clock.clone());
                hive.store(store.expect("a new file")).clock(clock)
            };
            hive_storm(keep, &simulator, &minted).await
        }
        2 | 3 => {
            server.empty().await;
            let options = RedisOptions::new(server.url());
            let store = RedisStore::connect_with(options).await.expect("the server is up");
            let journal = JournalOptions::in_directory(folder.path().join("journal"));
            let keep = |hive: HiveBuilder, _| match who {
                2 => hive.store(store).journal(journal),
                _ => hive.store(store).without_journal(),
            };
            hive_storm(keep, &simulator, &minted).await
        }
        4 => ask_all(&simulator, Naive { sessions: cached.collect(), endpoint, limit }).await,
        _ => {
            let sessions = cached.map(|(number, cached)| (number, Arc::new(Mutex::new(cached))));
            let sessions = sessions.collect();
            ask_all(&simulator, Locked { sessions, endpoint, limit }).await
        }
    };
    simulator.shutdown().await;
    outcome
}

async fn hive_storm(
    keep: impl FnOnce(HiveBuilder, Arc<ManualClock>) -> HiveBuilder,
    simulator: &Simulator,
    minted: &[Minted],
) -> Outcome {
    let keeper = Hive::new(keep, simulator, minted).await;
    let hive = keeper.hive.clone();
    let outcome = ask_all(simulator, keeper).await;
    hive.shutdown().await;
    outcome
}

async fn ask_all<K: Keeper>(simulator: &Simulator, keeper: K) -> Outcome {
    let keeper = Arc::new(keeper);
    let ask = |number| {
        let keeper = Arc::clone(&keeper);
        tokio::spawn(async move { keeper.token(number).await })
    };
    let began = now();
    let callers: Vec<_> = (0..CALLERS).flat_map(|_| (0..SESSIONS).map(ask)).collect();
    let mut errors = 0;
    for caller in callers {
        errors += usize::from(caller.await.expect("no caller panics").is_none());
    }
    let millis = began.elapsed().as_secs_f64() * 1000.0;
    let totals = simulator.totals();
    let revoked =
        totals.families_revoked.get(&RevocationReason::RefreshTokenReplay).copied().unwrap_or(0);
    Outcome {
        millis,
        requests: totals.refresh_requests,
        reuses: totals.reuse_detected,
        revoked,
        errors,
        lost: lost(simulator, &*keeper).await,
    }
}

/// Sessions without a token that the provider accepts.
async fn lost<K: Keeper>(simulator: &Simulator, keeper: &K) -> usize {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client without options");
    let echo = format!("{}/api/echo", simulator.base_url());
    let mut lost = 0;
    for number in 0..SESSIONS {
        let accepted = match keeper.token(number).await {
            Some(token) => {
                let answer = http.get(&echo).bearer_auth(token).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            }
            None => false,
        };
        lost += usize::from(!accepted);
    }
    lost
}

fn show(results: &[Results; NAMES.len()]) {
    let rows: Vec<[String; 8]> = NAMES
        .iter()
        .zip(results)
        .map(|(name, results)| {
            let times = results.sample(|outcome| outcome.millis);
            let count = |pick: fn(&Outcome) -> u64| results.counts(pick);
            [
                (*name).to_owned(),
                times.show(0),
                format!("{:.2}", times.median() / IDEAL_MILLIS),
                count(|outcome| outcome.requests),
                count(|outcome| outcome.reuses),
                count(|outcome| outcome.revoked),
                count(|outcome| outcome.errors as u64),
                count(|outcome| outcome.lost as u64),
            ]
        })
        .collect();
    let head =
        ["", "ms", "× ideal", "requests", "reuses", "revoked", "caller errors", "sessions lost"];
    table(head, &rows);
}

impl Results {
    fn sample(&self, pick: impl Fn(&Outcome) -> f64) -> Sample {
        let mut sample = Sample::default();
        self.0.iter().for_each(|outcome| sample.add(pick(outcome)));
        sample
    }

    /// The count of every round, or the range where they differ.
    fn counts(&self, pick: fn(&Outcome) -> u64) -> String {
        let counts = || self.0.iter().map(pick);
        let (low, high) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        if low == high { low.to_string() } else { format!("{low} – {high}") }
    }
}

fn judge(ours: &[Results]) -> ExitCode {
    let kept = ours.iter().flat_map(|results| &results.0).all(|outcome| {
        outcome.requests == SESSIONS as u64 && outcome.errors == 0 && outcome.lost == 0
    });
    if kept {
        println!("counts: one request a session, no error, no session lost, in every round");
        ExitCode::SUCCESS
    } else {
        println!("BROKEN: one request a session, no error, no session lost");
        ExitCode::FAILURE
    }
}
