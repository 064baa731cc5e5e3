//! The token endpoint: client authentication, the commit, and every fault around it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::model::Timestamp;
use crate::simulator::answer::{
    Dropped, FORM, JSON, Reply, SimulatorBody, answer, redirect, retry_after, text,
};
use crate::simulator::faults::{FaultAction, MalformedBody};
use crate::simulator::form::{ClientProof, OAuthError, Parameters, body_parameters, grant};
use crate::simulator::options::{AnswerFormat, SimulatorOptions};
use crate::simulator::truth::Outcome;
use crate::simulator::world::{Attempt, Grant, Granted, InProgress, Plan, Shared};

/// Where a redirecting token endpoint points to.
pub(super) const ELSEWHERE: &str = "/token/elsewhere";

/// Answers a token request.
pub(super) async fn token(
    shared: Arc<Shared>,
    query: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let in_progress = shared.enter_token_request();
    if let Some(redirected) = redirected(&shared) {
        return Ok(redirected);
    }
    let request = read(query, &headers, &body);
    let plan = shared.world().plan(request.as_ref().ok().map(|request| &request.grant));
    let renderer = Renderer::new(&plan, &headers);
    let fault = plan.fault.clone();
    if let Some(fault) = fault.as_ref().filter(|fault| fault.prevents_commit()) {
        tokio::time::sleep(plan.latency).await;
        if let Ok(request) = &request {
            let now = shared.now();
            let attempt = Attempt { client: "", from: request.from(), fault: Some(fault), now };
            shared.world().turn_away(&request.grant, attempt);
        }
        return renderer.turned_away(fault, shared.now().wall).await;
    }
    let refreshing = matches!(&request, Ok(Request { grant: Grant::Refresh { .. }, .. }));
    let result = commit(shared, request, plan, Arc::clone(&in_progress)).await;
    if fault == Some(FaultAction::HangAfterCommit) {
        return hang().await;
    }
    let response = match result {
        Ok(granted) => renderer.granted(&granted, refreshing, fault.as_ref()),
        Err(error) => renderer.error(&error),
    };
    spoil(response, fault.as_ref())
}

/// Counts a request that followed the redirect of the token endpoint.
pub(super) fn elsewhere(shared: &Shared) -> Response<SimulatorBody> {
    shared.world().log.totals.redirects_followed += 1;
    text(StatusCode::FORBIDDEN, "a token request must not follow redirects")
}

struct Request {
    client: ClientProof,
    grant: Grant,
    /// The parameters of the endpoint's address.
    query: Parameters,
}

impl Request {
    fn from(&self) -> Option<&str> {
        self.query.get("from")
    }
}

