//! The exact requests, and the outcomes that must never be confused.

use std::collections::BTreeMap;
use std::time::Duration;

use url::form_urlencoded;

use crate::model::{Secret, Timestamp};
use crate::oauth::catalogue::generic;
use crate::oauth::scripted_server::{
    Received, ScriptedServer, Step, deserted_address, test_client,
};
use crate::oauth::{
    ClientAuth, Granted, Provider, ProviderBuilder, RequestError, exchange_code, refresh,
};

const TOKENS: &str = r#"{"access_token":"at","token_type":"Bearer","refresh_token":"rt2"}"#;

fn builder(token_endpoint: String) -> ProviderBuilder {
    generic("test", "cid", "https://idp.example/authorize", token_endpoint)
        .client_secret("s3cr&t/=")
        .redirect_url("http://localhost:8550/cb")
}

fn provider(server: &ScriptedServer) -> Provider {
    builder(server.url("/token?tenant=t")).build().unwrap()
}

async fn exchange_with(provider: &Provider) -> Result<Granted, RequestError> {
    let (code, verifier) = (Secret::new("c o/d&e"), Secret::new("VER+x"));
    exchange_code(&test_client(), provider, &code, &verifier).await
}

async fn refresh_with(provider: &Provider) -> Result<Granted, RequestError> {
    refresh(&test_client(), provider, &Secret::new("r+1/=")).await
}

async fn tokens() -> ScriptedServer {
    ScriptedServer::start(vec![Step::json("200 OK", &[], TOKENS)]).await
}

fn pairs(body: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn assert_form_post(request: &Received) {
    assert_eq!(request.line, "POST /token?tenant=t HTTP/1.1");
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn a_code_is_exchanged_with_the_secret_in_the_body() {
    let server = tokens().await;

    let granted = exchange_with(&provider(&server)).await.ok().unwrap();

    assert_eq!(granted.answer.access_token.expose(), "at");
    assert_eq!(granted.sent_at, Timestamp::from_millis(1_000_000));
    let request = &server.received()[0];
    assert_form_post(request);
    assert_eq!(request.header("authorization"), None);
    assert_eq!(
        request.body,
        "grant_type=authorization_code&code=c+o%2Fd%26e&code_verifier=VER%2Bx&client_id=cid\
         &client_secret=s3cr%26t%2F%3D&redirect_uri=http%3A%2F%2Flocalhost%3A8550%2Fcb"
    );
    // Flet 1.0.5 sends the same parameters in another order.
    let flet = "grant_type=authorization_code&client_id=cid&code_verifier=VER%2Bx\
                &client_secret=s3cr%26t%2F%3D&code=c+o%2Fd%26e\
                &redirect_uri=http%3A%2F%2Flocalhost%3A8550%2Fcb";
    assert_eq!(pairs(&request.body), pairs(flet));
}

#[tokio::test]
async fn a_refresh_sends_no_scope() {
    let server = tokens().await;

    let granted = refresh_with(&provider(&server)).await.ok().unwrap();

    assert_eq!(granted.answer.refresh_token, Some(Secret::new("rt2")));
    let request = &server.received()[0];
    assert_form_post(request);
    assert_eq!(
        request.body,
        "grant_type=refresh_token&refresh_token=r%2B1%2F%3D&client_id=cid\
         &client_secret=s3cr%26t%2F%3D"
    );
}

#[tokio::test]
async fn basic_authentication_encodes_id_and_secret_and_keeps_them_out_of_the_body() {
    let server = ScriptedServer::start(vec![
        Step::json("200 OK", &[], TOKENS),
        Step::json("200 OK", &[], TOKENS),
    ])
    .await;
    let provider =
        builder(server.url("/token")).client_auth(ClientAuth::Basic).client_id("c:d").build();
    let provider = provider.unwrap();

    exchange_with(&provider).await.ok().unwrap();
    refresh_with(&provider).await.ok().unwrap();

    for request in server.received() {
        // `c%3Ad:s3cr%26t%2F%3D`, encoded before Base64 as RFC 6749 §2.3.1 demands.
        let credentials = request.header("authorization").unwrap();
        assert_eq!(credentials, "Basic YyUzQWQ6czNjciUyNnQlMkYlM0Q=");
        let body = pairs(&request.body);
        assert!(!body.contains_key("client_id") && !body.contains_key("client_secret"));
    }
}

#[tokio::test]
async fn a_public_client_sends_its_id_and_never_a_secret() {
    let server = ScriptedServer::start(vec![
        Step::json("200 OK", &[], TOKENS),
        Step::json("200 OK", &[], TOKENS),
    ])
    .await;
    let told = builder(server.url("/token")).client_auth(ClientAuth::None).build().unwrap();
    let secretless = generic("t", "cid", "https://idp.example/", server.url("/token"))
        .redirect_url("http://localhost/")
        .build()
        .unwrap();

    for provider in [told, secretless] {
        refresh_with(&provider).await.ok().unwrap();
    }

    for request in server.received() {
        let body = "grant_type=refresh_token&refresh_token=r%2B1%2F%3D&client_id=cid";
        assert_eq!(request.body, body);
        assert_eq!(request.header("authorization"), None);
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    for status in ["302 Found", "307 Temporary Redirect"] {
        let thief = tokens().await;
        let location = format!("Location: {}", thief.url("/token"));
        let server = ScriptedServer::start(vec![Step::json(status, &[&location], "")]).await;

        let error = refresh_with(&provider(&server)).await.err().unwrap();

        let RequestError::Misconfigured { error, description } = error else {
            panic!("{error:?}");
        };
        assert_eq!(error, format!("HTTP {} redirect", &status[..3]));
        assert!(description.unwrap().contains("never followed"));
        assert_eq!((server.received().len(), thief.received().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_provider_that_hangs_leaves_doubt_and_is_asked_once() {
    let server = ScriptedServer::start(vec![Step::Stall(String::new())]).await;
    let provider =
        builder(server.url("/token")).timeout(Duration::from_millis(200)).build().unwrap();

    let error = refresh_with(&provider).await.err().unwrap();

    assert!(matches!(error, RequestError::InDoubt { .. }), "{error:?}");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn an_answer_broken_off_or_too_long_leaves_doubt_and_is_not_asked_again() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"access_token\":".to_owned();
    let long = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(2 << 20));
    for answer in [cut, long, String::new()] {
        let server = ScriptedServer::start(vec![Step::Say(answer)]).await;

        let error = refresh_with(&provider(&server)).await.err().unwrap();

        assert!(matches!(error, RequestError::InDoubt { .. }), "{error:?}");
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_connection_is_known_not_to_have_sent_anything() {
    let address = deserted_address().await;
    let provider = builder(format!("http://{address}/token")).build().unwrap();

    let error = refresh_with(&provider).await.err().unwrap();

    assert!(matches!(error, RequestError::NotSent { .. }), "{error:?}");
}

#[tokio::test]
async fn a_provider_that_repeats_the_secret_it_refuses_is_not_repeated() {
    for body in [
        r#"{"error":"invalid_grant","error_description":"token r+1/= is unknown"}"#,
        r#"{"error":"no such token r+1/="}"#,
        r#"{"error":{"code":"bad","message":"r+1/="}}"#,
    ] {
        let server = ScriptedServer::start(vec![Step::json("400 Bad Request", &[], body)]).await;

        let error = refresh_with(&provider(&server)).await.err().unwrap();

        assert!(!format!("{error:?}").contains("r+1"), "{error:?}");
        assert!(matches!(
            error,
            RequestError::Rejected { .. } | RequestError::Misconfigured { .. }
        ));
    }
}
