//! Login, re-login, deletion, and the small changes in between.

use std::sync::Arc;

use crate::ledger::PutReply;
use crate::ledger::samples::{HOUR, MINUTE, begin_request, put_request, sealed};
use crate::model::Timestamp;
use crate::store::SessionStore;
use crate::store::contract::session::Session;

pub(super) async fn run<F, M>(make: &F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    nothing_is_kept_of_a_session_never_stored(make().await).await;
    login_over_a_live_session_needs_a_higher_generation(make().await).await;
    login_after_deletion_needs_a_higher_generation(make().await).await;
    deletion_returns_what_to_revoke(make().await).await;
    postponing_moves_the_due_time_alone(make().await).await;
    profile_is_kept_until_the_next_login(make().await).await;
    sessions_do_not_touch_each_other(make().await).await;
    closing_is_safe_to_repeat(make().await).await;
}

async fn nothing_is_kept_of_a_session_never_stored(store: Arc<dyn SessionStore>) {
    let never = Session::named(&store, "never");

    never.store.postpone(&never.key, Some(MINUTE), None).await.expect("the store answers");
    let profile = never.store.set_profile(&never.key, 1, sealed("profile")).await;

    assert_eq!(profile, Ok(false));
    assert_eq!(never.delete().await, None);
    assert!(never.load().await.reply.is_empty());
}

async fn login_over_a_live_session_needs_a_higher_generation(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.granted(begin_request(1, 1)).await;
    let created = session.record().await.created;

    for generation in 0..=2 {
        let reply = session.put(put_request(generation, "too low")).await;
        assert_eq!(reply, PutReply::Conflict { generation: 1 });
    }
    assert_eq!(session.load().await.reply.next_put_generation(), 3);
    let reply = session.put(put_request(3, "again")).await;

    assert_eq!(reply, PutReply::Stored { version: 3 });
    let record = session.record().await;
    assert_eq!((record.generation, record.slot, record.tries), (3, None, 0));
    assert_eq!((record.access, record.created), (sealed("again access"), created));
    assert_eq!(session.granted(begin_request(2, 3)).await.sequence, 2, "sequences go on");
}

async fn login_after_deletion_needs_a_higher_generation(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.delete().await;

    let low = session.put(put_request(1, "again")).await;
    let reply = session.put(put_request(3, "again")).await;

    assert_eq!(low, PutReply::Conflict { generation: 1 });
    assert_eq!(reply, PutReply::Stored { version: 3 });
    assert_eq!(session.load().await.reply.tombstone, None);
}

async fn deletion_returns_what_to_revoke(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;

    let deleted = session.delete().await.expect("it was there");
    let again = session.delete().await;

    assert_eq!(deleted.provider.as_str(), "sample");
    assert_eq!(deleted.refresh, Some(sealed("login refresh")));
    assert_eq!(deleted.access, sealed("login access"));
    assert_eq!(again, None);
    let entry = session.load().await.reply;
    assert_eq!((entry.record, entry.due), (None, None));
    assert_eq!(entry.tombstone.expect("late commits are told apart").generation, 1);
}

async fn postponing_moves_the_due_time_alone(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let before = session.load().await;
    let read = before.now + MINUTE;

    session.store.postpone(&session.key, Some(HOUR), Some(read)).await.expect("the store answers");
    let after = session.load().await;

    let due = after.reply.due.expect("it is due some day");
    assert!((before.now + HOUR..=after.now + HOUR).contains(&due), "{due:?}");
    let record = after.reply.record.expect("it is there");
    assert_eq!(record.last_read, Some(read));
    assert_eq!(record.version, 1);

    let earlier = Some(Timestamp::from_millis(0));
    session.store.postpone(&session.key, None, earlier).await.expect("the store answers");
    let never = session.load().await.reply;
    assert_eq!(never.due, None);
    assert_eq!(never.record.expect("it is there").last_read, Some(read), "it never goes back");
}

async fn profile_is_kept_until_the_next_login(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;

    assert_eq!(session.store.set_profile(&session.key, 1, sealed("profile")).await, Ok(true));
    session.refresh(1, 1, "second").await;
    assert_eq!(session.record().await.profile, Some(sealed("profile")));

    session.put(put_request(4, "again")).await;
    let late = session.store.set_profile(&session.key, 1, sealed("profile")).await;
    assert_eq!(late, Ok(false), "it was fetched for the login before");
    assert_eq!(session.record().await.profile, None);
}

async fn sessions_do_not_touch_each_other(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let other = Session::named(&session.store, "user2");
    other.put(put_request(1, "other")).await;
    let before = session.load().await.reply;

    other.granted(begin_request(1, 1)).await;
    other.delete().await;

    assert_eq!(session.load().await.reply, before);
}

async fn closing_is_safe_to_repeat(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;

    assert_eq!(session.store.close().await, Ok(()));
    assert_eq!(session.store.close().await, Ok(()));
}