fn read(query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Request, OAuthError> {
    let query = Parameters::parse(query.as_bytes())?;
    let mut form = body_parameters(headers, body)?;
    let client = ClientProof::read(headers, &mut form)?;
    Ok(Request { client, grant: grant(&mut form)?, query })
}

fn redirected(shared: &Shared) -> Option<Response<SimulatorBody>> {
    let mut world = shared.world();
    world.options.token_endpoint_redirect.then(|| {
        world.log.totals.token_requests += 1;
        world.log.totals.redirects_sent += 1;
        let to = format!("{}{ELSEWHERE}", shared.base_url);
        redirect(StatusCode::TEMPORARY_REDIRECT, &to)
    })
}

/// Waits half the latency, commits, and waits the rest of it, counted from the arrival: timers fire up
/// to two milliseconds late, and that must not add up.
///
/// Where it waits at all it does so in a task of its own: a real provider goes on with a request
/// whose client has hung up.
async fn commit(
    shared: Arc<Shared>,
    request: Result<Request, OAuthError>,
    plan: Plan,
    in_progress: Arc<InProgress>,
) -> Result<Granted, OAuthError> {
    let (mut before, mut after) = (plan.latency / 2, plan.latency / 2);
    match plan.fault {
        Some(FaultAction::Delay { ms }) => before += Duration::from_millis(ms),
        Some(FaultAction::DelayAfterCommit { ms }) => after += Duration::from_millis(ms),
        _ => {}
    }
    if before.is_zero() && after.is_zero() {
        return commit_now(&shared, request?, &plan);
    }
    let arrived = tokio::time::Instant::now();
    let work = tokio::spawn(async move {
        tokio::time::sleep(before).await;
        let result = request.and_then(|request| commit_now(&shared, request, &plan));
        tokio::time::sleep(before.saturating_add(after).saturating_sub(arrived.elapsed())).await;
        drop(in_progress);
        result
    });
    work.await.unwrap_or_else(|_| Err(OAuthError::new("server_error", "the simulator stopped")))
}

fn commit_now(shared: &Shared, request: Request, plan: &Plan) -> Result<Granted, OAuthError> {
    request.client.verify(&plan.options)?;
    let now = shared.now();
    let mut world = shared.world();
    let (client, fault) = (&request.client.id, plan.fault.as_ref());
    let attempt = Attempt { client, from: request.from(), fault, now };
    world.present(&request.grant, attempt).map_err(|outcome| match outcome {
        Outcome::ScopeRefused => {
            OAuthError::new("invalid_scope", "the scope exceeds what was granted")
        }
        Outcome::VerifierMismatch => {
            OAuthError::new("invalid_grant", "the code verifier does not match its challenge")
        }
        Outcome::RedirectMismatch => {
            OAuthError::new("invalid_grant", "the redirect URI is not the one of the request")
        }
        _ => OAuthError::new("invalid_grant", "the grant is invalid, expired or revoked"),
    })
}

/// Writes answers in the format the provider is set to.
struct Renderer {
    options: Arc<SimulatorOptions>,
    form: bool,
}

impl Renderer {
    fn new(plan: &Plan, headers: &HeaderMap) -> Self {
        let accepts_json = || {
            let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
            accepted.is_some_and(|accepted| accepted.contains(JSON))
        };
        let form = match plan.options.answer_format {
            AnswerFormat::Json => false,
            AnswerFormat::Form => true,
            AnswerFormat::FormUnlessJsonAccepted => !accepts_json(),
        };
        Self { options: Arc::clone(&plan.options), form }
    }

    fn granted(
        &self,
        granted: &Granted,
        refreshing: bool,
        fault: Option<&FaultAction>,
    ) -> Response<SimulatorBody> {
        let told = self.options.refresh_answer;
        let lifetime = granted.pair.expires_in.as_secs();
        let mut members = Map::new();
        members.insert("access_token".to_owned(), json!(granted.pair.access));
        if fault != Some(&FaultAction::MissingTokenType) {
            members.insert("token_type".to_owned(), json!("Bearer"));
        }
        if (told.expires_in || !refreshing) && fault != Some(&FaultAction::MissingExpiresIn) {
            let expires_in = if fault == Some(&FaultAction::OddExpiresString) {
                json!(format!("{lifetime}.0"))
            } else if self.options.expires_in_as_string {
                json!(lifetime.to_string())
            } else {
                json!(lifetime)
            };
            members.insert("expires_in".to_owned(), expires_in);
        }
        if (told.refresh_token || !refreshing) && fault != Some(&FaultAction::MissingRefreshToken) {
            members.insert("refresh_token".to_owned(), json!(granted.pair.refresh));
        }
        if (told.scope || !refreshing) && !granted.scope.is_empty() {
            members.insert("scope".to_owned(), json!(granted.scope));
        }
        self.write(StatusCode::OK, members, fault == Some(&FaultAction::FormEncoded))
    }

    fn error(&self, error: &OAuthError) -> Response<SimulatorBody> {
        let always_ok = self.options.errors_with_status_200;
        let status = if always_ok { StatusCode::OK } else { error.status };
        let members = Map::from_iter([
            ("error".to_owned(), json!(error.code)),
            ("error_description".to_owned(), json!(error.description)),
        ]);
        let mut response = self.write(status, members, false);
        if error.challenge && !always_ok {
            let value = HeaderValue::from_static("Basic realm=\"simulator\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        response
    }

    fn write(
        &self,
        status: StatusCode,
        members: Map<String, Value>,
        form: bool,
    ) -> Response<SimulatorBody> {
        if !(form || self.form) {
            return answer(status, JSON, Value::Object(members).to_string());
        }
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &members {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            encoded.append_pair(name, &value);
        }
        answer(status, FORM, encoded.finish())
    }

    /// The answer to a request that a fault kept from being worked on.
    async fn turned_away(&self, fault: &FaultAction, now: Timestamp) -> Reply {
        let busy = |status, when| {
            let mut response = text(status, "the simulator is told to refuse this request");
            if let Some(when) = when {
                let value = HeaderValue::from_str(&retry_after(when, now));
                response.headers_mut().extend(value.ok().map(|value| (RETRY_AFTER, value)));
            }
            response
        };
        let refusal = |code: &str, status| {
            let code = Cow::Owned(code.to_owned());
            self.error(&OAuthError { code, status, ..OAuthError::new("", "a simulated refusal") })
        };
        Ok(match fault {
            FaultAction::Hang => return hang().await,
            FaultAction::StatusBeforeCommit { status } => busy(status_code(*status), None),
            FaultAction::RateLimited { retry_after } => {
                busy(StatusCode::TOO_MANY_REQUESTS, Some(*retry_after))
            }
            FaultAction::Unavailable503 { retry_after } => {
                busy(StatusCode::SERVICE_UNAVAILABLE, *retry_after)
            }
            FaultAction::Error200 { code } => refusal(code, StatusCode::OK),
            FaultAction::ErrorCode { code, status } => refusal(code, status_code(*status)),
            _ => return Err(Dropped),
        })
    }
}

/// Breaks an answer after the commit.
fn spoil(response: Response<SimulatorBody>, fault: Option<&FaultAction>) -> Reply {
    let ok = StatusCode::OK;
    Ok(match fault {
        Some(FaultAction::DropAfterCommit) => return Err(Dropped),
        Some(FaultAction::StatusAfterCommit { status }) => {
            text(status_code(*status), "the simulator is told to fail after the commit")
        }
        Some(FaultAction::TruncatedBody) => response.map(|body| match body {
            SimulatorBody::Whole(Some(bytes)) => SimulatorBody::truncated(&bytes),
            other => other,
        }),
        Some(FaultAction::Malformed { body }) => match body {
            MalformedBody::HtmlOk => {
                answer(ok, "text/html", "<!doctype html><title>Sign in</title><p>Welcome")
            }
            MalformedBody::EmptyOk => answer(ok, JSON, ""),
            MalformedBody::TruncatedJson => response.map(half),
            MalformedBody::JsonArray => answer(ok, JSON, "[\"access_token\"]"),
            MalformedBody::NotUtf8 => answer(ok, JSON, &b"{\"access_token\":\"\xff\xfe\"}"[..]),
            MalformedBody::HugeBody => {
                let mut body = vec![b' '; HUGE];
                body.extend_from_slice(b"{}");
                answer(ok, JSON, body)
            }
        },
        _ => response,
    })
}

const HUGE: usize = 8 << 20;

fn half(body: SimulatorBody) -> SimulatorBody {
    match body {
        SimulatorBody::Whole(Some(bytes)) => {
            SimulatorBody::Whole(Some(bytes.slice(..bytes.len() / 2)))
        }
        other => other,
    }
}

/// Keeps the connection open for as long as the client does.
async fn hang() -> Reply {
    std::future::pending().await
}

fn status_code(status: u16) -> StatusCode {
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
