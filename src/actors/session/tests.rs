//! What a session's actor decides, without actix, clock or I/O.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::session::Known;
use crate::actors::session::known::Condition;
use crate::actors::session::messages::{Freshness, Want};
use crate::actors::session::outcome::{ExchangeOutcome, LoadOutcome};
use crate::actors::session::state::{Reason, State, Step, Work};
use crate::ledger::samples::{DAY, put_request};
use crate::ledger::{Entry, put};
use crate::model::{
    BootTime, Misconfigured, NeedsLogin, OAuthToken, ProviderId, Secret, Snapshot, Standing,
    Timestamp, TokenError, Unavailable,
};
use crate::store::Session;
use crate::timing::RefreshPolicy;

const LIFETIME: Duration = Duration::from_secs(1000);

fn at(seconds: u64) -> BootTime {
    BootTime::from_nanos(1_000_000_000_000) + Duration::from_secs(seconds)
}

/// A token received at 0 s that is served until 900 s and expires at 1000 s.
fn known(version: u64) -> Box<Known> {
    let token = OAuthToken {
        access_token: Secret::new("t"),
        scope: None,
        token_type: None,
        expires_in: None,
        expires_at: None,
        refresh_token: None,
    };
    let standing = Standing {
        generation: version,
        grant: 1,
        version,
        serve_until: at(900),
        expires: at(1000),
        expires_at: None,
        ends_with_successor: false,
    };
    Box::new(Known {
        provider: ProviderId::new("p").unwrap(),
        snapshot: Arc::new(Snapshot::new(&token, standing)),
        health: Condition::Refreshable,
        lifetime: Some(LIFETIME),
        by_exchange: true,
        learned: at(0),
        age_then: Duration::ZERO,
        failures: 0,
        not_before: None,
        last_read: None,
        abandoned: None,
        trouble: None,
    })
}

fn knowing(known: Box<Known>) -> State {
    let mut state = State::default();
    state.loaded(LoadOutcome::Known(known));
    state
}

fn want() -> Want {
    Want { min_validity: Duration::ZERO, freshness: Freshness::Any, deadline: at(10_000) }
}

fn get(state: &State, now: u64) -> Step {
    state.on_get(at(now), &want(), None)
}

#[test]
fn a_session_it_does_not_know_is_read_first_and_once() {
    let mut state = State::default();

    assert!(matches!(get(&state, 0), Step::AwaitAfter(Work::Load)));
    state.started(Work::Load);
    assert!(matches!(get(&state, 0), Step::Await));
}

#[test]
fn a_fresh_token_is_handed_out_and_one_in_the_margin_is_refreshed_behind() {
    let mut state = knowing(known(1));

    assert!(matches!(get(&state, 899), Step::Answer(_)));
    assert!(matches!(get(&state, 900), Step::AnswerAndRefresh(_)));
    state.started(Work::Exchange(Reason::Wanted));
    assert!(matches!(get(&state, 901), Step::Answer(_)), "one refresh is enough");
}

#[test]
fn callers_of_an_expired_token_share_one_exchange() {
    let mut state = knowing(known(1));

    assert!(matches!(get(&state, 1000), Step::AwaitAfter(Work::Exchange(Reason::Wanted))));
    state.started(Work::Exchange(Reason::Wanted));
    assert!(matches!(get(&state, 1000), Step::Await));
}

#[test]
fn a_valid_token_is_handed_out_whatever_else_is_broken() {
    let ended = NeedsLogin::Rejected { error: "invalid_grant".to_owned(), description: None };
    for health in [
        Condition::Fixed,
        Condition::Suspect { until: at(2000) },
        Condition::Ended(Box::new(ended)),
    ] {
        let state = knowing(Box::new(Known { health, ..*known(1) }));

        assert!(matches!(get(&state, 950), Step::Answer(_)));
    }
}

#[test]
fn what_cannot_be_refreshed_is_refused_by_what_helps() {
    let ended = NeedsLogin::Rejected { error: "invalid_grant".to_owned(), description: None };
    let refusal = |health| match get(&knowing(Box::new(Known { health, ..*known(1) })), 1500) {
        Step::Refuse(error) => error,
        other => panic!("{other:?}"),
    };

    assert_eq!(refusal(Condition::Fixed), TokenError::needs_login(NeedsLogin::NoRefreshToken));
    assert_eq!(refusal(Condition::Ended(Box::new(ended.clone()))), TokenError::needs_login(ended));
    assert_eq!(
        refusal(Condition::Suspect { until: at(1600) }),
        TokenError::unavailable(Unavailable::Suspect, Some(Duration::from_secs(100)))
    );
}

#[test]
fn a_doubt_past_its_deadline_is_settled() {
    let health = Condition::Suspect { until: at(1400) };
    let state = knowing(Box::new(Known { health, ..*known(1) }));

    assert!(matches!(get(&state, 1500), Step::AwaitAfter(Work::Exchange(_))));
    assert!(state.on_due(at(1500), &RefreshPolicy::default()).is_some());
}

fn failed(why: TokenError) -> State {
    let mut state = knowing(known(1));
    state.started(Work::Exchange(Reason::Wanted));
    let until = at(1060);
    assert!(state.exchanged(ExchangeOutcome::Later { until, why, failed: true }).is_none());
    state
}

#[test]
fn during_back_off_a_caller_waits_if_there_is_time_and_is_told_how_long_if_not() {
    let reason = Unavailable::Provider { detail: "down".to_owned() };
    let state = failed(TokenError::unavailable(reason.clone(), None));
    let hasty = Want { deadline: at(1059), ..want() };

    assert!(matches!(get(&state, 1000), Step::Await));
    match state.on_get(at(1000), &hasty, None) {
        Step::Refuse(error) => {
            assert_eq!(error, TokenError::unavailable(reason, Some(Duration::from_secs(60))));
        }
        other => panic!("{other:?}"),
    }
    assert!(state.on_due(at(1059), &RefreshPolicy::default()).is_none());
    assert!(matches!(get(&state, 1060), Step::AwaitAfter(Work::Exchange(_))));
}

