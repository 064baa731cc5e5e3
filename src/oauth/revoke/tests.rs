//! The exact request, and which answers mean that the token may still live.

use std::time::Duration;

use crate::model::Secret;
use crate::oauth::catalogue::generic;
use crate::oauth::scripted_server::{ScriptedServer, Step, deserted_address, test_client};
use crate::oauth::{ClientAuth, Provider, ProviderBuilder, RevokeError, TokenHint, revoke};

fn builder(revocation_endpoint: String) -> ProviderBuilder {
    generic("test", "cid", "https://idp.example/authorize", "https://idp.example/token")
        .client_secret("s3cr&t/=")
        .redirect_url("http://localhost:8550/cb")
        .revocation_endpoint(revocation_endpoint)
}

fn provider(server: &ScriptedServer) -> Provider {
    builder(server.url("/revoke?tenant=t")).build().unwrap()
}

async fn revoke_with(provider: &Provider) -> Result<(), RevokeError> {
    revoke(&test_client(), provider, &Secret::new("r+1/="), TokenHint::RefreshToken).await
}

/// What comes of one answer.
async fn outcome_of(answer: Step) -> Result<(), RevokeError> {
    let server = ScriptedServer::start(vec![answer]).await;
    let outcome = revoke_with(&provider(&server)).await;
    assert_eq!(server.received().len(), 1, "asked once");
    outcome
}

fn refused(error: &str, description: Option<&str>) -> Result<(), RevokeError> {
    Err(RevokeError::Refused {
        error: error.to_owned(),
        description: description.map(str::to_owned),
    })
}

fn done() -> Step {
    Step::json("200 OK", &[], "")
}

#[tokio::test]
async fn the_token_is_sent_with_its_kind_and_the_secret_in_the_body() {
    let server = ScriptedServer::start(vec![done(), done()]).await;
    let (provider, token) = (provider(&server), Secret::new("t+1/="));

    for hint in [TokenHint::RefreshToken, TokenHint::AccessToken] {
        revoke(&test_client(), &provider, &token, hint).await.unwrap();
    }

    let received = server.received();
    for (request, hint) in received.iter().zip(["refresh_token", "access_token"]) {
        assert_eq!(request.line, "POST /revoke?tenant=t HTTP/1.1");
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(request.header("authorization"), None);
        let credentials = "client_id=cid&client_secret=s3cr%26t%2F%3D";
        assert_eq!(request.body, format!("token=t%2B1%2F%3D&token_type_hint={hint}&{credentials}"));
    }
}

#[tokio::test]
async fn the_client_proves_itself_as_at_the_token_endpoint() {
    let server = ScriptedServer::start(vec![done(), done()]).await;
    let with = |auth| builder(server.url("/revoke")).client_auth(auth).build().unwrap();

    revoke_with(&with(ClientAuth::Basic)).await.unwrap();
    revoke_with(&with(ClientAuth::None)).await.unwrap();

    let received = server.received();
    let token = "token=r%2B1%2F%3D&token_type_hint=refresh_token";
    // `cid:s3cr%26t%2F%3D`, encoded before Base64 as RFC 6749 §2.3.1 demands.
    assert_eq!(received[0].header("authorization"), Some("Basic Y2lkOnMzY3IlMjZ0JTJGJTNE"));
    assert_eq!(received[0].body, token);
    assert_eq!(received[1].header("authorization"), None);
    assert_eq!(received[1].body, format!("{token}&client_id=cid"));
}

#[tokio::test]
async fn a_provider_without_the_endpoint_says_so() {
    let without = generic("t", "cid", "https://idp.example/a", "https://idp.example/t")
        .redirect_url("http://localhost/")
        .build()
        .unwrap();

    assert_eq!(revoke_with(&without).await, Err(RevokeError::Unsupported));
}

#[tokio::test]
async fn success_is_in_the_status_alone() {
    for body in ["", "OK", "<html>", r#"{"error":"invalid_request"}"#] {
        assert_eq!(outcome_of(Step::json("200 OK", &[], body)).await, Ok(()), "{body}");
    }
    let no_content = Step::Say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned());
    assert_eq!(outcome_of(no_content).await, Ok(()));
}

