//! A hot read among 100,000 sessions, beside a bare map and beside `oauth2` with a `moka` cache.
#![expect(clippy::print_stdout, reason = "its tables are what a bench is for")]

#[path = "rivals/mod.rs"]
mod rivals;
#[path = "support/mod.rs"]
mod support;
#[path = "support/timing.rs"]
mod timing;

use std::future::Future;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use moka::future::Cache;
use oauth2::basic::{BasicTokenResponse, BasicTokenType};
use oauth2::{AccessToken, EmptyExtraTokenFields, RefreshToken, TokenResponse};
use tempfile::TempDir;
use tokenhive::{
    FileStore, Keyring, MemoryStore, RestoreOptions, Secret, SessionKey, SessionStore, TokenHive,
};
use tokio::runtime::{Builder, Runtime};

use self::rivals::TokenEndpoint;
use self::support::{is_quick, provider, saved, table};
use self::timing::{Sample, now};

const SESSIONS: usize = 100_000;
const TOKEN_BYTES: usize = 900;
const TASKS: [usize; 3] = [1, 2, 64];
/// Reads a round and contender, shared by the tasks.
const READS: usize = 64_000;
/// Reads that are timed together.
const BATCH: usize = 500;
/// Sessions that are stored at the same time.
const WRITERS: usize = 500;
const HOUR: Duration = Duration::from_secs(3600);

/// One way to keep tokens. It gives the token's length, which proves that it was reached.
trait Reader: Send + Sync + 'static {
    fn read(&self, key: &SessionKey) -> impl Future<Output = usize> + Send;
}

struct Hive(TokenHive);

impl Reader for Hive {
    async fn read(&self, key: &SessionKey) -> usize {
        self.0.token(key).await.map_or(0, |token| token.access_token().expose().len())
    }
}

/// A caller that has two strings and makes the key of them for every read.
struct HiveFromNames(TokenHive);

impl Reader for HiveFromNames {
    async fn read(&self, key: &SessionKey) -> usize {
        let key = SessionKey::new(key.tenant(), key.session()).expect("both come from a key");
        self.0.token(&key).await.map_or(0, |token| token.access_token().expose().len())
    }
}

/// The least that can be done: no expiry, no refresh, no refresh token.
struct BareMap<S>(DashMap<String, ArcSwap<Box<str>>, S>);

impl<S: BuildHasher + Clone> BareMap<S> {
    fn put(&self, number: usize) {
        let token = access_token(number).into_boxed_str();
        let key = key(number);
        match self.0.get(key.joined()) {
            Some(old) => old.store(Arc::new(token)),
            None => drop(self.0.insert(key.joined().to_owned(), ArcSwap::from_pointee(token))),
        }
    }
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Reader for BareMap<S> {
    async fn read(&self, key: &SessionKey) -> usize {
        self.0.get(key.joined()).map(|token| token.load_full()).map_or(0, |token| token.len())
    }
}

struct Moka {
    cache: Cache<String, Arc<BasicTokenResponse>>,
    endpoint: TokenEndpoint,
}

impl Reader for Moka {
    async fn read(&self, key: &SessionKey) -> usize {
        let refresh = async {
            let token = RefreshToken::new("of this session".to_owned());
            self.endpoint.refresh(&token).await.map(Arc::new)
        };
        let found = self.cache.try_get_with_by_ref(key.joined(), refresh).await;
        found.map_or(0, |answer| answer.access_token().secret().len())
    }
}

struct Contenders {
    in_memory: Arc<Hive>,
    in_file: Arc<Hive>,
    from_names: Arc<HiveFromNames>,
    bare: Arc<BareMap<std::hash::RandomState>>,
    bare_ahash: Arc<BareMap<ahash::RandomState>>,
    moka: Arc<Moka>,
}

const NAMES: [&str; 6] = [
    "bare DashMap<String, ArcSwap<token>>",
    "the same with ahash",
    "hive.token(&key), file store",
    "hive.token(&key), memory store",
    "hive (file), key made of two strings each time",
    "oauth2 + moka try_get_with",
];

fn main() {
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let (rounds, singles) = if is_quick() { (5, 100_000) } else { (51, 1_000_000) };
    println!("token_read: {SESSIONS} sessions, tokens of {TOKEN_BYTES} bytes, random order,");
    println!("{rounds} interleaved rounds of {READS} reads, {workers} worker threads\n");

    let folder = TempDir::new().expect("a folder for the store");
    let contenders = runtime.block_on(fill(&folder));
    let keys = reading_order();
    let times = throughput(&runtime, &contenders, &keys, rounds);
    show_throughput(&times);
    let latencies = latency(&runtime, &contenders, &keys, singles);
    show_latency(&latencies);
    runtime.block_on(contenders.in_memory.0.shutdown());
    runtime.block_on(contenders.in_file.0.shutdown());
}

fn key(number: usize) -> SessionKey {
    SessionKey::new(format!("tenant-{}", number % 97), format!("user-{number:06}"))
        .expect("printable and short")
}

fn access_token(number: usize) -> String {
    format!("{number:0TOKEN_BYTES$}")
}

/// All keys in random order, each an allocation of its own, as a request's would be.
fn reading_order() -> Arc<[SessionKey]> {
    shuffled().into_iter().map(key).collect()
}

/// All sessions in the same random order in every run.
fn shuffled() -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..SESSIONS).collect();
    let mut seed = 1_u64;
    for place in (1..SESSIONS).rev() {
        // SplitMix64.
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let other = (z ^ (z >> 31)) % (place as u64 + 1);
        numbers.swap(place, usize::try_from(other).expect("below the number of sessions"));
    }
    numbers
}

