//! Logins and refreshes, by the rules and against them.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::json;

use super::{Bench, CALLBACK, Callback, VERIFIER};
use crate::model::{ManualClock, Timestamp};
use crate::simulator::{
    AnswerFormat, Approval, Outcome, ReuseBehaviour, RevocationReason, ScopePolicy,
    SimulatorOptions,
};

#[tokio::test]
async fn a_login_with_pkce_ends_in_tokens_that_work() {
    let bench = Bench::new().await;

    let callback = bench.callback(&[("user", "user-7")]).await;
    assert_eq!(callback.get("state").as_deref(), Some("the state"));
    assert_eq!(callback.get("iss"), None);
    let answered = bench.exchange(&callback.get("code").unwrap(), VERIFIER).await;

    let json = answered.json();
    assert_eq!(json["token_type"], "Bearer");
    assert_eq!(json["expires_in"], 3600);
    assert_eq!(json["scope"], "read write");
    assert_eq!(answered.headers["cache-control"], "no-store");
    let user = bench.get("/userinfo", &answered.tokens().access).await;
    assert_eq!(user.json()["sub"], "user-7");
    assert_eq!(user.json()["groups"], json!(["group-1", "group-2"]));
    bench.simulator.shutdown().await;
}

#[tokio::test]
async fn a_wrong_or_missing_verifier_spends_the_code() {
    let bench = Bench::new().await;
    for verifier in ["another-verifier-of-forty-three-characters-0123456789", ""] {
        let code = bench.code().await;

        assert_eq!(bench.exchange(&code, verifier).await.error(), "invalid_grant");
        assert_eq!(bench.exchange(&code, VERIFIER).await.error(), "invalid_grant");
    }
    assert_eq!(bench.simulator.totals().codes_exchanged, 0);
}

#[tokio::test]
async fn a_replayed_code_revokes_its_tokens() {
    let bench = Bench::new().await;
    let code = bench.code().await;
    let tokens = bench.exchange(&code, VERIFIER).await.tokens();
    assert!(bench.is_accepted(&tokens.access).await);

    assert_eq!(bench.exchange(&code, VERIFIER).await.error(), "invalid_grant");

    assert!(!bench.is_accepted(&tokens.access).await);
    assert_eq!(bench.refresh(&tokens.refresh).await.unwrap().error(), "invalid_grant");
    let totals = bench.simulator.totals();
    assert_eq!(totals.codes_replayed, 1);
    assert_eq!(totals.families_revoked[&RevocationReason::CodeReplay], 1);
}

#[tokio::test]
async fn a_code_lasts_a_minute_and_binds_its_redirect_uri() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
    let bench = Bench::with(SimulatorOptions::default().with_clock(clock.clone())).await;
    let (late, wrong) = (bench.code().await, bench.code().await);

    let elsewhere = [
        ("grant_type", "authorization_code"),
        ("code", &wrong),
        ("redirect_uri", "http://127.0.0.1:8550/elsewhere"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(bench.token(&elsewhere).await.unwrap().error(), "invalid_grant");
    clock.advance(Duration::from_secs(60));
    assert_eq!(bench.exchange(&late, VERIFIER).await.error(), "invalid_grant");
}

#[tokio::test]
async fn authorization_errors_reach_the_client_by_redirect() {
    let bench = Bench::new().await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("prompt", "deny"), "access_denied"),
    ] {
        let callback = bench.callback(&[change]).await;

        assert_eq!(callback.get("error").as_deref(), Some(error), "{change:?}");
        assert_eq!(callback.get("state").as_deref(), Some("the state"));
        assert_eq!(callback.get("code"), None);
    }
}

