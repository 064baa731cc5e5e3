//! Each fault once: what the client sees, and what became of its refresh token.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::json;

use super::{Answered, Bench, Tokens};
use crate::simulator::{
    Answer, FaultAction, FaultPlan, FaultRule, GrantFilter, MalformedBody, Outcome, RetryAfter,
    ReuseBehaviour, SimulatorOptions, When,
};

/// A logged-in client whose next refresh meets `action`; replays are refused without revocation,
/// so that a token can be asked whether it was consumed.
async fn struck(action: FaultAction) -> (Bench, Tokens, Result<Answered, reqwest::Error>) {
    let reuse = ReuseBehaviour::SingleUse;
    let bench = Bench::with(SimulatorOptions { reuse, ..SimulatorOptions::default() }).await;
    let tokens = bench.login().await;
    bench.simulator.set_faults(FaultPlan::next(1, GrantFilter::Refresh, action));
    let answered = bench.refresh(&tokens.refresh).await;
    (bench, tokens, answered)
}

async fn is_usable(bench: &Bench, tokens: &Tokens) -> bool {
    bench.refresh(&tokens.refresh).await.unwrap().status == StatusCode::OK
}

fn noted(bench: &Bench, tokens: &Tokens) -> (Outcome, Answer) {
    let truth = bench.simulator.ledger();
    let first = truth.token(&tokens.refresh).unwrap().presentations[0];
    (first.outcome, first.answer)
}

#[tokio::test]
async fn a_drop_before_the_commit_leaves_the_token_usable() {
    let (bench, tokens, answered) = struck(FaultAction::DropBeforeCommit).await;

    assert!(answered.is_err());
    assert_eq!(noted(&bench, &tokens), (Outcome::NotConsumed, Answer::Withheld));
    assert!(is_usable(&bench, &tokens).await);
    let totals = bench.simulator.totals();
    assert_eq!((totals.connections_dropped, totals.not_consumed), (1, 1));
    assert_eq!((totals.refresh_requests, totals.presentations, totals.redemptions), (2, 2, 1));
}

#[tokio::test]
async fn a_drop_after_the_commit_has_consumed_the_token() {
    let (bench, tokens, answered) = struck(FaultAction::DropAfterCommit).await;

    assert!(answered.is_err());
    assert_eq!(noted(&bench, &tokens), (Outcome::Redeemed, Answer::Withheld));
    assert!(!is_usable(&bench, &tokens).await);
    let totals = bench.simulator.totals();
    assert_eq!((totals.connections_dropped, totals.answers_lost), (1, 1));
    assert_eq!((totals.redeemed_generations, totals.reuse_detected), (1, 1));
}

#[tokio::test]
async fn refusals_before_the_commit_leave_the_token_usable() {
    let soon = RetryAfter::Seconds(7);
    for (action, status) in [
        (FaultAction::StatusBeforeCommit { status: 502 }, 502),
        (FaultAction::RateLimited { retry_after: soon }, 429),
        (FaultAction::RateLimited { retry_after: RetryAfter::HttpDateIn(7) }, 429),
        (FaultAction::Unavailable503 { retry_after: Some(soon) }, 503),
        (FaultAction::Unavailable503 { retry_after: None }, 503),
        (FaultAction::Error200 { code: "bad_refresh_token".into() }, 200),
        (FaultAction::ErrorCode { code: "invalid_client".into(), status: 401 }, 401),
    ] {
        let (bench, tokens, answered) = struck(action.clone()).await;
        let answered = answered.unwrap();

        assert_eq!(answered.status, status, "{action:?}");
        match (&action, answered.headers.get(RETRY_AFTER)) {
            (FaultAction::RateLimited { retry_after: RetryAfter::HttpDateIn(_) }, date) => {
                assert!(date.unwrap().to_str().unwrap().ends_with(" GMT"), "{date:?}");
            }
            (FaultAction::RateLimited { .. }, seconds)
            | (FaultAction::Unavailable503 { retry_after: Some(_) }, seconds) => {
                assert_eq!(seconds.unwrap(), "7");
            }
            (FaultAction::Error200 { code } | FaultAction::ErrorCode { code, .. }, none) => {
                assert_eq!((answered.json()["error"].as_str(), none), (Some(&**code), None));
            }
            (_, none) => assert_eq!(none, None, "{action:?}"),
        }
        assert_eq!(noted(&bench, &tokens), (Outcome::NotConsumed, Answer::Sent), "{action:?}");
        assert!(is_usable(&bench, &tokens).await, "{action:?}");
    }
}