async fn fill(folder: &TempDir) -> Contenders {
    let nowhere = "http://127.0.0.1:9";
    let store = FileStore::open(folder.path().join("tokens.redb")).expect("a new file");
    let in_file = start(nowhere, store).await;
    let contenders = Contenders {
        in_memory: Arc::new(Hive(start(nowhere, MemoryStore::new()).await)),
        in_file: Arc::new(Hive(in_file.clone())),
        from_names: Arc::new(HiveFromNames(in_file)),
        bare: Arc::new(BareMap(DashMap::default())),
        bare_ahash: Arc::new(BareMap(DashMap::default())),
        moka: Arc::new(Moka {
            cache: Cache::builder().max_capacity(2_000_000).time_to_live(HOUR).build(),
            endpoint: TokenEndpoint::new(format!("{nowhere}/token")),
        }),
    };
    // One after the other, so that none lies scattered between the tokens of the others. Then every
    // token is replaced once, in random order, as refreshes do.
    let twice = || (0..SESSIONS).chain(shuffled());
    for number in twice() {
        contenders.bare.put(number);
    }
    for number in twice() {
        contenders.bare_ahash.put(number);
    }
    for number in twice() {
        let access = AccessToken::new(access_token(number));
        let extra = EmptyExtraTokenFields {};
        let answer = BasicTokenResponse::new(access, BasicTokenType::Bearer, extra);
        contenders.moka.cache.insert(key(number).joined().to_owned(), Arc::new(answer)).await;
    }
    for hive in [&contenders.in_file.0, &contenders.in_memory.0] {
        restore(hive, (0..SESSIONS).collect()).await;
        restore(hive, shuffled()).await;
    }
    contenders.moka.cache.run_pending_tasks().await;
    contenders
}

async fn start(base: &str, store: impl SessionStore) -> TokenHive {
    TokenHive::builder()
        .provider(provider(base))
        .store(store)
        .keyring(Keyring::generate())
        .store_deadline(HOUR)
        .start()
        .await
        .expect("the hive starts")
}

