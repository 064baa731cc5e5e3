//! Puts back what the store lost: after a failover or a restart it may not have what it acknowledged.
//!
//! Deletions first, then tokens, then exchanges in flight (`docs/PROTOCOL.md`). Meanwhile the store gives
//! no leave to begin, on any node.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::actors::session::Errand;
use crate::actors::supervisor::Supervisor;
use crate::journal::{Answer, Recorded, Recovered};
use crate::model::{BootTime, SessionKey};
use crate::timing;

/// Sessions put back at the same time.
const AT_ONCE: usize = 64;

/// Waits for work until shutdown.
pub(crate) async fn run(supervisor: Supervisor) {
    let shared = Arc::clone(supervisor.shared());
    loop {
        tokio::select! {
            () = shared.closing.cancelled() => return,
            () = shared.put_back.notified() => put_back(&supervisor).await,
        }
    }
}

async fn put_back(supervisor: &Supervisor) {
    let shared = supervisor.shared();
    let read_at = shared.clock.boot();
    let remembered = match &shared.journal {
        Some(journal) => journal.recent().await.unwrap_or_else(|error| {
            tracing::error!(%error, "the journal cannot be read back: {error}");
            Recovered::default()
        }),
        None => Recovered::default(),
    };
    let (answers, deletions) = (remembered.answers, remembered.deletions);
    let counts = (deletions.len(), answers.len(), shared.in_flight.len());
    let deletions = deletions.into_iter().map(|it| it.what);
    stream::iter(deletions)
        .for_each_concurrent(AT_ONCE, async |(key, stone)| {
            report(&key, shared.store.bury(&key, stone).await.map(|_| ()));
        })
        .await;
    tell_store(supervisor, answers, read_at).await;
    put_back_slots(supervisor).await;
    let (deletions, answers, slots) = counts;
    tracing::info!(
        deletions,
        answers,
        slots,
        "put back what the store may have lost: {deletions} deletions, {answers} answers, {slots} exchanges"
    );
}

/// Tells the store of answers, one session's in their order. True if it has heard all of them.
pub(crate) async fn tell_store(
    supervisor: &Supervisor,
    answers: Vec<Recorded<Answer>>,
    read_at: BootTime,
) -> bool {
    let told = stream::iter(by_session(answers)).map(async |answers: Vec<Recorded<Answer>>| {
        for answer in answers {
            let errand = errand(answer, read_at);
            let told = errand.once(supervisor).await;
            if told.is_err() {
                report(&errand.key, told);
                return false;
            }
        }
        true
    });
    told.buffer_unordered(AT_ONCE).all(async |told| told).await
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

async fn put_back_slots(supervisor: &Supervisor) {
    let shared = supervisor.shared();
    let open: Vec<_> =
        shared.in_flight.iter().map(|it| (it.key().clone(), it.value().clone())).collect();
    stream::iter(open)
        .for_each_concurrent(AT_ONCE, async |(key, remembered)| {
            let class = shared.class_of(remembered.provider());
            let remaining = shared.registry.snapshot(&key);
            let remaining =
                remaining.map(|it| it.expires().since(shared.clock.boot())).unwrap_or_default();
            let patience = timing::patience(class, remaining, shared.options.dead_after)
                .saturating_sub(remembered.age(shared.clock.boot()));
            let request = remembered.reassertion(&shared.node, patience);
            report(&key, shared.store.reassert(&key, request).await.map(|_| ()));
        })
        .await;
}

fn report(key: &SessionKey, done: Result<(), crate::store::SealedStoreError>) {
    if let Err(error) = done {
        tracing::warn!(session = %key, %error, "{key} is not put back yet: {error}");
    }
}
