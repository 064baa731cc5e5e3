//! Sends one request and reads one bounded answer, telling apart "never sent" from "in doubt".

mod retry_after;
mod timely;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};

use crate::model::{BootTime, Clock, Secret, Timestamp};
use crate::oauth::RequestError;
use crate::oauth::http::timely::{Timely, is_too_late};

pub(crate) use self::retry_after::rate_limit_reset;

/// The longest body that is read; token answers have a few kilobytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The longest description of a failure, in characters.
const DETAIL_LIMIT: usize = 200;

/// How long an unused connection is kept. Shorter than servers keep theirs, so that a request is
/// rarely written to a connection whose end is already on its way: that would be an outcome in doubt.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// A deadline that is noticed this much later was noticed by a process that did not run meanwhile.
const HELD_UP: Duration = Duration::from_millis(20);

/// How long such a process looks for an answer that is there already.
const LAST_LOOK: Duration = Duration::from_secs(1);

const USER_AGENT: &str = concat!("tokenhive/", env!("CARGO_PKG_VERSION"));

/// Settings of the HTTP client that all providers share.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// How long name lookup, connecting and the TLS handshake may take together; 3 s unless set.
    ///
    /// Stay below every provider's timeout: a connection that fails in time proves that nothing
    /// was sent, so the request may safely be made again.
    pub connect_timeout: Duration,
    /// Whether requests go through a proxy; directly unless set.
    pub proxy: Proxy,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(3), proxy: Proxy::Direct }
    }
}

/// How requests leave this machine.
///
/// A proxy must never repeat a request by itself: a refresh token used twice can end the session.
#[derive(Debug, Clone)]
pub enum Proxy {
    /// Straight to the provider, whatever the environment says.
    Direct,
    /// Through the proxies that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
    Environment,
    /// Through this proxy. Its address may hold a user name and password.
    Url(Secret),
}

/// The HTTP client: one pool of connections, cheap to clone.
///
/// It never follows a redirect (RFC 9700 §4.12) and never repeats a request.
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl HttpClient {
    /// Makes a client. The clock stamps requests and reads dates in answers.
    ///
    /// # Errors
    ///
    /// [`HttpSetupError`] if no trusted root certificates are installed, or the proxy's address
    /// is not usable.
    pub fn new(options: &HttpOptions, clock: Arc<dyn Clock>) -> Result<Self, HttpSetupError> {
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(USER_AGENT);
        let builder = match &options.proxy {
            Proxy::Direct => builder.no_proxy(),
            Proxy::Environment => builder,
            Proxy::Url(url) => {
                // The parser's own words could repeat the address, and with it a password.
                let proxy = reqwest::Proxy::all(url.expose()).map_err(|_| HttpSetupError {
                    detail: "the proxy's address is not a URL".to_owned(),
                })?;
                builder.no_proxy().proxy(proxy)
            }
        };
        let client = builder.build().map_err(|error| HttpSetupError { detail: describe(error) })?;
        Ok(Self { client, clock })
    }

    /// Sends `request` and reads the whole answer, all within `limit`, or as soon as this process runs again.
    pub(crate) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limit: Duration,
    ) -> Result<Reply, HttpError> {
        self.execute(request.map(reqwest::Body::from), limit).await
    }

    /// As [`HttpClient::send`]; if the body could not be written until `by`, the request was not sent.
    pub(crate) async fn send_by(
        &self,
        by: BootTime,
        request: http::Request<Vec<u8>>,
        limit: Duration,
    ) -> Result<Reply, HttpError> {
        let timely = |body| reqwest::Body::wrap(Timely::new(body, by, Arc::clone(&self.clock)));
        self.execute(request.map(timely), limit).await
    }

    async fn execute(
        &self,
        request: http::Request<reqwest::Body>,
        limit: Duration,
    ) -> Result<Reply, HttpError> {
        let mut request = reqwest::Request::try_from(request).map_err(classify)?;
        if let Some(credentials) = request.headers_mut().get_mut(AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        let (sent_at, began) = (self.clock.now(), self.clock.boot());
        let mut exchange = Box::pin(self.exchange(request, sent_at));
        if let Ok(outcome) = tokio::time::timeout(limit, &mut exchange).await {
            return outcome;
        }
        // A process that was halted wakes up after the deadline, with an answer that came in time and was
        // not read yet: it may hold the only refresh token there is.
        let last_look = match self.clock.boot().since(began) > limit + HELD_UP {
            true => LAST_LOOK,
            false => Duration::ZERO,
        };
        let outcome = tokio::time::timeout(last_look, exchange).await;
        outcome.unwrap_or(Err(HttpError::TimedOut { limit }))
    }

    async fn exchange(
        &self,
        request: reqwest::Request,
        sent_at: Timestamp,
    ) -> Result<Reply, HttpError> {
        let response = self.client.execute(request).await.map_err(classify)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let retry_after = retry_after::retry_after(&headers, self.clock.now());
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = read_body(response).await?;
        Ok(Reply { raw: RawAnswer { status, retry_after, content_type, body }, headers, sent_at })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// Why the HTTP client could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the HTTP client could not be set up: {detail}; check root certificates and proxy settings"
)]
pub struct HttpSetupError {
    detail: String,
}

