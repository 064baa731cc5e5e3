//! Serves the simulator over HTTP/1.1: accepts connections and routes requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::simulator::answer::{Reply, SimulatorBody, text};
use crate::simulator::authorize::{self, authorize};
use crate::simulator::control::{self, control};
use crate::simulator::resource::{Resource, revoke, show};
use crate::simulator::token_endpoint::{self, token};
use crate::simulator::world::Shared;

/// Longest request body, in bytes. Only minting and fault plans come near it.
const MOST_BODY: usize = 1 << 20;

/// Accepts connections until `stop`, then ends them all.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (shared, stop) = (Arc::clone(&shared), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = connection(stream, shared) => {}
                    }
                });
            }
            // Out of file descriptors, most likely: others will be closed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers must not wait for the peer's acknowledgement; without the option they only come later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    // An error here is a client that went away, or a connection dropped on purpose.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MOST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long")),
    };
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or("");
    if let Some(name) = path.strip_prefix(control::PREFIX) {
        return Ok(control(&shared, (&head.method, name), query, &body));
    }
    let reply = match (&head.method, path) {
        (&Method::POST, "/token") => token(Arc::clone(&shared), query, head.headers, body).await,
        _ => Ok(route(&shared, (&head.method, path), query, (&head.headers, &body))),
    };
    let totals = &mut shared.world().log.totals;
    match &reply {
        Ok(response) => {
            *totals.requests_by_status.entry(response.status().as_u16()).or_default() += 1;
        }
        Err(_) => totals.connections_dropped += 1,
    }
    reply
}

fn route(
    shared: &Shared,
    (method, path): (&Method, &str),
    query: &str,
    (headers, body): (&HeaderMap, &Bytes),
) -> Response<SimulatorBody> {
    match (method.as_str(), path) {
        ("GET", "/") => text(StatusCode::OK, ENDPOINTS),
        ("GET", "/authorize") => authorize(shared, query),
        ("POST", authorize::APPROVE) => authorize::approved(shared, headers, body),
        ("GET" | "POST", "/userinfo") => show(shared, headers, Resource::UserInfo),
        ("GET", "/api/user") => show(shared, headers, Resource::GithubUser),
        ("GET", "/api/user/emails") => show(shared, headers, Resource::GithubEmails),
        ("GET", "/api/user/teams") => show(shared, headers, Resource::GithubTeams),
        ("GET", "/api/echo") => show(shared, headers, Resource::Echo),
        ("POST", "/revoke") => revoke(shared, headers, body),
        (_, token_endpoint::ELSEWHERE) => token_endpoint::elsewhere(shared),
        (_, "/token" | "/revoke" | "/authorize" | "/userinfo") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "this endpoint does not answer this method")
        }
        _ => text(StatusCode::NOT_FOUND, "no such endpoint; see GET /"),
    }
}

/// What `GET /` says.
const ENDPOINTS: &str = "\
tokenhive provider simulator
GET  /authorize            authorization endpoint (user= or login_hint= picks the user, prompt=deny denies)
POST /token                token endpoint; ?from= names who asks, for the log
POST /revoke               token revocation
GET  /userinfo             user info
GET  /api/user             the user, GitHub-like; also /api/user/emails and /api/user/teams
GET  /api/echo             200 while the access token is accepted
GET  /_sim/log             ground truth; ?summary=1 for totals only
GET  /_sim/options         options in force
POST /_sim/options         change options
POST /_sim/faults          set the fault plan
POST /_sim/reset           forget sessions, codes, faults and history
POST /_sim/revoke?user=    revoke a user's sessions
POST /_sim/mint            make sessions without a login: {\"count\": 10, \"lifetime_ms\": 60000}";