#[tokio::test]
async fn a_bad_client_or_redirect_is_told_to_the_browser_only() {
    let bench = Bench::new().await;
    for change in [
        ("client_id", "nobody"),
        ("client_id", ""),
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", ""),
    ] {
        assert_eq!(bench.authorize(&[change]).await.status, StatusCode::BAD_REQUEST, "{change:?}");
    }
    let twice = bench.authorize(&[("nonce", "1"), ("nonce", "2")]).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn scopes_are_narrowed_or_refused_by_policy() {
    let bench = Bench::new().await;
    let only_read = || ["read".to_owned()].into();

    bench.simulator.update(|options| options.scopes = ScopePolicy::Narrow(only_read()));
    let code = bench.code().await;
    assert_eq!(bench.exchange(&code, VERIFIER).await.json()["scope"], "read");
    bench.simulator.update(|options| options.scopes = ScopePolicy::Refuse(only_read()));

    assert_eq!(bench.callback(&[]).await.get("error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn the_issuer_comes_with_every_callback() {
    let bench = Bench::new().await;
    bench.simulator.update(|options| options.issuer = Some("https://issuer.example".into()));

    for change in [("prompt", ""), ("prompt", "deny")] {
        let iss = bench.callback(&[change]).await.get("iss");
        assert_eq!(iss.as_deref(), Some("https://issuer.example"));
    }
}

#[tokio::test]
async fn a_person_approves_or_denies_on_the_page_once() {
    let bench =
        Bench::with(SimulatorOptions { approve: Approval::Page, ..SimulatorOptions::default() })
            .await;
    for (user, member) in [("user-3", "code"), ("", "error")] {
        let page = bench.authorize(&[]).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("Continue as user-3"), "{}", page.body);
        let ticket = page.body.split("name=\"ticket\" value=\"").nth(1).unwrap();
        let ticket = ticket.split('"').next().unwrap();

        let members = [("ticket", ticket), ("user", user)];
        let answered = bench.post("/authorize/approve", &members).await.unwrap();

        assert!(Callback::read(&answered).get(member).is_some(), "{member}");
        let again = bench.post("/authorize/approve", &members).await.unwrap();
        assert_eq!(again.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_refresh_rotates_and_ends_the_old_access_token() {
    let bench = Bench::new().await;
    let first = bench.login().await;

    let second = bench.refresh(&first.refresh).await.unwrap().tokens();

    assert!(first.refresh != second.refresh && first.access != second.access);
    assert!(bench.is_accepted(&second.access).await);
    assert!(!bench.is_accepted(&first.access).await);
    let truth = bench.simulator.ledger();
    let history = truth.token(&first.refresh).unwrap();
    assert_eq!((history.presented, history.redeemed, history.generation), (1, 1, 0));
    assert_eq!(truth.token(&second.refresh).unwrap().generation, 1);
    assert!((truth.totals.calls_per_refresh - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_replay_under_r_revokes_everything() {
    let bench = Bench::new().await;
    let first = bench.login().await;
    let second = bench.refresh(&first.refresh).await.unwrap().tokens();

    assert_eq!(bench.refresh(&first.refresh).await.unwrap().error(), "invalid_grant");

    let refused = bench.get("/userinfo", &second.access).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let challenge = refused.headers[WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.contains("invalid_token"), "{challenge}");
    assert_eq!(bench.refresh(&second.refresh).await.unwrap().error(), "invalid_grant");
    let truth = bench.simulator.ledger();
    assert_eq!(truth.totals.reuse_detected, 1);
    assert_eq!(truth.families[0].revoked, Some(RevocationReason::RefreshTokenReplay));
    let outcomes: Vec<_> =
        truth.token(&first.refresh).unwrap().presentations.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::Redeemed, Outcome::ReplayRevoked]);
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_but_not_widen_it() {
    let bench = Bench::new().await;
    let first = bench.login().await;
    let with_scope = |scope| {
        [("grant_type", "refresh_token"), ("refresh_token", &*first.refresh), ("scope", scope)]
    };

    let wide = bench.token(&with_scope("read admin")).await.unwrap();
    assert_eq!(wide.error(), "invalid_scope");
    let narrow = bench.token(&with_scope("read")).await.unwrap();

    assert_eq!(narrow.json()["scope"], "read");
}

#[tokio::test]
async fn clients_authenticate_by_body_or_header_but_not_both() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    let url = bench.simulator.token_endpoint();
    let grant = format!("grant_type=refresh_token&refresh_token={}", tokens.refresh);
    let basic = "Basic dG9rZW5oaXZlOnNpbXVsYXRvci1zZWNyZXQ=";
    let wrong = "Basic dG9rZW5oaXZlOndyb25n";
    let post = async |header: &str, more: &str| {
        let request = bench.http.post(&url).header(AUTHORIZATION, header);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        bench.send(request.body(format!("{grant}{more}"))).await.unwrap()
    };

    let refused = post(wrong, "").await;
    assert_eq!(refused.error(), "invalid_client");
    assert!(refused.headers.contains_key(WWW_AUTHENTICATE));
    let both = post(basic, "&client_secret=simulator-secret").await;
    assert_eq!(both.error(), "invalid_request");
    assert_eq!(post(basic, "&client_id=other").await.error(), "invalid_request");
    let accepted = post(basic, "&client_id=tokenhive").await;

    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.body);
}

#[tokio::test]
async fn malformed_token_requests_consume_nothing() {
    let bench = Bench::new().await;
    let tokens = bench.login().await;
    let refresh = ("refresh_token", &*tokens.refresh);
    for (members, error) in [
        (vec![("grant_type", "password"), refresh], "unsupported_grant_type"),
        (vec![refresh], "invalid_request"),
        (vec![("grant_type", "refresh_token")], "invalid_request"),
        (vec![("grant_type", "refresh_token"), refresh, refresh], "invalid_request"),
        (vec![("grant_type", "authorization_code"), ("redirect_uri", CALLBACK)], "invalid_request"),
    ] {
        assert_eq!(bench.token(&members).await.unwrap().error(), error, "{members:?}");
    }
    let members = [("grant_type", "refresh_token"), refresh];
    let anonymous = bench.post("/token", &members).await.unwrap();
    assert_eq!(anonymous.error(), "invalid_request");
    let unproven = [&members[..], &[("client_id", "tokenhive")]].concat();
    assert_eq!(bench.post("/token", &unproven).await.unwrap().error(), "invalid_client");
    let json_body = bench.http.post(bench.simulator.token_endpoint()).body("{}");
    assert_eq!(bench.send(json_body).await.unwrap().error(), "invalid_request");

    assert_eq!(bench.refresh(&tokens.refresh).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn answers_follow_the_quirks_that_are_set() {
    let bench = Bench::new().await;
    bench.simulator.update(|options| {
        options.reuse = ReuseBehaviour::NonRotating;
        options.expires_in_as_string = true;
        options.errors_with_status_200 = true;
        options.token_bytes = 900;
        options.refresh_answer.refresh_token = false;
        options.refresh_answer.scope = false;
        options.answer_format = AnswerFormat::Form;
    });
    let code = bench.code().await;
    let login = bench.exchange(&code, VERIFIER).await;
    let member = |body: &str, name: &str| {
        let found = url::form_urlencoded::parse(body.as_bytes()).find(|(other, _)| other == name);
        found.map(|(_, value)| value.into_owned())
    };
    let refresh = member(&login.body, "refresh_token").unwrap();
    assert_eq!(refresh.len(), 900);

    let refreshed = bench.refresh(&refresh).await.unwrap();
    let refused = bench.refresh("unknown").await.unwrap();

    assert_eq!(member(&refreshed.body, "expires_in").as_deref(), Some("3600"));
    assert_eq!(member(&refreshed.body, "refresh_token"), None);
    assert_eq!(member(&refreshed.body, "scope"), None);
    assert_eq!(refused.status, StatusCode::OK);
    assert_eq!(member(&refused.body, "error").as_deref(), Some("invalid_grant"));
    bench.simulator.update(|options| options.answer_format = AnswerFormat::Json);
    assert_eq!(bench.refresh(&refresh).await.unwrap().json()["expires_in"], "3600");
    let totals = bench.simulator.totals();
    assert_eq!((totals.redeemed_generations, totals.presentations), (2, 2));
}
