//! Puts back what the store lost: after a failover or a restart it may not have what it acknowledged.
//!
//! Deletions first, then tokens, then exchanges in flight (`docs/PROTOCOL.md`), sessions that have one of these before
//! all others. Meanwhile the store gives no leave to begin, on any node.

use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};

use crate::actors::session::Errand;
use crate::actors::supervisor::Supervisor;
use crate::journal::{Answer, Recorded, Recovered};
use crate::model::{BootTime, SessionKey};
use crate::store::SealedStoreError;

/// Sessions put back at the same time.
const AT_ONCE: usize = 64;

/// The pause before another attempt, where not everything could be put back.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits for work until shutdown.
pub(crate) async fn run(supervisor: Supervisor) {
    let closing = supervisor.shared().closing.clone();
    let work = async {
        loop {
            supervisor.shared().put_back.notified().await;
            while !put_back(&supervisor).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    tokio::select! {
        () = closing.cancelled() => {}
        () = work => {}
    }
}

/// True if the store has heard of everything; telling it twice is safe.
async fn put_back(supervisor: &Supervisor) -> bool {
    let shared = supervisor.shared();
    let read_at = shared.clock.boot();
    let remembered = match &shared.journal {
        Some(journal) => journal.recent().await.unwrap_or_else(|error| {
            tracing::error!(%error, "the journal cannot be read back: {error}");
            Recovered::default()
        }),
        None => Recovered::default(),
    };
    let counts = (remembered.deletions.len(), remembered.answers.len(), shared.in_flight.len());
    // What is in flight must be known before anybody may begin; the rest may take longer.
    let (urgent, rest): (Vec<_>, Vec<_>) = remembered
        .answers
        .into_iter()
        .partition(|answer| shared.in_flight.contains_key(&answer.what.key));
    let first = Recovered { answers: urgent, ..Recovered::default() };
    let mut told = tell_store(supervisor, first, read_at).await;
    told &= put_back_slots(supervisor).await;
    let remembered = Recovered { answers: rest, ..remembered };
    told &= tell_store(supervisor, remembered, read_at).await;
    let (deletions, answers, slots) = counts;
    if told && deletions + answers + slots > 0 {
        tracing::info!(
            deletions,
            answers,
            slots,
            "put back what the store may have lost: {deletions} deletions, {answers} answers, {slots} exchanges"
        );
    }
    told
}

/// Tells the store of deletions, then of answers, one session's in their order. True if it has heard all of
/// them.
pub(crate) async fn tell_store(
    supervisor: &Supervisor,
    remembered: Recovered,
    read_at: BootTime,
) -> bool {
    let shared = supervisor.shared();
    let buried = stream::iter(remembered.deletions).map(async |deletion| {
        let (key, stone) = deletion.what;
        is_told(&key, shared.store.bury(&key, stone).await)
    });
    let buried = all(buried).await;
    let answers = remembered.answers;
    let told = stream::iter(by_session(answers)).map(async |answers: Vec<Recorded<Answer>>| {
        for answer in answers {
            let errand = errand(answer, read_at);
            if !is_told(&errand.key, errand.once(supervisor).await) {
                return false;
            }
        }
        true
    });
    all(told).await && buried
}

/// Runs a number of them at a time, all of them whatever the others come to; true if each came to that.
async fn all(each: impl Stream<Item = impl Future<Output = bool>>) -> bool {
    each.buffer_unordered(AT_ONCE).fold(true, async |all, one| all && one).await
}

/// An answer as what is left to do about it.
pub(crate) fn errand(answer: Recorded<Answer>, read_at: BootTime) -> Errand {
    let Answer { key, provider, commit } = answer.what;
    Errand { key, provider, commit: commit.aged(answer.age), since: read_at }
}

fn by_session(answers: Vec<Recorded<Answer>>) -> Vec<Vec<Recorded<Answer>>> {
    let mut sessions: std::collections::HashMap<SessionKey, Vec<Recorded<Answer>>> =
        std::collections::HashMap::new();
    for answer in answers {
        sessions.entry(answer.what.key.clone()).or_default().push(answer);
    }
    sessions.into_values().collect()
}

async fn put_back_slots(supervisor: &Supervisor) -> bool {
    let shared = supervisor.shared();
    let open: Vec<_> =
        shared.in_flight.iter().map(|it| (it.key().clone(), it.value().clone())).collect();
    let held = stream::iter(open).map(async |(key, remembered)| {
        let request = remembered.reassertion(shared, &key);
        is_told(&key, shared.store.reassert(&key, request).await)
    });
    all(held).await
}

fn is_told<T>(key: &SessionKey, told: Result<T, SealedStoreError>) -> bool {
    if let Err(error) = &told {
        tracing::debug!(session = %key, %error, "{key} is not put back yet: {error}");
    }
    told.is_ok()
}
