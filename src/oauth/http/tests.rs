//! The client against a server that answers, hangs, breaks off, or is not there.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::model::{Clock as _, ManualClock, Secret, Timestamp};
use crate::oauth::http::{BODY_LIMIT, HttpError};
use crate::oauth::scripted_server::{ScriptedServer, Step, deserted_address, test_client};
use crate::oauth::{HttpClient, HttpOptions, Proxy};

const LIMIT: Duration = Duration::from_secs(5);

fn post(url: &str) -> http::Request<Vec<u8>> {
    http::Request::post(url).body(b"refresh_token=hunter2".to_vec()).unwrap()
}

async fn failure(script: Vec<Step>, limit: Duration) -> HttpError {
    let server = ScriptedServer::start(script).await;
    let outcome = test_client().send(post(&server.url("/token?secret=hunter2")), limit).await;
    let error = outcome.err().expect("the request fails");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    error
}

#[tokio::test]
async fn an_answer_comes_back_whole() {
    let answer = Step::json("503 Busy", &["Retry-After: 7"], "{\"token\":\"hunter2\"}");
    let server = ScriptedServer::start(vec![answer]).await;

    let reply = test_client().send(post(&server.url("/token")), LIMIT).await.ok().unwrap();

    assert_eq!(reply.raw.status, 503);
    assert_eq!(reply.raw.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(reply.raw.content_type.as_deref(), Some("application/json"));
    assert_eq!(reply.raw.body.as_ref(), b"{\"token\":\"hunter2\"}");
    assert_eq!(reply.sent_at, Timestamp::from_millis(1_000_000));
    assert!(!format!("{:?}", reply.raw).contains("hunter2"));
    let request = &server.received()[0];
    assert_eq!(request.line, "POST /token HTTP/1.1");
    assert!(request.header("user-agent").unwrap().starts_with("tokenhive/"));
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let url = format!("http://{}/token?secret=hunter2", deserted_address().await);

    let error = test_client().send(post(&url), LIMIT).await.err().unwrap();

    assert!(
        matches!(&error, HttpError::NotSent { detail } if detail.contains("refused")),
        "{error:?}"
    );
    assert!(!error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_failed_tls_handshake_proves_that_nothing_was_sent() {
    let server = ScriptedServer::start(vec![]).await;
    let clock = Arc::new(ManualClock::at(Timestamp::default()));
    let options =
        HttpOptions { connect_timeout: Duration::from_millis(150), ..HttpOptions::default() };
    let client = HttpClient::new(&options, clock).unwrap();

    // The server waits for an HTTP request that never comes in clear text.
    let url = server.url("/token").replace("http://", "https://");
    let error = client.send(post(&url), LIMIT).await.err().unwrap();

    assert!(matches!(error, HttpError::NotSent { .. }), "{error:?}");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_silent_provider_leaves_doubt_after_the_deadline() {
    let limit = Duration::from_millis(200);

    assert_eq!(
        failure(vec![Step::Stall(String::new())], limit).await,
        HttpError::TimedOut { limit }
    );
}

#[tokio::test]
async fn the_deadline_covers_the_body_too() {
    let limit = Duration::from_millis(200);
    let part = Step::Stall("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345".to_owned());

    assert_eq!(failure(vec![part], limit).await, HttpError::TimedOut { limit });
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_leaves_doubt() {
    let error = failure(vec![Step::Say(String::new())], LIMIT).await;

    assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_cut_short_leaves_doubt() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":\"hunter2";

    let error = failure(vec![Step::Say(cut.to_owned())], LIMIT).await;

    assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_http_leaves_doubt() {
    let error = failure(vec![Step::Say("hunter2 hunter2\r\n\r\n".to_owned())], LIMIT).await;

    assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn the_longest_body_is_read_and_one_byte_more_is_not() {
    let endless = |bytes: usize| {
        Step::Say(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(bytes)))
    };
    let server = ScriptedServer::start(vec![endless(BODY_LIMIT)]).await;
    let reply = test_client().send(post(&server.url("/")), LIMIT).await.ok().unwrap();

    assert_eq!(reply.raw.body.len(), BODY_LIMIT);
    assert_eq!(failure(vec![endless(BODY_LIMIT + 1)], LIMIT).await, HttpError::TooLarge);
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let elsewhere = ScriptedServer::start(vec![]).await;
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("Location: {}", elsewhere.url("/token"));
        let server = ScriptedServer::start(vec![Step::json(status, &[&location], "")]).await;

        let reply = test_client().send(post(&server.url("/token")), LIMIT).await.ok().unwrap();

        assert_eq!(reply.raw.status.to_string(), status[..3]);
        assert_eq!(server.received().len(), 1);
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn a_proxy_is_used_only_when_told() {
    let proxy = ScriptedServer::start(vec![Step::json("200 OK", &[], "{}")]).await;
    let clock = Arc::new(ManualClock::at(Timestamp::default()));
    let options =
        HttpOptions { proxy: Proxy::Url(Secret::new(proxy.url(""))), ..HttpOptions::default() };

    let client = HttpClient::new(&options, clock.clone()).unwrap();
    let url = format!("http://{}/token", deserted_address().await);
    client.send(post(&url), LIMIT).await.ok().unwrap();

    assert_eq!(proxy.received()[0].line, format!("POST {url} HTTP/1.1"));
    let unusable = HttpOptions { proxy: Proxy::Url("::hunter2".into()), ..HttpOptions::default() };
    let error = HttpClient::new(&unusable, clock).unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn an_answer_that_came_while_the_process_was_halted_is_read_after_the_deadline() {
    let clock = Arc::new(ManualClock::at(Timestamp::default()));
    let client = HttpClient::new(&HttpOptions::default(), clock.clone()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let limit = Duration::from_millis(100);

    let halted = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.readable().await.unwrap();
        clock.advance(Duration::from_secs(30));
        tokio::time::sleep(limit + Duration::from_millis(50)).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        connection.write_all(answer).await.unwrap();
        connection
    };
    let (reply, _connection) = tokio::join!(client.send(post(&url), limit), halted);

    assert_eq!(reply.expect("it is read").raw.body.as_ref(), b"{}");
}

#[tokio::test]
async fn a_request_that_is_late_proves_that_it_was_not_sent() {
    let server = ScriptedServer::start(vec![Step::json("200 OK", &[], "{}")]).await;
    let clock = Arc::new(ManualClock::at(Timestamp::default()));
    let client = HttpClient::new(&HttpOptions::default(), clock.clone()).unwrap();
    let by = clock.boot();
    clock.advance(Duration::from_millis(1));

    let late = client.send_by(by, post(&server.url("/token")), LIMIT).await.err().unwrap();
    let timely = client.send_by(clock.boot(), post(&server.url("/token")), LIMIT).await;

    assert!(matches!(&late, HttpError::NotSent { detail } if detail.contains("late")), "{late:?}");
    assert!(timely.is_ok());
    let received = server.received();
    let bodies: Vec<_> = received.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies, ["refresh_token=hunter2"]);
    assert_eq!(received[0].header("content-length"), Some("21"));
}
