//! Protected resources and revocation.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use super::Bench;
use crate::model::{ManualClock, Timestamp};
use crate::simulator::{ClientOptions, RevocationReason, SimulatorOptions};

#[tokio::test]
async fn an_access_token_is_accepted_until_it_expires() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
    let bench = Bench::with(SimulatorOptions::default().with_clock(clock.clone())).await;
    let tokens = bench.login().await;

    clock.advance(Duration::from_secs(3599));
    assert!(bench.is_accepted(&tokens.access).await);
    clock.advance(Duration::from_secs(1));

    assert!(!bench.is_accepted(&tokens.access).await);
    let totals = bench.simulator.totals();
    assert_eq!((totals.access_accepted, totals.access_refused), (1, 1));
}

#[tokio::test]
async fn a_request_without_a_token_gets_a_challenge_without_an_error() {
    let bench = Bench::new().await;

    let refused = bench.send(bench.http.get(bench.simulator.user_endpoint())).await.unwrap();

    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers[WWW_AUTHENTICATE], "Bearer realm=\"simulator\"");
}

#[tokio::test]
async fn the_github_like_api_has_numeric_ids_and_private_addresses() {
    let bench = Bench::new().await;
    let code = bench.callback(&[("login_hint", "user-12@simulator.example")]).await.get("code");
    let tokens = bench.exchange(&code.unwrap(), super::VERIFIER).await.tokens();

    let user = bench.get("/api/user", &tokens.access).await.json();
    let emails = bench.get("/api/user/emails", &tokens.access).await.json();
    let teams = bench.get("/api/user/teams", &tokens.access).await.json();

    assert_eq!((user["id"].as_u64(), user["email"].is_null()), (Some(12), true));
    let primary = emails.as_array().unwrap().iter().find(|email| email["primary"] == true);
    assert_eq!(primary.unwrap()["email"], "user-12@simulator.example");
    assert_eq!(teams.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_family_and_an_access_token_only_itself() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    let client = [("client_id", "tokenhive"), ("client_secret", "simulator-secret")];
    let revoke = async |token: &str| {
        let members = [&client[..], &[("token", token)]].concat();
        bench.post("/revoke", &members).await.unwrap().status
    };

    assert_eq!(revoke("unknown").await, StatusCode::OK);
    assert_eq!(revoke(&tokens.access).await, StatusCode::OK);
    assert!(!bench.is_accepted(&tokens.access).await);
    let second = bench.refresh(&tokens.refresh).await.unwrap().tokens();
    assert_eq!(revoke(&second.refresh).await, StatusCode::OK);

    assert!(!bench.is_accepted(&second.access).await);
    assert_eq!(bench.refresh(&second.refresh).await.unwrap().error(), "invalid_grant");
    assert_eq!(bench.simulator.totals().families_revoked[&RevocationReason::Client], 1);
}

#[tokio::test]
async fn revocation_is_refused_to_other_clients() {
    let bench = Bench::new().await;
    let public = ClientOptions { secret: None, ..ClientOptions::default() };
    bench.simulator.update(|options| {
        options.clients.insert("other".into(), public);
    });
    let tokens = bench.login().await;

    let refused = [("client_id", "other"), ("token", &tokens.refresh)];
    assert_eq!(bench.post("/revoke", &refused).await.unwrap().error(), "unauthorized_client");
    let unproven = [("client_id", "tokenhive"), ("token", &tokens.refresh)];
    assert_eq!(bench.post("/revoke", &unproven).await.unwrap().error(), "invalid_client");

    assert!(bench.is_accepted(&tokens.access).await);
}
