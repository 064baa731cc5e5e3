//! Redeems codes and refresh tokens: exactly one request, exactly one typed outcome.

use std::cell::Cell;
use std::fmt;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeVerifier, RefreshToken, SyncHttpClient, TokenUrl,
};

use zeroize::Zeroizing;

use crate::model::{BootTime, Secret, Timestamp};
use crate::oauth::answer;
use crate::oauth::http::Reply;
use crate::oauth::scrub::Scrub;
use crate::oauth::{
    ClientAuth, HttpClient, Provider, RawAnswer, RequestError, ScopeSeparator, TokenAnswer,
};

/// Tokens, and the moment their lifetimes count from.
#[derive(Clone)]
pub struct Granted {
    /// What the provider answered.
    pub answer: TokenAnswer,
    /// When the request was sent (RFC 6749 §5.1 counts from the answer, which cannot be earlier).
    pub sent_at: Timestamp,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("sent_at", &self.sent_at).finish_non_exhaustive()
    }
}

/// Redeems an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5).
///
/// A code works once and a second use revokes its tokens (RFC 6749 §4.1.2): whatever comes back,
/// never repeat the call unless it is [`RequestError::NotSent`].
///
/// # Errors
///
/// [`RequestError`], sorted by what the provider may have done meanwhile.
pub async fn exchange_code(
    http: &HttpClient,
    provider: &Provider,
    code: &Secret,
    verifier: &Secret,
) -> Result<Granted, RequestError> {
    let request = prepare_exchange(provider, code, verifier)?;
    let reply = http.send(request, provider.timeout()).await;
    reply
        .map_err(RequestError::from)
        .and_then(|reply| read_reply(provider, reply, &mut None))
        .map_err(|error| withhold(error, provider, &[code, verifier]))
}

/// Redeems a refresh token (RFC 6749 §6), without a `scope`: what was granted stays granted.
///
/// # Errors
///
/// [`RequestError`], sorted by what the provider may have done meanwhile.
pub async fn refresh(
    http: &HttpClient,
    provider: &Provider,
    refresh_token: &Secret,
) -> Result<Granted, RequestError> {
    refresh_keeping(http, provider, refresh_token, (BootTime::NEVER, &mut None)).await
}

/// As [`refresh`], but not after `send_by`. A body that says success and cannot be read is left in
/// `unreadable`: the new refresh token may be in it, and nowhere else.
pub(crate) async fn refresh_keeping(
    http: &HttpClient,
    provider: &Provider,
    refresh_token: &Secret,
    (send_by, unreadable): (BootTime, &mut Option<Zeroizing<Vec<u8>>>),
) -> Result<Granted, RequestError> {
    let request = prepare_refresh(provider, refresh_token)?;
    let reply = http.send_by(send_by, request, provider.timeout());
    read_reply(provider, reply.await?, unreadable)
        .map_err(|error| withhold(error, provider, &[refresh_token]))
}

fn read_reply(
    provider: &Provider,
    reply: Reply,
    unreadable: &mut Option<Zeroizing<Vec<u8>>>,
) -> Result<Granted, RequestError> {
    let Reply { raw, sent_at, .. } = reply;
    if (300..400).contains(&raw.status) {
        return Err(RequestError::Misconfigured {
            error: format!("HTTP {} redirect", raw.status),
            description: Some(
                "redirects are never followed, as they would carry credentials along \
                 (RFC 9700 §4.12); set token_endpoint to its final address"
                    .to_owned(),
            ),
        });
    }
    let answer = read_answer(&raw, provider.scope_separator());
    if matches!(answer, Err(RequestError::InDoubt { .. })) && (200..300).contains(&raw.status) {
        *unreadable = Some(Zeroizing::new(raw.body.to_vec()));
    }
    Ok(Granted { answer: answer?, sent_at })
}

fn read_answer(raw: &RawAnswer, separator: ScopeSeparator) -> Result<TokenAnswer, RequestError> {
    answer::read(raw, separator)
}

/// Leaves out of `error` what repeats a secret.
fn withhold(error: RequestError, provider: &Provider, sent: &[&Secret]) -> RequestError {
    let scrub = Scrub::new(provider, sent);
    match error {
        RequestError::Rejected { error, description } => RequestError::Rejected {
            error: scrub.code(error),
            description: scrub.description(description),
        },
        RequestError::Misconfigured { error, description } => RequestError::Misconfigured {
            error: scrub.code(error),
            description: scrub.description(description),
        },
        other => other,
    }
}

/// Encodes requests, and proves who the client is in each.
pub(super) type Client =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

fn prepare_exchange(
    provider: &Provider,
    code: &Secret,
    verifier: &Secret,
) -> Result<HttpRequest, RequestError> {
    let redirect_url = oauth2::RedirectUrl::new(provider.redirect_url().as_str().to_owned())
        .expect("a provider's redirect URL was parsed when the provider was made");
    let client = client(provider).set_redirect_uri(redirect_url);
    let request = client
        .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()));
    let withheld = Withhold::default();
    let _nothing_sent = request.request(&withheld);
    withheld.into_request()
}

fn prepare_refresh(
    provider: &Provider,
    refresh_token: &Secret,
) -> Result<HttpRequest, RequestError> {
    let refresh_token = RefreshToken::new(refresh_token.expose().to_owned());
    let client = client(provider);
    let withheld = Withhold::default();
    let _nothing_sent = client.exchange_refresh_token(&refresh_token).request(&withheld);
    withheld.into_request()
}

pub(super) fn client(provider: &Provider) -> Client {
    let (auth_type, secret) = match provider.client_auth() {
        ClientAuth::RequestBody => (AuthType::RequestBody, provider.client_secret()),
        ClientAuth::Basic => (AuthType::BasicAuth, provider.client_secret()),
        ClientAuth::None => (AuthType::RequestBody, None),
    };
    let client = BasicClient::new(ClientId::new(provider.client_id().to_owned()))
        .set_auth_type(auth_type)
        .set_token_uri(TokenUrl::from_url(provider.token_endpoint().as_url().clone()));
    match secret {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
        None => client,
    }
}

/// Stands in for a network so that the `oauth2` crate encodes a request without sending it.
///
/// That crate's parser refuses answers that real providers give, and loses status and
/// `Retry-After`; so sending and reading are done here.
#[derive(Default)]
pub(super) struct Withhold(Cell<Option<HttpRequest>>);

impl Withhold {
    pub(super) fn into_request(self) -> Result<HttpRequest, RequestError> {
        self.0.into_inner().ok_or_else(|| RequestError::NotSent {
            detail: "the request could not be encoded".to_owned(),
        })
    }
}

impl SyncHttpClient for Withhold {
    type Error = Withheld;

    fn call(&self, request: HttpRequest) -> Result<HttpResponse, Withheld> {
        self.0.set(Some(request));
        Err(Withheld)
    }
}

/// The stand-in's only answer.
#[derive(Debug, thiserror::Error)]
#[error("prepared, not sent")]
pub(super) struct Withheld;

#[cfg(test)]
mod tests;