#[tokio::test]
async fn a_token_that_has_ended_already_is_not_refused() {
    let ended = r#"{"error":"invalid_token","error_description":"Token expired or revoked"}"#;

    assert_eq!(outcome_of(Step::json("400 Bad Request", &[], ended)).await, Ok(()));
    // The client itself was turned away: nothing is said about the token.
    assert_eq!(
        outcome_of(Step::json("401 Unauthorized", &[], ended)).await,
        refused("invalid_token", Some("Token expired or revoked"))
    );
}

#[tokio::test]
async fn a_refusal_keeps_the_providers_words() {
    let unsupported = r#"{"error":"unsupported_token_type","error_description":"only refresh"}"#;
    for (status, body, error, description) in [
        ("400 Bad Request", unsupported, "unsupported_token_type", Some("only refresh")),
        ("401 Unauthorized", r#"{"error":"invalid_client"}"#, "invalid_client", None),
        ("400 Bad Request", r#"{"error":"invalid_grant"}"#, "invalid_grant", None),
        ("403 Forbidden", "<html>", "HTTP 403", None),
        ("404 Not Found", "", "HTTP 404", None),
    ] {
        let outcome = outcome_of(Step::json(status, &[], body)).await;

        assert_eq!(outcome, refused(error, description), "{status}");
    }
}

#[tokio::test]
async fn a_provider_that_fails_or_is_busy_is_asked_again_later() {
    let busy = r#"{"error":"temporarily_unavailable"}"#;
    for (status, headers, body, wait) in [
        ("503 Service Unavailable", &["Retry-After: 7"][..], "", Some(7)),
        ("503 Service Unavailable", &[], "", None),
        ("500 Internal Server Error", &["Retry-After: 8"], "", Some(8)),
        ("502 Bad Gateway", &[], r#"{"error":"invalid_token"}"#, None),
        ("429 Too Many Requests", &["Retry-After: 9"], "", Some(9)),
        ("408 Request Timeout", &[], "", None),
        ("400 Bad Request", &["Retry-After: 10"], busy, Some(10)),
        ("400 Bad Request", &[], r#"{"error":"server_error"}"#, None),
    ] {
        let outcome = outcome_of(Step::json(status, headers, body)).await;

        let Err(RevokeError::Unavailable { detail, retry_after }) = outcome else {
            panic!("{status}: {outcome:?}");
        };
        assert_eq!(retry_after, wait.map(Duration::from_secs), "{status}");
        assert!(detail.contains(&status[..3]), "{detail}");
    }
}

#[tokio::test]
async fn without_a_complete_answer_the_token_may_still_live() {
    let hanging = ScriptedServer::start(vec![Step::Stall(String::new())]).await;
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nO".to_owned();
    let cutting = ScriptedServer::start(vec![Step::Say(cut)]).await;
    let deserted = format!("http://{}/revoke", deserted_address().await);

    for (url, words) in [
        (hanging.url("/revoke"), "no complete answer within 200ms"),
        (cutting.url("/revoke"), "the connection broke"),
        (deserted, "connect"),
    ] {
        let provider = builder(url).timeout(Duration::from_millis(200)).build().unwrap();
        let error = revoke_with(&provider).await.unwrap_err();

        assert!(matches!(error, RevokeError::Unavailable { retry_after: None, .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    for status in ["302 Found", "307 Temporary Redirect"] {
        let thief = ScriptedServer::start(vec![done()]).await;
        let location = format!("Location: {}", thief.url("/revoke"));

        let outcome = outcome_of(Step::json(status, &[&location], "")).await;

        let Err(RevokeError::Refused { error, description }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(error, format!("HTTP {} redirect", &status[..3]));
        assert!(description.unwrap().contains("never followed"));
        assert!(thief.received().is_empty());
    }
}

#[tokio::test]
async fn a_provider_that_repeats_a_secret_is_not_repeated() {
    for body in [
        r#"{"error":"invalid_request","error_description":"token r+1/= is unknown"}"#,
        r#"{"error":"no such token r+1/="}"#,
        r#"{"error":"invalid_client","error_description":"not s3cr&t/="}"#,
    ] {
        let error = outcome_of(Step::json("400 Bad Request", &[], body)).await.unwrap_err();

        let shown = format!("{error:?} {error}");
        assert!(!shown.contains("r+1") && !shown.contains("s3cr"), "{shown}");
        assert!(matches!(error, RevokeError::Refused { .. }), "{error:?}");
    }
}
