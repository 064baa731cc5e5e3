//! Tokens of sessions that lie in Redis, read by a hive that knows nothing of them yet.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use tokenhive::{Keyring, SessionKey, TokenHive};

use crate::common::{ACCESS_BYTES, PREFIX, REFRESH_BYTES, fill, key, shuffled, start};
use crate::server::Server;
use crate::stats;
use crate::support::table;
use crate::timing::{Sample, now};

/// Tasks that read at the same time; the first is for latency.
const TASKS: [usize; 3] = [1, 64, 256];

/// How much is done.
#[derive(Clone, Copy)]
pub struct Effort {
    pub sessions: usize,
    pub rounds: usize,
    /// In each, the contenders take turns so often.
    pub turns: usize,
    /// Reads a turn by many tasks, and by one.
    pub reads: usize,
    pub reads_alone: usize,
}

const NAMES: [&str; 5] = [
    "hive.token(&key), the only node",
    "hive.token(&key), one node of two",
    "redis GET + serde_json",
    "redis GET + postcard",
    "redis GET alone",
];
/// How many of them are hives.
const HIVES: usize = 2;
/// The others, who take turns with each hive.
const BARE: usize = NAMES.len() - HIVES;
/// Of one turn, those that deserialize what they get: what all are compared with.
const BASELINES: [usize; 2] = [1, 2];

/// What others keep of a session: as many bytes as a record of the hive has.
#[derive(Serialize, Deserialize)]
struct Stored {
    access_token: String,
    refresh_token: String,
    token_type: String,
    scope: String,
    provider: String,
    generation: u64,
    version: u64,
    received: i64,
    expires: i64,
    padding: String,
}

impl Stored {
    fn new(number: usize) -> Self {
        Self {
            access_token: format!("{number:0ACCESS_BYTES$}"),
            refresh_token: format!("{number:0REFRESH_BYTES$}"),
            token_type: "Bearer".to_owned(),
            scope: "read write".to_owned(),
            provider: "sim".to_owned(),
            generation: 1,
            version: 1,
            received: 1_700_000_000_000,
            expires: 1_700_036_000_000,
            padding: String::new(),
        }
    }

    /// Written by `write`, filled up to `length` bytes.
    fn written(mut self, length: usize, write: fn(&Self) -> Vec<u8>) -> Vec<u8> {
        let bare = write(&self).len();
        self.padding = "x".repeat(length.saturating_sub(bare));
        // The length of the padding may itself take another byte.
        let over = write(&self).len().saturating_sub(length);
        self.padding.truncate(self.padding.len().saturating_sub(over));
        write(&self)
    }
}

fn to_json(stored: &Stored) -> Vec<u8> {
    serde_json::to_vec(stored).expect("strings and numbers")
}

fn from_json(bytes: &[u8]) -> usize {
    serde_json::from_slice(bytes).map_or(0, |stored: Stored| black_box(stored).access_token.len())
}

fn to_postcard(stored: &Stored) -> Vec<u8> {
    postcard::to_stdvec(stored).expect("strings and numbers")
}

fn from_postcard(bytes: &[u8]) -> usize {
    postcard::from_bytes(bytes).map_or(0, |stored: Stored| black_box(stored).access_token.len())
}

/// One way to get at a token. It gives the token's length, which proves that it was reached.
trait Reader: Clone + Send + 'static {
    fn read(&mut self, number: usize) -> impl Future<Output = usize> + Send;
}

#[derive(Clone)]
struct Hive {
    hive: TokenHive,
    keys: Arc<[SessionKey]>,
}

impl Reader for Hive {
    async fn read(&mut self, number: usize) -> usize {
        let token = self.hive.token(&self.keys[number]).await;
        token.map_or(0, |token| token.access_token().expose().len())
    }
}

#[derive(Clone)]
struct Bare {
    connection: MultiplexedConnection,
    names: Arc<[String]>,
    read: fn(&[u8]) -> usize,
}

impl Reader for Bare {
    async fn read(&mut self, number: usize) -> usize {
        let mut get = redis::cmd("GET");
        get.arg(&self.names[number]);
        let bytes: Vec<u8> = get.query_async(&mut self.connection).await.unwrap_or_default();
        (self.read)(&bytes)
    }
}

