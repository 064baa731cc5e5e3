//! After a start: what the journal says was left undone is done, or told to be in doubt.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::actors::keeper::tell_store;
use crate::actors::session::{LoadOutcome, load, resolve};
use crate::actors::supervisor::Supervisor;
use crate::actors::task_kind::TaskKind;
use crate::journal::{Intent, Recorded, Recovered};
use crate::model::BootTime;

/// Sessions resolved at the same time.
const AT_ONCE: usize = 64;
/// How long the start waits for a store that does not answer; the rest goes on behind it.
const START_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the store of every deletion and answer it may not have, before anything else happens to their sessions: those
/// that never reached it, and those it may have lost while this node was down. Then resolves exchanges of
/// unknown outcome.
pub(crate) async fn replay(supervisor: &Supervisor, recovered: Recovered, read_at: BootTime) {
    let undone = recovered.answers.iter().filter(|answer| !answer.done).count();
    let mut recovered = recovered;
    let intents = std::mem::take(&mut recovered.intents);
    if undone + intents.len() > 0 {
        let open = intents.len();
        tracing::warn!(
            undone,
            open,
            "the last run of this node left {undone} answers and {open} exchanges of unknown outcome"
        );
    }
    let told = tell_store(supervisor, recovered.clone(), read_at);
    let mut told = tokio::time::timeout(START_WITHIN, told).await.unwrap_or(false);
    let background = supervisor.clone();
    supervisor.shared().spawn(TaskKind::Errand, async move {
        let rest = async {
            while !told {
                tokio::time::sleep(PAUSE).await;
                // Telling twice is safe.
                told = tell_store(&background, recovered.clone(), read_at).await;
            }
            resolve_all(&background, intents).await;
        };
        tokio::select! {
            () = background.shared().closing.cancelled() => {}
            () = rest => {}
        }
    });
}

async fn resolve_all(supervisor: &Supervisor, intents: Vec<Recorded<Intent>>) {
    stream::iter(intents)
        .for_each_concurrent(AT_ONCE, async |intent| {
            while !resolve_one(supervisor, &intent.what).await {
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// The record says whether the exchange still holds its slot: then it is in doubt. True if that is dealt
/// with.
async fn resolve_one(supervisor: &Supervisor, intent: &Intent) -> bool {
    let shared = supervisor.shared();
    let resolved = match load(shared, &intent.key).await {
        LoadOutcome::Known(known) if known.abandoned.is_some() => {
            resolve(shared, &intent.key, Some(*known)).await
        }
        other => other,
    };
    if matches!(resolved, LoadOutcome::Failed(_)) {
        return false;
    }
    shared.note_done(intent.attempt);
    true
}