#[tokio::test]
async fn an_error_status_after_the_commit_has_consumed_the_token() {
    let (bench, tokens, answered) = struck(FaultAction::StatusAfterCommit { status: 500 }).await;

    assert_eq!(answered.unwrap().status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(noted(&bench, &tokens), (Outcome::Redeemed, Answer::Spoiled));
    assert!(!is_usable(&bench, &tokens).await);
}

#[tokio::test]
async fn malformed_answers_have_consumed_the_token() {
    for body in [
        MalformedBody::HtmlOk,
        MalformedBody::EmptyOk,
        MalformedBody::TruncatedJson,
        MalformedBody::JsonArray,
        MalformedBody::NotUtf8,
        MalformedBody::HugeBody,
    ] {
        let (bench, tokens, answered) = struck(FaultAction::Malformed { body }).await;
        let answered = answered.unwrap();

        assert_eq!(answered.status, StatusCode::OK);
        let parsed = serde_json::from_str::<serde_json::Value>(&answered.body);
        match body {
            MalformedBody::HugeBody => assert!(answered.body.len() > 8 << 20),
            MalformedBody::JsonArray => assert!(parsed.unwrap().is_array()),
            MalformedBody::EmptyOk => assert_eq!(answered.body, ""),
            MalformedBody::NotUtf8 => assert!(answered.body.contains('\u{fffd}')),
            MalformedBody::HtmlOk | MalformedBody::TruncatedJson => assert!(parsed.is_err()),
        }
        assert_eq!(noted(&bench, &tokens), (Outcome::Redeemed, Answer::Spoiled), "{body:?}");
        assert!(!is_usable(&bench, &tokens).await, "{body:?}");
    }
}

#[tokio::test]
async fn a_truncated_body_breaks_off_after_its_head() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    let plan = FaultPlan::next(1, GrantFilter::Refresh, FaultAction::TruncatedBody);
    bench.simulator.set_faults(plan);
    let body = format!(
        "grant_type=refresh_token&refresh_token={}&client_id=tokenhive&client_secret=simulator-secret",
        tokens.refresh
    );
    let request = bench.http.post(bench.simulator.token_endpoint());
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);

    let mut response = request.send().await.unwrap();
    let announced = response.content_length().unwrap();
    let mut received = 0;
    let broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len() as u64,
            Ok(None) => break false,
            Err(_) => break true,
        }
    };

    assert_eq!(response.status(), StatusCode::OK);
    assert!(broken && received > 0 && received < announced, "{received} of {announced}");
    assert_eq!(noted(&bench, &tokens), (Outcome::Redeemed, Answer::Spoiled));
}