/// Everything that lies in the server, and the ways to it.
struct Ground<'a> {
    server: &'a Server,
    keyring: Keyring,
    order: Arc<[usize]>,
    keys: Arc<[SessionKey]>,
    bare: [Bare; BARE],
}

/// What one contender's turns came to with one number of tasks.
#[derive(Default)]
struct Result {
    /// Microseconds a read: by many tasks, all time over all reads; by one, that of a read in the middle.
    micros: Sample,
    /// The same, times what each baseline took in the same turn.
    over: [Sample; BASELINES.len()],
    /// Microseconds of processor time a read took in this process.
    busy: Sample,
}

/// What one turn came to.
#[derive(Clone, Copy, Default)]
struct Turn {
    micros: f64,
    busy: f64,
}

pub async fn measure(server: &Server, effort: Effort) {
    let Effort { sessions, rounds, turns, reads, .. } = effort;
    let ground = Ground::lay(server, sessions).await;
    println!(
        "cold reads: {sessions} sessions in Redis, tokens of {ACCESS_BYTES} and {REFRESH_BYTES} bytes, random order,"
    );
    println!(
        "{rounds} rounds with a new hive, in each {turns} turns of {reads} reads by each contender\n"
    );
    let mut results: [[Result; NAMES.len()]; TASKS.len()] = Default::default();
    // The first round warms up and is not counted.
    for round in 0..=rounds {
        for (tasks, results) in TASKS.into_iter().zip(&mut results) {
            for is_second in [false, true] {
                let readers = ground.readers(is_second).await;
                for turn in 0..turns {
                    let measured = readers.take_turns(round + turn, tasks, effort).await;
                    if round > 0 {
                        note(results, is_second, &measured);
                    }
                }
                readers.end().await;
            }
        }
    }
    show(&results);
}

impl<'a> Ground<'a> {
    async fn lay(server: &'a Server, sessions: usize) -> Self {
        let keyring = Keyring::generate();
        let hive = start(server, &keyring).await;
        fill(&hive, sessions).await;
        hive.shutdown().await;
        let mut connection = server.connection().await;
        let length = record_length(&mut connection).await;
        let bare = [
            ("json", to_json as fn(&Stored) -> Vec<u8>, from_json as fn(&[u8]) -> usize),
            ("postcard", to_postcard, from_postcard),
            ("json", to_json, |bytes| if bytes.is_empty() { 0 } else { ACCESS_BYTES }),
        ]
        .map(|(name, write, read)| {
            let names: Arc<[String]> = (0..sessions).map(|it| format!("{name}:{it}")).collect();
            (Bare { connection: connection.clone(), names, read }, write)
        });
        for (bare, write) in &bare[..2] {
            for some in (0..sessions).collect::<Vec<_>>().chunks(500) {
                let mut all = redis::pipe();
                for &number in some {
                    let bytes = Stored::new(number).written(length, *write);
                    assert_eq!(bytes.len(), length, "as long as a record");
                    all.set(&bare.names[number], bytes).ignore();
                }
                let stored = all.query_async::<()>(&mut connection).await;
                stored.expect("the server is up");
            }
        }
        Self {
            server,
            keyring,
            order: shuffled(sessions),
            keys: (0..sessions).map(key).collect(),
            bare: bare.map(|(bare, _)| bare),
        }
    }

    /// A hive that knows nothing; where it is one of two nodes, the other looks after half of the sessions,
    /// whose channels are subscribed to as they are read.
    async fn readers(&self, is_one_of_two: bool) -> Readers<'_> {
        let other =
            if is_one_of_two { Some(start(self.server, &self.keyring).await) } else { None };
        let hive = start(self.server, &self.keyring).await;
        stats::quiet(self.server).await;
        let hive = Hive { hive, keys: Arc::clone(&self.keys) };
        Readers { hive, other, ground: self }
    }
}

/// Those who take turns.
struct Readers<'a> {
    hive: Hive,
    other: Option<TokenHive>,
    ground: &'a Ground<'a>,
}

