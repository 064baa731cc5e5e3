//! What becomes of the tokens an exchange brings.

use std::sync::Arc;

use crate::ledger::samples::{
    MINUTE, begin_request, commit_request, fail_request, put_request, sealed, takeover_request,
};
use crate::ledger::{
    AttemptId, BeginReply, Commit, CommitReply, FailKind, FailReply, Grant, Installed, Status,
};
use crate::store::SessionStore;
use crate::store::contract::session::Session;

pub(super) async fn run<F, M>(make: &F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    commit_installs_once(make().await).await;
    late_commit_by_a_former_holder_leaves_the_slot(make().await).await;
    later_exchange_of_the_same_generation_supersedes(make().await).await;
    earlier_exchange_becomes_the_spare(make().await).await;
    spare_takes_over_after_a_rejection(make().await).await;
    outdated_commit_is_stale(make().await).await;
    late_commit_heals_a_suspect_session(make().await).await;
    late_commit_heals_a_dead_session(make().await).await;
    commit_of_a_missing_session_installs_nothing(make().await).await;
}

async fn commit_installs_once(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let grant = session.granted(begin_request(1, 1)).await;
    let request = commit_request(1, &grant, "second");

    let reply = session.commit(request.clone()).await;
    let loaded = session.load().await;
    let again = session.commit(request).await;

    let installed = CommitReply::Installed(Installed { generation: 2, version: 2 });
    assert_eq!((&reply, &again), (&installed, &installed));
    assert_eq!(session.load().await.reply, loaded.reply, "a repeated commit changes nothing");
    let record = loaded.reply.record.expect("it is there");
    assert_eq!((record.generation, record.tries, record.slot), (2, 0, None));
    assert_eq!(record.access, sealed("second access"));
    assert_eq!(record.refresh, Some(sealed("second refresh")));
    assert_eq!(loaded.reply.due, Some(record.received + 40 * MINUTE));
    assert_eq!(record.expires, Some(record.received + 60 * MINUTE));
}

async fn late_commit_by_a_former_holder_leaves_the_slot(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let silent = session.granted_impatiently(begin_request(1, 1)).await;
    session.granted(takeover_request(2, 1, 1)).await;

    let reply = session.commit(commit_request(1, &silent, "late")).await;

    assert_eq!(reply, CommitReply::Installed(Installed { generation: 2, version: 2 }));
    let slot = session.record().await.slot.expect("the holder's slot stays");
    assert_eq!(slot.attempt, AttemptId(2));
    let third = session.begin(begin_request(3, 2)).await;
    assert!(matches!(third, BeginReply::Busy { .. }), "{third:?}");
    let reply = session.fail(fail_request(2, 1, FailKind::Rejected)).await;
    assert_eq!(reply, FailReply::Recovered { generation: 2 });
    session.granted(begin_request(3, 2)).await;
}

/// Attempts 1 and 2 both redeemed generation 1; returns their grants.
async fn two_exchanges(session: &Session) -> (Grant, Grant) {
    let first = session.granted_impatiently(begin_request(1, 1)).await;
    let second = session.granted(takeover_request(2, 1, 1)).await;
    (first, second)
}

async fn later_exchange_of_the_same_generation_supersedes(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let (first, second) = two_exchanges(&session).await;
    session.commit(commit_request(1, &first, "first")).await;

    let reply = session.commit(commit_request(2, &second, "second")).await;

    assert_eq!(reply, CommitReply::Installed(Installed { generation: 2, version: 3 }));
    let record = session.record().await;
    assert_eq!(record.refresh, Some(sealed("second refresh")));
    assert_eq!(record.spare, Some(sealed("first refresh")));
    assert_eq!(record.slot, None);
}

async fn earlier_exchange_becomes_the_spare(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let (first, second) = two_exchanges(&session).await;
    session.commit(commit_request(2, &second, "second")).await;

    let reply = session.commit(commit_request(1, &first, "first")).await;

    assert_eq!(reply, CommitReply::Late { generation: 2 });
    let record = session.record().await;
    assert_eq!(record.refresh, Some(sealed("second refresh")));
    assert_eq!(record.spare, Some(sealed("first refresh")));
    assert_eq!(record.version, 2, "readers see nothing of it");
}

async fn spare_takes_over_after_a_rejection(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let (first, second) = two_exchanges(&session).await;
    session.commit(commit_request(2, &second, "second")).await;
    session.commit(commit_request(1, &first, "first")).await;
    session.granted(begin_request(3, 2)).await;

    let reply = session.fail(fail_request(3, 2, FailKind::Rejected)).await;

    assert_eq!(reply, FailReply::TrySpare { generation: 3 });
    let grant = session.granted(begin_request(4, 3)).await;
    assert_eq!((grant.base, grant.tries), (3, 1));
    assert_eq!(grant.refresh, sealed("first refresh"));
    assert_eq!(session.record().await.spare, None);
}

async fn outdated_commit_is_stale(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let old = session.granted(begin_request(1, 1)).await;
    session.put(put_request(3, "new login")).await;

    let reply = session.commit(commit_request(1, &old, "old")).await;

    assert_eq!(reply, CommitReply::Stale { generation: 3 });
    assert_eq!(session.record().await.access, sealed("new login access"));
}

async fn late_commit_heals_a_suspect_session(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let silent = session.make_suspect(MINUTE).await;

    let reply = session.commit(commit_request(90, &silent, "late")).await;

    assert!(matches!(reply, CommitReply::Installed(Installed { generation: 2, .. })), "{reply:?}");
    let loaded = session.load().await.reply;
    let record = loaded.record.expect("it is there");
    assert_eq!((record.status, record.refresh), (Status::Active, Some(sealed("late refresh"))));
    assert_eq!(loaded.due, Some(record.received + 40 * MINUTE));
}

/// An older exchange than the installed one, after the installed token was rejected.
async fn late_commit_heals_a_dead_session(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let (first, second) = two_exchanges(&session).await;
    session.commit(commit_request(2, &second, "second")).await;
    session.granted(begin_request(3, 2)).await;
    assert_eq!(session.fail(fail_request(3, 2, FailKind::Rejected)).await, FailReply::Dead);

    let reply = session.commit(commit_request(1, &first, "first")).await;

    assert_eq!(reply, CommitReply::Healed(Installed { generation: 2, version: 4 }));
    let record = session.record().await;
    assert_eq!((record.status, record.refresh), (Status::Active, Some(sealed("first refresh"))));
    assert_eq!(record.spare, None, "the rejected token is not tried again");
}

async fn commit_of_a_missing_session_installs_nothing(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let grant = session.granted(begin_request(1, 1)).await;
    session.delete().await;
    let never = Session::named(&session.store, "never");

    assert_eq!(session.commit(commit_request(1, &grant, "x")).await, CommitReply::Gone);
    assert_eq!(session.load().await.reply.record, None);
    let unknown = Commit { base: 4, ..commit_request(1, &grant, "x") };
    assert_eq!(never.commit(unknown).await, CommitReply::Absent);
    assert!(never.load().await.reply.is_empty());
}
