//! Users and groups, from GitHub's API and from a plain user endpoint.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::Secret;
use crate::oauth::catalogue::{generic, github};
use crate::oauth::scripted_server::{ScriptedServer, Step, deserted_address, test_client};
use crate::oauth::{Profile, Provider, ProviderBuilder, UserError, UserId, fetch_user};

fn ok(body: &Value) -> Step {
    Step::json("200 OK", &[], &body.to_string())
}

fn plain(url: String) -> ProviderBuilder {
    generic("own", "cid", "https://idp.example/a", "https://idp.example/t")
        .redirect_url("https://app.example/cb")
        .user_endpoint(url, UserId::pointer("/sub"))
}

async fn ask(provider: &Provider, with_groups: bool) -> Result<Option<Profile>, UserError> {
    fetch_user(&test_client(), provider, &Secret::new("AT"), with_groups).await
}

/// Asks a plain endpoint that answers once.
async fn told(answer: Step) -> Result<Profile, UserError> {
    let server = ScriptedServer::start(vec![answer]).await;
    let provider = plain(server.url("/me")).groups_claim("/data/groups").build().unwrap();
    ask(&provider, true).await.map(Option::unwrap)
}

async fn github_told(script: Vec<Step>) -> (Result<Profile, UserError>, ScriptedServer) {
    let server = ScriptedServer::start(script).await;
    let provider =
        github("id", "secret").api_base(server.url("/api/v3/")).redirect_url("https://a.example/");
    let profile = ask(&provider.build().unwrap(), true).await.map(Option::unwrap);
    (profile, server)
}

fn octocat() -> Step {
    ok(&json!({"id": 583231, "login": "octocat", "email": null}))
}

fn emails() -> Step {
    ok(&json!([
        {"email": "old@example.org", "primary": false},
        {"email": "octocat@example.org", "primary": true}
    ]))
}

fn names(profile: &Profile) -> Vec<&str> {
    profile.user.groups.iter().map(|group| group.name.as_str()).collect()
}

#[tokio::test]
async fn a_provider_without_a_user_source_is_not_asked() {
    let provider = generic("own", "cid", "https://idp.example/a", "https://idp.example/t")
        .redirect_url("https://app.example/cb")
        .build();

    assert!(ask(&provider.unwrap(), true).await.unwrap().is_none());
}

