//! What the parts of the Redis bench share: sessions, and hives on them.

use std::sync::Arc;
use std::time::Duration;

use tokenhive::{Keyring, RedisOptions, RedisStore, RestoreOptions, Secret, SessionKey, TokenHive};

use crate::server::Server;
use crate::support::{provider, saved};

pub const ACCESS_BYTES: usize = 900;
pub const REFRESH_BYTES: usize = 300;
pub const HOUR: Duration = Duration::from_secs(3600);
/// Every key of the hives' own begins with it.
pub const PREFIX: &str = "th:";

/// Sessions that are stored at the same time.
const WRITERS: usize = 128;

pub fn key(number: usize) -> SessionKey {
    SessionKey::new(format!("tenant-{}", number % 97), format!("user-{number:06}"))
        .expect("printable and short")
}

/// How the hives of this bench use the server. Nodes say rarely that they live, so that what is counted
/// is what was asked for.
pub fn options(server: &Server) -> RedisOptions {
    RedisOptions::new(server.url()).prefix(PREFIX).node_lease(HOUR).allow_data_loss()
}

pub async fn store(server: &Server) -> RedisStore {
    RedisStore::connect_with(options(server)).await.expect("the server is up")
}

/// A hive that knows nothing yet, with a provider that nobody will ask.
pub async fn start(server: &Server, keyring: &Keyring) -> TokenHive {
    TokenHive::builder()
        .provider(provider("http://127.0.0.1:9"))
        .store(store(server).await)
        .keyring(keyring.clone())
        .without_journal()
        .poll_every(HOUR)
        .start()
        .await
        .expect("the hive starts")
}

/// Gives the hive a token for each session, many at a time.
pub async fn fill(hive: &TokenHive, sessions: usize) {
    let writers = (0..WRITERS).map(|writer| {
        let hive = hive.clone();
        tokio::spawn(async move {
            for number in (writer..sessions).step_by(WRITERS) {
                let access = Secret::from(format!("{number:0ACCESS_BYTES$}"));
                let refresh = Secret::from(format!("{number:0REFRESH_BYTES$}"));
                let saved = saved(access, refresh, HOUR * 10);
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

/// All sessions in the same random order in every run.
pub fn shuffled(sessions: usize) -> Arc<[usize]> {
    let mut numbers: Vec<usize> = (0..sessions).collect();
    let mut seed = 1_u64;
    for place in (1..sessions).rev() {
        // SplitMix64.
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let other = (z ^ (z >> 31)) % (place as u64 + 1);
        numbers.swap(place, usize::try_from(other).expect("below the number of sessions"));
    }
    numbers.into()
}
