//! Refreshes as fast as they go, at a provider that takes no time, beside scripts alone.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;

use oauth2::{RefreshToken, TokenResponse as _};
use redis::aio::MultiplexedConnection;
use redis::{Script, Value};
use tempfile::TempDir;
use tokenhive::simulator::{Minted, Simulator, SimulatorOptions};
use tokenhive::{HiveBuilder, JournalOptions, Keyring, RestoreOptions, SessionKey, TokenHive};
use tokio::sync::Mutex;

use crate::common::{HOUR, store};
use crate::rivals::TokenEndpoint;
use crate::server::Server;
use crate::stats::{self, Calls, Count};
use crate::support::{provider, saved, table};
use crate::timing::{Sample, now};

const SESSIONS: usize = 512;
const TASKS: usize = 64;
/// Bytes of each token, so that a record is about as long as with tokens of 900 and 300.
const TOKEN_BYTES: usize = 600;
/// What a record holds beside the tokens.
const RECORD_REST: usize = 230;

const NAMES: [&str; 5] = [
    "hive, Redis and journal",
    "hive, Redis without journal",
    "hive, memory store",
    "the provider alone (bare HTTP client)",
    "pairs of scripts alone (EVALSHA)",
];

/// A comparable script: compares and replaces a string, moves its due time, and tells who listens.
const SCRIPT: &str = "
local old = redis.call('GET', KEYS[1])
if string.sub(old, 1, 4) ~= ARGV[1] then return { 'NO' } end
redis.call('SET', KEYS[1], string.sub(old, 1, 4) .. ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
redis.call('SPUBLISH', KEYS[3], ARGV[4])
local now = redis.call('TIME')
return { 'YES', now[1] * 1000 + math.floor(now[2] / 1000), ARGV[2] }
";

/// How much is done.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// Refreshes of each session a round.
    pub refreshes: usize,
}

/// What the server was asked for, and how many refreshes that was for.
#[derive(Default)]
struct Asked {
    calls: Calls,
    refreshes: u64,
}

pub async fn measure(server: &Server, effort: Effort) {
    println!("refreshes at a provider that takes no time: {SESSIONS} sessions, {TASKS} tasks,");
    println!("{} interleaved rounds of {} refreshes\n", effort.rounds, SESSIONS * effort.refreshes);
    let mut rates: [Sample; NAMES.len()] = Default::default();
    let mut asked = Asked::default();
    // The first round warms up and is not counted.
    for round in 0..=effort.rounds {
        for turn in 0..NAMES.len() {
            let who = (round + turn) % NAMES.len();
            let rate = match who {
                0..=2 => hive(server, who, effort, &mut asked).await,
                3 => provider_alone(effort).await,
                _ => scripts(server, effort).await,
            };
            if round > 0 {
                rates[who].add(rate);
            }
        }
    }
    let rows: Vec<[String; 2]> =
        NAMES.iter().zip(&rates).map(|(name, rate)| [(*name).to_owned(), rate.show(0)]).collect();
    table(["", "refreshes a second"], &rows);
    println!(
        "commands a refresh on Redis and journal, those of scripts included (INFO commandstats):\n"
    );
    let rows: Vec<[String; 3]> = asked
        .calls
        .iter()
        .map(|(name, Count { calls, micros })| {
            let (each, took) = (ratio(*calls, asked.refreshes), ratio(*micros, *calls));
            [name.clone(), format!("{each:.3}"), format!("{took:.1}")]
        })
        .collect();
    table(["command", "calls a refresh", "µs of the server a call"], &rows);
}

async fn simulator() -> Simulator {
    let options = SimulatorOptions { token_bytes: TOKEN_BYTES, ..SimulatorOptions::strict() };
    Simulator::start(options).await.expect("loopback has a free port")
}