/// What came back, as it came. Its body may hold tokens, so `Debug` tells only its length.
#[derive(Clone)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header as a span from now (RFC 9110 §10.2.3), if there was a readable one.
    pub retry_after: Option<Duration>,
    /// The `Content-Type` header, if there was one.
    pub content_type: Option<String>,
    /// The body, complete.
    pub body: Bytes,
}

impl fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAnswer")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// A complete answer, and when its request was sent.
pub(crate) struct Reply {
    pub(crate) raw: RawAnswer,
    pub(crate) headers: HeaderMap,
    /// Taken immediately before sending, so that lifetimes counted from it end too early, never too late.
    pub(crate) sent_at: Timestamp,
}

/// Why there is no complete answer. No variant holds any part of a URL's query, a body or a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// Provably nothing was sent: the request could not be built, or no connection was made.
    #[error("{detail}")]
    NotSent { detail: String },
    /// The deadline passed; the request may have been processed.
    #[error("no complete answer within {limit:?}")]
    TimedOut { limit: Duration },
    /// The connection broke after it was made.
    #[error("the connection broke before the answer was complete: {detail}")]
    Broken { detail: String },
    /// The answer was longer than anything a provider has to say.
    #[error("the answer is longer than {BODY_LIMIT} bytes")]
    TooLarge,
}

impl From<HttpError> for RequestError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::NotSent { detail } => Self::NotSent { detail },
            HttpError::TimedOut { .. } | HttpError::Broken { .. } | HttpError::TooLarge => {
                Self::InDoubt { detail: error.to_string() }
            }
        }
    }
}

/// Without redirects and retries there is one connection at most, so a failure to make it
/// (name lookup, connecting, TLS handshake) proves that the request never left.
fn classify(error: reqwest::Error) -> HttpError {
    if error.is_builder() || error.is_connect() || is_too_late(&error) {
        HttpError::NotSent { detail: describe(error) }
    } else {
        HttpError::Broken { detail: describe(error) }
    }
}

/// The chain of causes without the URL, whose query may hold secrets.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: Option<&dyn Error> = error.source();
    let mut words = Vec::new();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    if words.is_empty() {
        words.push(error.to_string());
    }
    words.join(": ").chars().take(DETAIL_LIMIT).collect()
}

/// Reads to the end or the limit, whatever `Content-Length` says.
async fn read_body(mut response: reqwest::Response) -> Result<Bytes, HttpError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(classify_reading)? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Once an answer has begun, the request has been sent, whatever the error calls itself.
fn classify_reading(error: reqwest::Error) -> HttpError {
    HttpError::Broken { detail: describe(error) }
}

#[cfg(test)]
mod tests;
