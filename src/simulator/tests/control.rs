//! The control interface: a test in another process can do all that one in this process can.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::Bench;
use crate::simulator::{EventKind, GroundTruth, Outcome, RevocationReason, SimulatorOptions};

async fn fetch(bench: &Bench, path: &str) -> GroundTruth {
    let url = format!("{}/_sim/{path}", bench.simulator.base_url());
    serde_json::from_value(bench.send(bench.http.get(url)).await.unwrap().json()).unwrap()
}

#[tokio::test]
async fn the_log_over_http_is_the_ledger_in_total_order_without_tokens() {
    let bench = Bench::new().await;
    let first = bench.login().await;
    let second = bench.refresh(&first.refresh).await.unwrap().tokens();

    let truth = fetch(&bench, "log").await;

    assert_eq!(truth, bench.simulator.ledger());
    let kinds: Vec<_> = truth.events.iter().map(|event| event.kind).collect();
    let expected = [EventKind::CodeIssued, EventKind::CodePresented, EventKind::RefreshPresented];
    assert_eq!(kinds, expected);
    assert!(truth.events.is_sorted_by_key(|event| event.sequence));
    assert_eq!(truth.events[2].outcome, Some(Outcome::Redeemed));
    let text = serde_json::to_string(&truth).unwrap();
    for token in [&first.access, &first.refresh, &second.access, &second.refresh] {
        assert!(!text.contains(token.as_str()));
    }
}

#[tokio::test]
async fn a_summary_has_exact_totals_and_no_history() {
    let bench = Bench::with(SimulatorOptions { history: 1, ..SimulatorOptions::default() }).await;
    bench.login().await;
    bench.login().await;

    let summary = fetch(&bench, "log?summary=1").await;

    assert!(summary.events.is_empty() && summary.tokens.is_empty());
    assert_eq!(summary.totals.codes_exchanged, 2);
    assert_eq!(summary.totals.requests_by_status[&302], 2);
    assert_eq!(summary.totals.requests_by_status[&200], 2);
    let whole = fetch(&bench, "log").await;
    assert_eq!((whole.events.len(), whole.events_forgotten), (1, 3));
}

#[tokio::test]
async fn options_change_over_http_and_unknown_ones_are_refused() {
    let bench = Bench::new().await;

    let changed = bench
        .control("options", json!({"access_token_lifetime_ms": 5000, "reuse": "G-last:9"}))
        .await;
    let refused = bench.control("options", json!({"lifetime": 5})).await;

    assert_eq!(changed.json()["reuse"], "G-last:9");
    assert!(!changed.body.contains("simulator-secret"));
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.json()["error"].as_str().unwrap().contains("lifetime"));
    let code = bench.code().await;
    assert_eq!(bench.exchange(&code, super::VERIFIER).await.json()["expires_in"], 5);
}

