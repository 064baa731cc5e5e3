//! A hot read never touches the server: counted there, not claimed here.

use tokenhive::Keyring;

use crate::common::{fill, key, start};
use crate::server::Server;
use crate::stats;

const SESSIONS: usize = 1000;
const READERS: usize = 4;

/// True if the server was not asked for anything.
pub async fn measure(server: &Server, reads: usize) -> bool {
    let hive = start(server, &Keyring::generate()).await;
    fill(&hive, SESSIONS).await;
    stats::quiet(server).await;
    let before = stats::calls(server).await;
    let readers = (0..READERS).map(|reader| {
        let hive = hive.clone();
        tokio::spawn(async move {
            let keys: Vec<_> = (0..SESSIONS).map(key).collect();
            for number in (reader..reads).step_by(READERS) {
                hive.token(&keys[number % SESSIONS]).await.expect("the token is valid");
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.expect("no reader panics");
    }
    let called = stats::difference(&before, &stats::calls(server).await);
    hive.shutdown().await;
    println!(
        "hot reads: {reads} reads of {SESSIONS} sessions, commands the server saw meanwhile: {called:?}\n"
    );
    called.is_empty()
}