#[tokio::test]
async fn the_token_goes_into_the_header_and_the_id_comes_from_the_pointer() {
    let server = ScriptedServer::start(vec![ok(&json!({"sub": "u1", "id": 7, "n": "ä"}))]).await;

    let profile = ask(&plain(server.url("/me?v=1")).build().unwrap(), true).await;

    let profile = profile.unwrap().unwrap();
    assert_eq!(profile.user.id, "u1");
    assert_eq!(profile.user.attributes["n"], "ä");
    assert!(profile.user.groups.is_empty() && profile.groups_error.is_none());
    let request = &server.received()[0];
    assert_eq!(request.line, "GET /me?v=1 HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer AT"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-length"), None);
}

#[tokio::test]
async fn groups_are_read_from_the_claim_when_wanted() {
    let user = json!({"sub": "u", "data": {"groups": ["admins", {"name": "staff", "n": 1}]}});

    let profile = told(ok(&user)).await.unwrap();

    assert_eq!(names(&profile), ["admins", "staff"]);
    assert_eq!(profile.user.groups[1].attributes["n"], 1);
    let server = ScriptedServer::start(vec![ok(&user)]).await;
    let provider = plain(server.url("/")).groups_claim("/data/groups").build().unwrap();
    assert!(ask(&provider, false).await.unwrap().unwrap().user.groups.is_empty());
}

#[tokio::test]
async fn an_unreadable_groups_claim_does_not_lose_the_user() {
    for groups in [json!("admins"), json!([7]), json!([{"id": 1}]), json!({})] {
        let profile = told(ok(&json!({"sub": "u", "data": {"groups": groups}}))).await.unwrap();

        assert_eq!(profile.user.id, "u");
        assert!(matches!(profile.groups_error, Some(UserError::Malformed { .. })), "{groups}");
    }
    for absent in [json!({"sub": "u"}), json!({"sub": "u", "data": {"groups": null}})] {
        assert_eq!(told(ok(&absent)).await.unwrap().groups_error, None);
    }
}

#[tokio::test]
async fn failures_are_sorted_by_what_to_do_next() {
    let wait = Some(Duration::from_secs(9));
    let reset = ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1009"];
    for (status, headers, expected) in [
        ("401 Unauthorized", &["Retry-After: 9"][..], "unauthorized"),
        ("429 Too Many Requests", &["Retry-After: 9"], "wait 9"),
        ("403 Forbidden", &["Retry-After: 9"], "wait 9"),
        ("403 Forbidden", &reset, "wait 9"),
        ("503 Unavailable", &[], "wait"),
        ("500 Oops", &[], "wait"),
        ("403 Forbidden", &[], "misconfigured"),
        ("404 Not Found", &[], "misconfigured"),
        ("302 Found", &["Location: http://127.0.0.1:1/"], "misconfigured"),
        ("400 Bad Request", &[], "misconfigured"),
    ] {
        let error = told(Step::json(status, headers, "{\"sub\":\"u\"}")).await.unwrap_err();
        let sorted = match error {
            UserError::Unauthorized => "unauthorized",
            UserError::Unavailable { retry_after, .. } if retry_after == wait => "wait 9",
            UserError::Unavailable { retry_after: None, .. } => "wait",
            UserError::Unavailable { .. } => "wait for something else",
            UserError::Misconfigured { .. } => "misconfigured",
            UserError::Malformed { .. } => "malformed",
        };
        assert_eq!(sorted, expected, "{status} {headers:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_user_is_told_apart_from_a_wrong_id_rule() {
    for body in ["", "<html>", "[]", "null", "\"u\""] {
        let error = told(Step::json("200 OK", &[], body)).await.unwrap_err();
        assert!(matches!(error, UserError::Malformed { .. }), "{body}: {error:?}");
    }
    for user in [json!({}), json!({"sub": null}), json!({"sub": true}), json!({"sub": {}})] {
        let error = told(ok(&user)).await.unwrap_err();
        assert!(matches!(error, UserError::Misconfigured { .. }), "{user}: {error:?}");
    }
}

#[tokio::test]
async fn an_unreachable_provider_is_unavailable() {
    let provider = plain(format!("http://{}/", deserted_address().await)).build().unwrap();

    let error = ask(&provider, false).await.unwrap_err();

    assert!(matches!(error, UserError::Unavailable { retry_after: None, .. }), "{error:?}");
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_never_sent() {
    let provider = plain(format!("http://{}/", deserted_address().await)).build().unwrap();
    let token = Secret::new("a\r\nX-Evil: 1");

    let error = fetch_user(&test_client(), &provider, &token, false).await.unwrap_err();

    assert!(matches!(error, UserError::Malformed { .. }), "{error:?}");
    assert!(!error.to_string().contains("Evil"));
}

#[tokio::test]
async fn github_tells_user_primary_address_and_teams() {
    let teams = ok(&json!([{"name": "core", "slug": "core"}, {"name": "docs"}]));

    let (profile, server) = github_told(vec![octocat(), emails(), teams]).await;

    let profile = profile.unwrap();
    assert_eq!(profile.user.id, "583231");
    assert_eq!(profile.user.attributes["email"], "octocat@example.org");
    assert_eq!(names(&profile), ["core", "docs"]);
    assert_eq!(profile.user.groups[0].attributes["slug"], "core");
    assert_eq!(profile.groups_error, None);
    let requests = server.received();
    let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v3/user HTTP/1.1",
            "GET /api/v3/user/emails?per_page=100&page=1 HTTP/1.1",
            "GET /api/v3/user/teams?per_page=100&page=1 HTTP/1.1",
        ]
    );
    for request in requests {
        assert_eq!(request.header("accept"), Some("application/vnd.github+json"));
        assert_eq!(request.header("authorization"), Some("Bearer AT"));
        assert!(request.header("user-agent").is_some());
    }
}

#[tokio::test]
async fn github_teams_are_read_page_by_page_up_to_ten() {
    let page = |teams: usize| ok(&json!(vec![json!({"name": "t"}); teams]));
    let three_pages = vec![octocat(), emails(), page(100), page(100), page(1)];
    let (profile, server) = github_told(three_pages).await;

    assert_eq!(profile.unwrap().user.groups.len(), 201);
    assert_eq!(server.received()[4].line, "GET /api/v3/user/teams?per_page=100&page=3 HTTP/1.1");

    let endless = [octocat(), emails()].into_iter().chain((0..20).map(|_| page(100))).collect();
    let (profile, server) = github_told(endless).await;

    assert_eq!(profile.unwrap().user.groups.len(), 1000);
    assert_eq!(server.received().len(), 12);
}

#[tokio::test]
async fn github_teams_that_cannot_be_read_do_not_lose_the_user() {
    let forbidden = Step::json("403 Forbidden", &["X-RateLimit-Remaining: 4999"], "{}");

    let (profile, _) = github_told(vec![octocat(), emails(), forbidden]).await;

    let profile = profile.unwrap();
    assert_eq!(profile.user.id, "583231");
    assert!(profile.user.groups.is_empty());
    assert!(matches!(profile.groups_error, Some(UserError::Misconfigured { .. })));
}

#[tokio::test]
async fn github_addresses_may_be_withheld_but_not_fail_unnoticed() {
    let none = || ok(&json!([]));
    let withheld = Step::json("404 Not Found", &[], "{}");
    let (profile, _) = github_told(vec![octocat(), withheld, none()]).await;
    assert_eq!(profile.unwrap().user.attributes["email"], Value::Null);

    let failing = Step::json("502 Bad Gateway", &[], "");
    let (profile, _) = github_told(vec![octocat(), failing, none()]).await;
    assert!(matches!(profile, Err(UserError::Unavailable { .. })));
}
