//! Who may begin an exchange.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::ledger::samples::{
    MINUTE, begin_request, commit_request, due_request, fail_request, put_request, sealed,
    takeover_request, tokens,
};
use crate::ledger::{AttemptId, Begin, BeginReply, FailKind, NewTokens, Put};
use crate::store::SessionStore;
use crate::store::contract::session::Session;

pub(super) async fn run<F, M>(make: &F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    first_begin_is_granted_and_repeats(make().await).await;
    second_begin_finds_it_busy(make().await).await;
    silent_exchange_is_taken_over_by_name_only(make().await).await;
    older_expectation_gets_the_newer_record(make().await).await;
    fresh_tokens_and_back_off_hold_back_the_due(make().await).await;
    tries_run_out(make().await).await;
    suspect_and_dead_begin_nothing(make().await).await;
    missing_sessions_are_told_apart(make().await).await;
    rolled_back_store_is_noticed(make().await).await;
    session_without_refresh_token_says_so(make().await).await;
    one_of_many_concurrent_begins_is_granted(make().await).await;
}

async fn first_begin_is_granted_and_repeats(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;

    let grant = session.granted(begin_request(1, 1)).await;
    let entry = session.load().await.reply;
    let again = session.granted(begin_request(1, 1)).await;

    assert_eq!((grant.base, grant.sequence, grant.tries), (1, 1, 1));
    assert_eq!(grant.refresh, sealed("login refresh"));
    assert_eq!(again, grant, "a lost reply is given again");
    assert_eq!(session.load().await.reply, entry, "asking again changes nothing");
    let slot = entry.record.expect("it is there").slot.expect("it is taken");
    assert_eq!((slot.attempt, slot.base, slot.until), (AttemptId(1), 1, slot.started + MINUTE));
    assert_eq!(entry.due, Some(slot.until), "someone looks after it if the holder vanishes");
}

async fn second_begin_finds_it_busy(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.granted(begin_request(1, 1)).await;
    let until = session.record().await.slot.expect("taken").until;

    let early = takeover_request(2, 1, 1);
    for request in [begin_request(2, 1), early] {
        let reply = session.begin(request).await;
        assert_eq!(reply, BeginReply::Busy { attempt: AttemptId(1), until });
    }
}

async fn silent_exchange_is_taken_over_by_name_only(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.granted_impatiently(begin_request(1, 1)).await;

    for request in [begin_request(2, 1), takeover_request(2, 1, 7)] {
        let reply = session.begin(request).await;
        assert!(matches!(reply, BeginReply::Busy { .. }), "{reply:?}");
    }
    let grant = session.granted(takeover_request(2, 1, 1)).await;

    assert_eq!((grant.base, grant.sequence, grant.tries), (1, 2, 2));
    let slot = session.record().await.slot.expect("taken");
    assert_eq!(slot.attempt, AttemptId(2));
}

async fn older_expectation_gets_the_newer_record(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.refresh(1, 1, "second").await;

    let reply = session.begin(begin_request(2, 1)).await;

    assert_eq!(reply, BeginReply::Newer(Box::new(session.record().await)));
}

async fn fresh_tokens_and_back_off_hold_back_the_due(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    let expires = session.record().await.expires;

    assert_eq!(session.begin(due_request(1, 1)).await, BeginReply::Fresh { expires });
    let stale = Session::named(&session.store, "stale");
    let tokens = NewTokens { expires_in: Some(Duration::ZERO), ..tokens("login") };
    stale.put(Put { tokens, ..put_request(1, "login") }).await;
    stale.granted(due_request(1, 1)).await;
    stale.fail(fail_request(1, 1, FailKind::InDoubt)).await;
    let until = stale.record().await.not_before.expect("it waits");

    assert_eq!(stale.begin(due_request(2, 1)).await, BeginReply::Backoff { until });
    stale.granted(begin_request(2, 1)).await;
}

async fn tries_run_out(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    for attempt in 1..=3 {
        session.granted(begin_request(attempt, 1)).await;
        session.fail(fail_request(attempt, 1, FailKind::InDoubt)).await;
    }

    let reply = session.begin(begin_request(4, 1)).await;

    assert_eq!(reply, BeginReply::Exhausted { tries: 3 });
}

async fn suspect_and_dead_begin_nothing(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.make_suspect(MINUTE).await;
    let until = session.load().await.reply.due.expect("it is settled some day");
    assert_eq!(session.begin(begin_request(1, 1)).await, BeginReply::Suspect { until });

    let dead = Session::named(&session.store, "dead");
    dead.put(put_request(1, "login")).await;
    dead.make_dead().await;

    assert_eq!(dead.begin(begin_request(1, 1)).await, BeginReply::Dead);
    assert_eq!(dead.load().await.reply.due, None);
}

async fn missing_sessions_are_told_apart(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;
    session.delete().await;
    let never = Session::named(&session.store, "never");

    assert_eq!(session.begin(begin_request(1, 1)).await, BeginReply::Gone);
    assert_eq!(never.begin(begin_request(1, 1)).await, BeginReply::Absent);
    assert!(never.load().await.reply.is_empty());
}

async fn rolled_back_store_is_noticed(store: Arc<dyn SessionStore>) {
    let session = Session::logged_in(store).await;

    let reply = session.begin(Begin { minimum_generation: 2, ..begin_request(1, 1) }).await;

    assert_eq!(reply, BeginReply::Regressed { generation: 1 });
}

async fn session_without_refresh_token_says_so(store: Arc<dyn SessionStore>) {
    let session = Session::named(&store, "no refresh token");
    let tokens = NewTokens { refresh: None, ..tokens("login") };
    session.put(Put { tokens, ..put_request(1, "login") }).await;

    assert_eq!(session.begin(begin_request(1, 1)).await, BeginReply::NoRefreshToken);
    assert_eq!(session.record().await.slot, None);
}

async fn one_of_many_concurrent_begins_is_granted(store: Arc<dyn SessionStore>) {
    let session = Arc::new(Session::logged_in(store).await);
    let mut racers = JoinSet::new();
    for attempt in 1..=64 {
        let session = session.clone();
        racers.spawn(async move { (attempt, session.begin(begin_request(attempt, 1)).await) });
    }

    let replies = racers.join_all().await;

    let granted = replies.iter().filter_map(|(attempt, reply)| match reply {
        BeginReply::Granted(grant) => Some((*attempt, grant.clone())),
        _ => None,
    });
    let granted: Vec<_> = granted.collect();
    assert_eq!(granted.len(), 1, "{replies:?}");
    let (winner, grant) = &granted[0];
    for (_, reply) in &replies {
        let expected = matches!(reply, BeginReply::Granted(_))
            || matches!(reply, BeginReply::Busy { attempt, .. } if *attempt == AttemptId(*winner));
        assert!(expected, "{reply:?}");
    }
    session.commit(commit_request(*winner, grant, "second")).await;
    assert_eq!(session.record().await.generation, 2);
}