/// Gives the hive a token for each session, many at a time: the file store writes them together.
async fn restore(hive: &TokenHive, numbers: Vec<usize>) {
    let numbers: Arc<[usize]> = numbers.into();
    let writers = (0..WRITERS).map(|writer| {
        let (hive, numbers) = (hive.clone(), Arc::clone(&numbers));
        tokio::spawn(async move {
            for &number in numbers.iter().skip(writer).step_by(WRITERS) {
                let access = Secret::from(access_token(number));
                let saved = saved(access, Secret::from("unused"), HOUR * 10);
                let options = RestoreOptions::default();
                let restored = hive.restore(&key(number), "sim", &saved, options).await;
                restored.expect("a valid token");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no writer panics");
    }
}

/// Nanoseconds a read, by number of tasks and contender.
fn throughput(
    runtime: &Runtime,
    contenders: &Contenders,
    keys: &Arc<[SessionKey]>,
    rounds: usize,
) -> [[Sample; NAMES.len()]; TASKS.len()] {
    let mut times: [[Sample; NAMES.len()]; TASKS.len()] = Default::default();
    // The first round warms up and is not counted.
    for round in 0..=rounds {
        for (tasks, times) in TASKS.into_iter().zip(&mut times) {
            // Another one begins in each round, so that nobody always runs after the same neighbour.
            for turn in 0..NAMES.len() {
                let who = (round + turn) % NAMES.len();
                let work = Work { keys, tasks, from: round * READS };
                let nanos = match who {
                    0 => run(runtime, &contenders.bare, work),
                    1 => run(runtime, &contenders.bare_ahash, work),
                    2 => run(runtime, &contenders.in_file, work),
                    3 => run(runtime, &contenders.in_memory, work),
                    4 => run(runtime, &contenders.from_names, work),
                    _ => run(runtime, &contenders.moka, work),
                };
                if round > 0 {
                    times[who].add(nanos);
                }
            }
        }
    }
    times
}

/// What one contender does in one round.
#[derive(Clone, Copy)]
struct Work<'a> {
    keys: &'a Arc<[SessionKey]>,
    tasks: usize,
    /// The place in `keys` to begin at.
    from: usize,
}

/// Nanoseconds a read: the median of many short batches, which an interruption of a few of them by
/// other programs leaves alone. A task never waits within a batch.
fn run<R: Reader>(runtime: &Runtime, reader: &Arc<R>, work: Work<'_>) -> f64 {
    let each = READS / work.tasks;
    let handles: Vec<_> = (0..work.tasks)
        .map(|task| {
            let (reader, keys) = (Arc::clone(reader), Arc::clone(work.keys));
            let from = work.from + task * each;
            runtime.spawn(async move {
                let mut batches = Vec::with_capacity(each / BATCH);
                for start in (from..from + each).step_by(BATCH) {
                    let began = now();
                    for place in start..start + BATCH {
                        let read = reader.read(&keys[place % SESSIONS]).await;
                        assert_eq!(black_box(read), TOKEN_BYTES);
                    }
                    batches.push(per(began.elapsed(), BATCH));
                }
                batches
            })
        })
        .collect();
    let mut sample = Sample::default();
    for handle in handles {
        let batches = runtime.block_on(handle).expect("every read finds its token");
        batches.into_iter().for_each(|nanos| sample.add(nanos));
    }
    sample.median()
}

#[expect(clippy::cast_precision_loss, reason = "neither is beyond 2^52")]
fn per(span: Duration, count: usize) -> f64 {
    span.as_nanos() as f64 / count as f64
}

/// Nanoseconds of single reads on one task, the clock's own time included; last, that time alone.
fn latency(
    runtime: &Runtime,
    contenders: &Contenders,
    keys: &Arc<[SessionKey]>,
    reads: usize,
) -> [Sample; NAMES.len() + 1] {
    [
        single(runtime, &contenders.bare, keys, reads),
        single(runtime, &contenders.bare_ahash, keys, reads),
        single(runtime, &contenders.in_file, keys, reads),
        single(runtime, &contenders.in_memory, keys, reads),
        single(runtime, &contenders.from_names, keys, reads),
        single(runtime, &contenders.moka, keys, reads),
        single(runtime, &Arc::new(Nothing), keys, reads),
    ]
}

/// Reads nothing: what is measured is the clock.
struct Nothing;

impl Reader for Nothing {
    async fn read(&self, _: &SessionKey) -> usize {
        TOKEN_BYTES
    }
}

fn single<R: Reader>(
    runtime: &Runtime,
    reader: &Arc<R>,
    keys: &Arc<[SessionKey]>,
    reads: usize,
) -> Sample {
    let (reader, keys) = (Arc::clone(reader), Arc::clone(keys));
    let task = runtime.spawn(async move {
        let mut sample = Sample::default();
        for place in 0..reads {
            let began = now();
            let read = reader.read(&keys[place % keys.len()]).await;
            let span = began.elapsed();
            assert_eq!(black_box(read), TOKEN_BYTES);
            sample.add(per(span, 1));
        }
        sample
    });
    runtime.block_on(task).expect("every read finds its token")
}

fn show_throughput(times: &[[Sample; NAMES.len()]; TASKS.len()]) {
    println!("nanoseconds a read on its thread, median and range of the rounds:\n");
    let rows: Vec<[String; 4]> = (0..NAMES.len())
        .map(|who| {
            let cell = |tasks: usize| times[tasks][who].show(0);
            [NAMES[who].to_owned(), cell(0), cell(1), cell(2)]
        })
        .collect();
    table(["", "1 task", "2 tasks", "64 tasks"], &rows);
    println!("times the bare map's median (target for hive.token: at most 1.3):\n");
    let rows: Vec<[String; 4]> = (0..NAMES.len())
        .map(|who| {
            let cell = |tasks: usize| {
                format!("{:.2}", times[tasks][who].median() / times[tasks][0].median())
            };
            [NAMES[who].to_owned(), cell(0), cell(1), cell(2)]
        })
        .collect();
    table(["", "1 task", "2 tasks", "64 tasks"], &rows);
}

fn show_latency(latencies: &[Sample; NAMES.len() + 1]) {
    println!(
        "single reads on one task, nanoseconds, nothing subtracted (target: p99 below 1000):\n"
    );
    let names = NAMES.into_iter().chain(["the clock alone"]);
    let rows: Vec<[String; 5]> = names
        .zip(latencies)
        .map(|(name, sample)| {
            let cell = |fraction| format!("{:.0}", sample.quantile(fraction));
            [name.to_owned(), cell(0.5), cell(0.9), cell(0.99), cell(0.999)]
        })
        .collect();
    table(["", "p50", "p90", "p99", "p99.9"], &rows);
}