#[test]
fn nobody_waits_for_a_wrong_configuration_to_pass() {
    let reason = Misconfigured::Client { error: "invalid_client".to_owned(), description: None };
    let state = failed(TokenError::misconfigured(reason));

    assert!(matches!(get(&state, 1000), Step::Refuse(TokenError::Misconfigured { .. })));
}

#[test]
fn a_caller_who_wants_more_than_the_provider_gives_is_served_once() {
    let mut state = knowing(Box::new(Known { by_exchange: false, ..*known(1) }));
    let greedy = Want { min_validity: Duration::from_secs(5000), ..want() };

    assert!(matches!(state.on_get(at(10), &greedy, Some(1)), Step::AwaitAfter(_)));
    state.started(Work::Exchange(Reason::Wanted));
    state.exchanged(ExchangeOutcome::Known(known(2)));

    assert!(matches!(state.on_get(at(11), &greedy, Some(1)), Step::Answer(_)));
    assert!(matches!(state.on_get(at(400), &greedy, Some(2)), Step::Answer(_)), "nor the next one");
    assert!(matches!(state.on_get(at(600), &greedy, Some(2)), Step::AwaitAfter(_)));
}

#[test]
fn a_rejection_is_no_newer_token() {
    let ended = NeedsLogin::Rejected { error: "invalid_grant".to_owned(), description: None };
    let newer = Want { freshness: Freshness::NewerThan(1), ..want() };
    let longer = Want { min_validity: LIFETIME, ..want() };

    for want in [newer, longer] {
        let rejected = Condition::Ended(Box::new(ended.clone()));
        let state = knowing(Box::new(Known { health: rejected, ..*known(2) }));
        let Step::Refuse(error) = state.on_get(at(10), &want, Some(1)) else {
            panic!("{want:?} is met by the token that was rejected");
        };
        assert_eq!(error, TokenError::needs_login(ended.clone()));

        let suspect = Condition::Suspect { until: at(60) };
        let state = knowing(Box::new(Known { health: suspect, ..*known(2) }));
        let Step::Refuse(error) = state.on_get(at(10), &want, Some(1)) else {
            panic!("{want:?} is met by the token that was rejected");
        };
        let wait = Some(Duration::from_secs(50));
        assert_eq!(error, TokenError::unavailable(Unavailable::Suspect, wait));
    }
}

#[test]
fn a_provider_whose_tokens_are_over_on_arrival_is_not_stormed() {
    let state = knowing(Box::new(Known { learned: at(1000), ..*known(2) }));

    assert!(matches!(get(&state, 1000), Step::Refuse(TokenError::Unavailable { .. })));
    assert!(matches!(get(&state, 1001), Step::AwaitAfter(Work::Exchange(_))));
    let restored = Known { learned: at(1000), by_exchange: false, ..*known(2) };
    assert!(matches!(get(&knowing(Box::new(restored)), 1000), Step::AwaitAfter(_)));
}

#[test]
fn a_scheduler_that_comes_too_early_or_twice_is_sent_away() {
    let mut state = knowing(known(1));
    let policy = RefreshPolicy::default();

    assert_eq!(state.on_due(at(300), &policy), None);
    assert_eq!(state.on_due(at(600), &policy), Some(Work::Exchange(Reason::Due)));
    state.started(Work::Exchange(Reason::Due));
    assert_eq!(state.on_due(at(600), &policy), None);
}

#[test]
fn work_begun_before_a_login_or_logout_is_not_believed_after_it() {
    let mut state = knowing(known(1));
    state.started(Work::Exchange(Reason::Due));

    state.replaced(Some(known(7)));
    state.exchanged(ExchangeOutcome::Later {
        until: at(5000),
        why: TokenError::needs_login(NeedsLogin::NoSession),
        failed: true,
    });

    assert_eq!(state.version(), Some(7));
    assert!(matches!(get(&state, 1000), Step::AwaitAfter(Work::Exchange(_))));

    state.started(Work::Exchange(Reason::Wanted));
    state.replaced(None);
    state.exchanged(ExchangeOutcome::Known(known(8)));
    assert!(matches!(get(&state, 1000), Step::AwaitAfter(Work::Load)));
}

#[test]
fn an_older_read_never_replaces_what_is_known() {
    let mut state = knowing(known(3));

    state.loaded(LoadOutcome::Known(known(2)));

    assert_eq!(state.version(), Some(3));
}

#[test]
fn a_record_older_than_this_machines_uptime_is_as_old_as_it_is() {
    let mut entry = Entry::default();
    put(&mut entry, Timestamp::from_millis(0), &put_request(1, "login"));
    let token = (*known(1).snapshot).access_token().clone();
    let token = OAuthToken {
        access_token: token,
        scope: None,
        token_type: None,
        expires_in: None,
        expires_at: None,
        refresh_token: None,
    };
    let now = Timestamp::from_millis(0) + 10 * DAY;
    let session = Session { token, record: entry.record.unwrap(), now };
    let shortly_after_boot = BootTime::from_nanos(1_000_000_000);

    let known = Known::of(session, shortly_after_boot, &RefreshPolicy::default(), false);

    assert_eq!(known.age(shortly_after_boot), 10 * DAY);
    assert_eq!(known.age(shortly_after_boot + DAY), 11 * DAY);
}
