//! What follows when an exchange brings no tokens.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::samples::{MINUTE, begin_request, fail_request, put_request};
use crate::ledger::{FailKind, FailReply, Settled, Status};
use crate::store::SessionStore;
use crate::store::contract::session::Session;

pub(super) async fn run<F, M>(make: &F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    failures_wait_and_count_by_kind(make().await).await;
    only_the_holder_may_fail(make().await).await;
    undoubted_rejection_is_death(make().await).await;
    doubted_rejection_is_settled_at_its_deadline(make().await).await;
    settling_without_tries_left_is_death(make().await).await;
    failure_of_a_missing_session_is_told_apart(make().await).await;
}

async fn failures_wait_and_count_by_kind(store: Arc<dyn SessionStore>) {
    let kinds = [
        (FailKind::NotSent, 0),
        (FailKind::Refused, 0),
        (FailKind::InDoubt, 1),
        (FailKind::Misconfigured, 0),
    ];
    for (kind, tries) in kinds {
        let session = Session::named(&store, &format!("{kind:?}"));
        session.put(put_request(1, "login")).await;
        session.granted(begin_request(1, 1)).await;

        let reply = session.fail(fail_request(1, 1, kind)).await;

        let entry = session.load().await.reply;
        let record = entry.record.expect("it is there");
        let at = record.not_before.expect("it waits");
        assert_eq!((reply, entry.due), (FailReply::Retry { at }, Some(at)), "{kind:?}");
        assert_eq!((record.tries, record.failures, record.slot), (tries, 1, None), "{kind:?}");
        assert_eq!(record.status, Status::Active, "{kind:?}");
        assert_eq!(record.last_error.expect("it is noted").code, "sample_error");
    }
}

async fn only_the_holder_may_fail(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.granted(begin_request(1, 1)).await;
    let before = session.load().await.reply;

    let reply = session.fail(fail_request(2, 1, FailKind::Rejected)).await;

    assert_eq!(reply, FailReply::Stale { generation: 1 });
    assert_eq!(session.load().await.reply, before);
}

async fn undoubted_rejection_is_death(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;

    session.make_dead().await;

    let record = session.record().await;
    assert_eq!((record.status, record.version), (Status::Dead, 2));
    assert_eq!(session.settle(3).await, Settled::NotSuspect);
}

async fn doubted_rejection_is_settled_at_its_deadline(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.make_suspect(MINUTE).await;
    let until = session.load().await.reply.due.expect("it is settled some day");
    assert_eq!(session.settle(3).await, Settled::NotYet { until });

    let over = Session::named(&session.store, "over");
    over.put(put_request(1, "login")).await;
    over.make_suspect(Duration::ZERO).await;

    assert_eq!(over.settle(3).await, Settled::LastTry);
    assert_eq!(over.settle(3).await, Settled::NotSuspect);
    assert_eq!(over.granted(begin_request(1, 1)).await.tries, 3);
}

async fn settling_without_tries_left_is_death(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.make_suspect(Duration::ZERO).await;

    assert_eq!(session.settle(2).await, Settled::Dead);
    assert_eq!(session.record().await.status, Status::Dead);
    assert_eq!(session.load().await.reply.due, None);
}

async fn failure_of_a_missing_session_is_told_apart(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.granted(begin_request(1, 1)).await;
    session.delete().await;
    let never = Session::named(&session.store, "never");

    let request = fail_request(1, 1, FailKind::InDoubt);
    assert_eq!(session.fail(request.clone()).await, FailReply::Gone);
    assert_eq!(never.fail(request).await, FailReply::Absent);
    assert_eq!(never.settle(3).await, Settled::NotSuspect);
}