async fn hive(server: &Server, who: usize, effort: Effort, asked: &mut Asked) -> f64 {
    server.empty().await;
    let simulator = simulator().await;
    let folder = TempDir::new().expect("a folder for the journal");
    let builder = TokenHive::builder()
        .provider(provider(simulator.base_url()))
        .keyring(Keyring::generate())
        .concurrent_exchanges(TASKS)
        .poll_every(HOUR);
    let journal = JournalOptions::in_directory(folder.path().join("journal"));
    let builder = match who {
        0 => builder.store(store(server).await).journal(journal),
        1 => builder.store(store(server).await).without_journal(),
        _ => builder,
    };
    let (hive, keys) = restored(builder, &simulator.mint(SESSIONS, HOUR)).await;
    stats::quiet(server).await;
    let before = stats::calls(server).await;
    let refresh = |hive: TokenHive, key: SessionKey| async move {
        hive.refresh(&key).await.expect("the provider answers");
    };
    let rate = run(effort, |number| refresh(hive.clone(), keys[number].clone())).await;
    if who == 0 {
        for (name, more) in stats::difference(&before, &stats::calls(server).await) {
            let sum = asked.calls.entry(name).or_default();
            sum.calls += more.calls;
            sum.micros += more.micros;
        }
        asked.refreshes += refreshes(effort);
    }
    hive.shutdown().await;
    simulator.shutdown().await;
    rate
}

async fn restored(builder: HiveBuilder, minted: &[Minted]) -> (TokenHive, Vec<SessionKey>) {
    let hive = builder.start().await.expect("the hive starts");
    let mut keys = Vec::new();
    for Minted { user, access_token, refresh_token } in minted {
        let key = SessionKey::new("bench", user).expect("the simulator's user names are plain");
        let text = saved(access_token.clone(), refresh_token.clone(), HOUR);
        hive.restore(&key, "sim", &text, RestoreOptions::default()).await.expect("a valid token");
        keys.push(key);
    }
    (hive, keys)
}

/// The same requests by a client that keeps nothing.
async fn provider_alone(effort: Effort) -> f64 {
    let simulator = simulator().await;
    let endpoint = TokenEndpoint::new(simulator.token_endpoint());
    let tokens = simulator.mint(SESSIONS, HOUR).into_iter().map(|minted| {
        let token = RefreshToken::new(minted.refresh_token.expose().to_owned());
        Arc::new(Mutex::new(token))
    });
    let tokens: Vec<_> = tokens.collect();
    let rate = run(effort, |number| {
        let (endpoint, token) = (endpoint.clone(), Arc::clone(&tokens[number]));
        async move {
            let mut token = token.lock().await;
            let answer = endpoint.refresh(&token).await.expect("the provider answers");
            *token = answer.refresh_token().expect("it gives a new one").clone();
        }
    })
    .await;
    simulator.shutdown().await;
    rate
}

/// Two scripts a refresh, as a store needs, and nothing else.
async fn scripts(server: &Server, effort: Effort) -> f64 {
    let connection = server.connection().await;
    let script = Arc::new(Script::new(SCRIPT));
    let bytes: Arc<[u8]> = vec![b'x'; 2 * TOKEN_BYTES + RECORD_REST].into();
    let call = |connection: &MultiplexedConnection, number: usize| {
        let (script, bytes, mut connection) = (script.clone(), bytes.clone(), connection.clone());
        async move {
            for _ in 0..2 {
                let mut call = script.prepare_invoke();
                call.key(format!("{{bare}}{number}")).key("{bare}due").key("{bare}news");
                call.arg("gen1").arg(&*bytes).arg(number).arg(number);
                let answer: Value =
                    call.invoke_async(&mut connection).await.expect("the server is up");
                black_box(answer);
            }
        }
    };
    for number in 0..SESSIONS {
        let mut set = redis::cmd("SET");
        set.arg(format!("{{bare}}{number}")).arg("gen1");
        set.query_async::<()>(&mut connection.clone()).await.expect("the server is up");
    }
    run(effort, |number| call(&connection, number)).await
}

/// Refreshes a second, many at a time and those of one session in turn.
async fn run<F>(effort: Effort, refresh: impl Fn(usize) -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let numbers = (task..SESSIONS).step_by(TASKS);
            let all = std::iter::repeat_with(|| numbers.clone()).take(effort.refreshes).flatten();
            let work: Vec<F> = all.map(&refresh).collect();
            tokio::spawn(async move {
                for one in work {
                    one.await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("every refresh succeeds");
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let refreshes = refreshes(effort) as f64;
    refreshes / began.elapsed().as_secs_f64()
}

fn refreshes(effort: Effort) -> u64 {
    (SESSIONS * effort.refreshes) as u64
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(some: u64, all: u64) -> f64 {
    some as f64 / all as f64
}