impl Readers<'_> {
    /// One turn of each: the hive first, then the others.
    async fn take_turns(&self, turn: usize, tasks: usize, effort: Effort) -> [Turn; 1 + BARE] {
        let reads = if tasks == 1 { effort.reads_alone } else { effort.reads };
        // No session is read twice by one hive.
        let from = turn % effort.turns * reads;
        let numbers = &self.ground.order[from..from + reads];
        let mut measured = [Turn::default(); 1 + BARE];
        for place in 0..measured.len() {
            let who = (turn + place) % measured.len();
            let shares = share(numbers, tasks);
            measured[who] = match who {
                0 => run(&self.hive, shares).await,
                _ => run(&self.ground.bare[who - 1], shares).await,
            };
        }
        measured
    }

    async fn end(self) {
        self.hive.hive.shutdown().await;
        if let Some(other) = self.other {
            other.shutdown().await;
        }
    }
}

async fn record_length(connection: &mut MultiplexedConnection) -> usize {
    let mut scan = redis::cmd("KEYS");
    scan.arg(format!("{PREFIX}*s{}", key(0).joined()));
    let found: Vec<String> = scan.query_async(connection).await.expect("the server is up");
    let mut length = redis::cmd("STRLEN");
    length.arg(found.first().expect("the first session is stored"));
    length.query_async(connection).await.expect("the server is up")
}

/// Deals the numbers out to the tasks.
fn share(numbers: &[usize], tasks: usize) -> Vec<Vec<usize>> {
    let share = |task| numbers.iter().copied().skip(task).step_by(tasks).collect();
    (0..tasks).map(share).collect()
}

async fn run<R: Reader>(reader: &R, shares: Vec<Vec<usize>>) -> Turn {
    let alone = shares.len() == 1;
    let reads: usize = shares.iter().map(Vec::len).sum();
    let (began, busy) = (now(), processor_time());
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|numbers| tokio::spawn(read_all(reader.clone(), numbers, alone)))
        .collect();
    let mut times = Sample::default();
    for task in tasks {
        times = task.await.expect("every read finds its token");
    }
    let (took, busy) = (began.elapsed(), processor_time().saturating_sub(busy));
    let micros = if alone { times.median() } else { micros_each(took, reads) };
    Turn { micros, busy: micros_each(busy, reads) }
}

/// Reads one after the other; one that reads alone notes how long each took.
async fn read_all<R: Reader>(mut reader: R, numbers: Vec<usize>, alone: bool) -> Sample {
    let mut times = Sample::default();
    for number in numbers {
        let began = now();
        assert_eq!(black_box(reader.read(number).await), ACCESS_BYTES);
        if alone {
            times.add(micros_each(began.elapsed(), 1));
        }
    }
    times
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn micros_each(span: Duration, reads: usize) -> f64 {
    span.as_secs_f64() * 1e6 / reads as f64
}

/// What all threads of this process have used of the processors.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it counts up from zero")
}

/// Takes over what a turn came to. The baselines count where the hive is the only node.
fn note(results: &mut [Result; NAMES.len()], is_second: bool, measured: &[Turn; 1 + BARE]) {
    let hive = usize::from(is_second);
    let others = if is_second { 0..0 } else { 1..measured.len() };
    for place in std::iter::once(0).chain(others) {
        let who = if place == 0 { hive } else { place + HIVES - 1 };
        let Turn { micros, busy } = measured[place];
        let result = &mut results[who];
        result.micros.add(micros);
        result.busy.add(busy);
        for (over, baseline) in result.over.iter_mut().zip(BASELINES) {
            over.add(micros / measured[baseline].micros);
        }
    }
}

fn show(results: &[[Result; NAMES.len()]; TASKS.len()]) {
    for (tasks, results) in TASKS.into_iter().zip(results) {
        println!(
            "{}, microseconds a read:\n",
            if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") }
        );
        let rows: Vec<[String; 5]> = NAMES
            .iter()
            .zip(results)
            .map(|(name, Result { micros, over: [json, postcard], busy })| {
                let name = (*name).to_owned();
                [name, micros.show(2), json.show(2), postcard.show(2), busy.show(2)]
            })
            .collect();
        table(["", "µs", "× serde_json", "× postcard", "µs of processor here"], &rows);
    }
    println!(
        "target: with many tasks 0.8 times the baseline's reads, so 1.25 times its time; as much with one task\n"
    );
}