#[tokio::test]
async fn faults_are_set_over_http() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    let plan = json!({"rules": [{
        "grant": "refresh",
        "when": {"next": 1},
        "action": {"kind": "unavailable503", "retry_after": {"seconds": 2}},
    }]});

    assert_eq!(bench.control("faults", plan).await.json(), json!({"rules": 1}));
    let bad = bench.control("faults", json!({"rules": [{"action": {"kind": "no_such"}}]})).await;

    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.refresh(&tokens.refresh).await.unwrap().status, 503);
    assert_eq!(bench.refresh(&tokens.refresh).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_log_tells_who_presented_a_token_where_the_address_says_so() {
    let bench = Bench::new().await;
    let session = &bench.simulator.mint(1, Duration::from_secs(9))[0];
    let members = [
        ("grant_type", "refresh_token"),
        ("refresh_token", session.refresh_token.expose()),
        ("client_id", "tokenhive"),
        ("client_secret", "simulator-secret"),
    ];
    bench.control("faults", json!({"rules": [{"when": {"next": 1}, "action": {"kind": "status_before_commit", "status": 500}}]})).await;

    for path in ["/token?from=node-a", "/token?from=node-b", "/token"] {
        bench.post(path, &members).await.unwrap();
    }

    let events = bench.simulator.ledger().events;
    let told: Vec<_> = events.iter().map(|event| event.from.as_deref()).collect();
    assert_eq!(told, [None, Some("node-a"), Some("node-b"), None, None]);
}

#[tokio::test]
async fn minted_sessions_work_like_any_other() {
    let bench = Bench::new().await;

    let answered = bench.control("mint", json!({"count": 3, "lifetime_ms": 9000})).await.json();
    let here = bench.simulator.mint(1, Duration::from_secs(9));

    let sessions = answered["sessions"].as_array().unwrap();
    let users: Vec<_> = sessions.iter().map(|session| &session["user"]).collect();
    assert_eq!(users, [&json!("user-1"), &json!("user-2"), &json!("user-3")]);
    assert_eq!((sessions[0]["expires_in"].as_u64(), &*here[0].user), (Some(9), "user-4"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(bench.is_accepted(&text(&sessions[2]["access_token"])).await);
    let refreshed = bench.refresh(&text(&sessions[2]["refresh_token"])).await.unwrap();
    assert_eq!(refreshed.json()["expires_in"], 3600);
    assert_eq!(bench.simulator.totals().families, 4);
}

#[tokio::test]
async fn revoking_a_user_ends_that_users_sessions_only() {
    let bench = Bench::new().await;
    let (one, two) = (bench.login().await, bench.login().await);

    let revoked = bench.control("revoke?user=user-1", json!(null)).await;

    assert_eq!(revoked.json(), json!({"families": 1}));
    assert!(!bench.is_accepted(&one.access).await);
    assert!(bench.is_accepted(&two.access).await);
    let truth = bench.simulator.ledger();
    assert_eq!(truth.families_of("user-1").next().unwrap().revoked, Some(RevocationReason::User));
    assert_eq!(bench.simulator.revoke_user("user-1"), 0);
}

#[tokio::test]
async fn a_reset_forgets_sessions_and_history_but_not_options() {
    let bench = Bench::with(SimulatorOptions { users: 7, ..SimulatorOptions::default() }).await;
    let tokens = bench.login().await;

    bench.control("reset", json!(null)).await;

    assert_eq!(bench.simulator.ledger().events, []);
    assert_eq!(bench.simulator.totals().token_requests, 0);
    assert_eq!(bench.refresh(&tokens.refresh).await.unwrap().error(), "invalid_grant");
    let url = format!("{}/_sim/options", bench.simulator.base_url());
    assert_eq!(bench.send(bench.http.get(url)).await.unwrap().json()["users"], 7);
}

#[tokio::test]
async fn a_redirecting_token_endpoint_counts_who_follows() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    bench.control("options", json!({"token_endpoint_redirect": true})).await;

    let redirected = bench.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(redirected.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(bench.simulator.totals().redirects_followed, 0);
    let following = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = following.post(bench.simulator.token_endpoint()).body("x=y");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);

    let totals = bench.simulator.totals();
    assert_eq!((totals.redirects_sent, totals.redirects_followed), (2, 1));
}

#[tokio::test]
async fn the_most_concurrent_token_requests_are_counted() {
    let bench = Bench::new().await;
    let sessions = bench.simulator.mint(5, Duration::from_secs(60));
    bench.control("options", json!({"latency_ms": 300, "latency_jitter_ms": 20})).await;

    let refresh = |n: usize| bench.refresh(sessions[n].refresh_token.expose());
    let all = tokio::join!(refresh(0), refresh(1), refresh(2), refresh(3), refresh(4));

    assert_eq!(all.4.unwrap().status, StatusCode::OK);
    assert_eq!(bench.simulator.totals().max_concurrent_token_requests, 5);
}
