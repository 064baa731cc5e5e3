//! Hears what other nodes do to the sessions of a shared store.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::actors::supervisor::Supervisor;
use crate::store::News;

/// Listens until shutdown.
pub(crate) async fn run(supervisor: Supervisor, mut news: broadcast::Receiver<News>) {
    let shared = supervisor.shared().clone();
    loop {
        let heard = tokio::select! {
            () = shared.closing.cancelled() => return,
            heard = news.recv() => heard,
        };
        match heard {
            Ok(News::Changed { key, version }) => {
                shared.registry.hear(&key, version, shared.clock.boot());
                supervisor.outdated(&key, version);
            }
            Ok(News::Deleted { key, version }) => {
                shared.registry.hear(&key, version + 1, shared.clock.boot());
                // A login that came after it stays.
                if shared.registry.retract_older(&key, version) {
                    supervisor.replaced(&key, None);
                }
            }
            Ok(News::Missed) => shared.registry.missed(shared.clock.boot()),
            Ok(News::RolledBack) => shared.put_back.ask(),
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(count, "{count} messages of other nodes were missed");
                shared.registry.missed(shared.clock.boot());
            }
            Err(RecvError::Closed) => return,
        }
    }
}