#[tokio::test]
async fn members_go_missing_or_look_odd() {
    for (action, member) in [
        (FaultAction::MissingExpiresIn, "expires_in"),
        (FaultAction::MissingRefreshToken, "refresh_token"),
        (FaultAction::MissingTokenType, "token_type"),
    ] {
        let (_bench, _, answered) = struck(action).await;
        let json = answered.unwrap().json();

        assert_eq!(json.as_object().unwrap().len(), 4, "{json}");
        assert_eq!(json.get(member), None);
    }
    let (_bench, _, answered) = struck(FaultAction::OddExpiresString).await;
    assert_eq!(answered.unwrap().json()["expires_in"], "3600.0");
    let (_bench, _, answered) = struck(FaultAction::FormEncoded).await;
    let answered = answered.unwrap();
    assert_eq!(answered.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(answered.body.contains("&expires_in=3600&"), "{}", answered.body);
}

/// Refreshes with a client that loses patience after `patience`.
async fn refresh_briefly(bench: &Bench, tokens: &Tokens, patience: Duration) -> bool {
    tokio::time::timeout(patience, bench.refresh(&tokens.refresh)).await.is_ok()
}

#[tokio::test]
async fn a_hang_keeps_the_connection_open_before_or_after_the_commit() {
    for (action, outcome) in [
        (FaultAction::Hang, Outcome::NotConsumed),
        (FaultAction::HangAfterCommit, Outcome::Redeemed),
    ] {
        let bench = Bench::new().await;
        let tokens = bench.login().await;
        bench.simulator.set_faults(FaultRule::always(action).into());

        assert!(!refresh_briefly(&bench, &tokens, Duration::from_millis(300)).await);

        assert_eq!(noted(&bench, &tokens), (outcome, Answer::Withheld));
        bench.simulator.shutdown().await;
    }
}

#[tokio::test]
async fn a_delayed_request_is_worked_on_although_its_client_has_gone() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    bench.simulator.set_faults(FaultRule::always(FaultAction::Delay { ms: 400 }).into());

    assert!(!refresh_briefly(&bench, &tokens, Duration::from_millis(100)).await);

    assert_eq!(bench.simulator.totals().redemptions, 0);
    let committed = async {
        while bench.simulator.totals().redemptions == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), committed).await.expect("it is worked on");
}

#[tokio::test]
async fn a_late_answer_follows_an_early_commit() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    let rule = FaultRule::always(FaultAction::DelayAfterCommit { ms: 400 });
    bench.simulator.set_faults(rule.into());

    assert!(!refresh_briefly(&bench, &tokens, Duration::from_millis(200)).await);

    assert_eq!(bench.simulator.totals().redemptions, 1);
}

#[tokio::test]
async fn rules_single_out_a_user_and_a_grant_type() {
    let bench = Bench::new().await;
    let rule = FaultRule {
        grant: GrantFilter::Refresh,
        user: Some("user-2".into()),
        ..FaultRule::always(FaultAction::StatusBeforeCommit { status: 500 })
    };
    bench.simulator.set_faults(rule.into());
    let (one, two) = (bench.login().await, bench.login().await);

    let (one, two) = (bench.refresh(&one.refresh).await, bench.refresh(&two.refresh).await);

    assert_eq!((one.unwrap().status.as_u16(), two.unwrap().status.as_u16()), (200, 500));
    assert_eq!(bench.simulator.totals().faults["status_before_commit"], 1);
}

#[test]
fn a_fault_is_called_the_same_in_json_and_in_the_ground_truth() {
    let retry_after = RetryAfter::Seconds(1);
    for action in [
        FaultAction::DropBeforeCommit,
        FaultAction::DropAfterCommit,
        FaultAction::StatusBeforeCommit { status: 500 },
        FaultAction::StatusAfterCommit { status: 500 },
        FaultAction::RateLimited { retry_after },
        FaultAction::Unavailable503 { retry_after: None },
        FaultAction::Delay { ms: 1 },
        FaultAction::DelayAfterCommit { ms: 1 },
        FaultAction::Hang,
        FaultAction::HangAfterCommit,
        FaultAction::Error200 { code: String::new() },
        FaultAction::ErrorCode { code: String::new(), status: 400 },
        FaultAction::Malformed { body: MalformedBody::EmptyOk },
        FaultAction::OddExpiresString,
        FaultAction::MissingExpiresIn,
        FaultAction::MissingRefreshToken,
        FaultAction::MissingTokenType,
        FaultAction::FormEncoded,
        FaultAction::TruncatedBody,
    ] {
        assert_eq!(json!(action)["kind"], action.name());
        let rule = json!({"when": {"every": 2}, "action": action});
        let read: FaultRule = serde_json::from_value(rule).unwrap();
        assert_eq!(read, FaultRule { when: When::Every(2), ..FaultRule::always(action) });
    }
}
