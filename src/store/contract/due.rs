//! Which sessions a claim returns, and when it returns them again.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::samples::{HOUR, MINUTE, put_request, tokens};
use crate::ledger::{Claim, NewTokens, Put};
use crate::model::{SessionKey, Timestamp};
use crate::store::SessionStore;
use crate::store::contract::session::Session;

pub(super) async fn run<F, M>(make: &F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    earliest_come_first_within_horizon_and_limit(make().await).await;
    claimed_sessions_hide_and_reappear(make().await).await;
    deleted_and_idle_sessions_are_never_due(make().await).await;
}

fn claim(horizon: Duration, limit: usize, visibility: Duration) -> Claim {
    Claim { horizon, limit, visibility }
}

async fn due_in(store: &Arc<dyn SessionStore>, name: &str, due_in: Option<Duration>) -> Session {
    let session = Session::named(store, name);
    let tokens = NewTokens { due_in, ..tokens(name) };
    session.put(Put { tokens, ..put_request(1, name) }).await;
    session
}

fn names(claimed: &[(SessionKey, Timestamp)]) -> Vec<&str> {
    claimed.iter().map(|(key, _)| key.session()).collect()
}

async fn earliest_come_first_within_horizon_and_limit(store: Arc<dyn SessionStore>) {
    due_in(&store, "c", Some(30 * MINUTE)).await;
    let first = due_in(&store, "b", Some(10 * MINUTE)).await;
    due_in(&store, "a", Some(20 * MINUTE)).await;
    due_in(&store, "far", Some(9 * HOUR)).await;
    let due = first.load().await.reply.due.expect("it is due");

    assert_eq!(first.claim(claim(9 * MINUTE, 10, HOUR)).await, [], "nothing is due so soon");
    assert_eq!(first.claim(claim(HOUR, 0, HOUR)).await, []);
    let two = first.claim(claim(HOUR, 2, 3 * HOUR)).await;
    let rest = first.claim(claim(HOUR, 10, 3 * HOUR)).await;

    assert_eq!(names(&two), ["b", "a"]);
    assert_eq!(two[0].1, due);
    assert_eq!(names(&rest), ["c"], "what was claimed is hidden, what is far is not due");
}

async fn claimed_sessions_hide_and_reappear(store: Arc<dyn SessionStore>) {
    let session = due_in(&store, "a", Some(Duration::ZERO)).await;
    let all = |visibility| claim(MINUTE, usize::MAX, visibility);

    assert_eq!(names(&session.claim(all(Duration::ZERO)).await), ["a"]);
    assert_eq!(names(&session.claim(all(HOUR)).await), ["a"], "it was hidden for no time at all");
    assert_eq!(session.claim(all(HOUR)).await, []);
    let entry = session.load().await;
    let hidden_until = entry.reply.due.expect("it comes back");
    assert!(hidden_until > entry.now + 59 * MINUTE, "{hidden_until:?}");
    let again = session.claim(claim(2 * HOUR, usize::MAX, HOUR)).await;
    assert_eq!(again, [(session.key.clone(), hidden_until)], "it reappears then");

    session.store.postpone(&session.key, Some(MINUTE), None).await.expect("the store answers");
    assert_eq!(names(&session.claim(claim(2 * MINUTE, 10, HOUR)).await), ["a"]);
}

async fn deleted_and_idle_sessions_are_never_due(store: Arc<dyn SessionStore>) {
    let deleted = due_in(&store, "deleted", Some(Duration::ZERO)).await;
    due_in(&store, "idle", None).await;
    deleted.delete().await;

    assert_eq!(deleted.claim(claim(Duration::MAX, 10, MINUTE)).await, []);
}
