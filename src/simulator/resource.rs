//! Protected resources: user info, a GitHub-like API, an echo; and token revocation.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::simulator::answer::{SimulatorBody, answer, json as json_answer};
use crate::simulator::form::{ClientProof, OAuthError, body_parameters};
use crate::simulator::state::Bearer;
use crate::simulator::token::TokenKind;
use crate::simulator::truth::{EventKind, RevocationReason};
use crate::simulator::users;
use crate::simulator::world::Shared;

/// A protected resource.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    UserInfo,
    GithubUser,
    GithubEmails,
    GithubTeams,
    Echo,
}

/// Answers a request for `resource`, if its access token is accepted now.
pub(super) fn show(
    shared: &Shared,
    headers: &HeaderMap,
    resource: Resource,
) -> Response<SimulatorBody> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let now = shared.now();
    let mut world = shared.world();
    let bearer = token.and_then(|(_, token)| world.sessions.bearer(token.trim(), now.boot));
    let groups = world.options.groups_per_user;
    let Some(bearer) = bearer else {
        world.log.totals.access_refused += 1;
        return unauthorized(token.is_some());
    };
    world.log.totals.access_accepted += 1;
    drop(world);
    let Bearer { user, scope, family, generation } = bearer;
    let body = match resource {
        Resource::UserInfo => users::claims(&user, groups),
        Resource::GithubUser => users::github_user(&user),
        Resource::GithubEmails => users::github_emails(&user),
        Resource::GithubTeams => users::github_teams(groups),
        Resource::Echo => json!({
            "user": &*user, "scope": &*scope, "family": family, "generation": generation,
        }),
    };
    json_answer(StatusCode::OK, &body)
}

/// The refusal of RFC 6750 §3: with an error only if there was a token to be wrong.
fn unauthorized(presented: bool) -> Response<SimulatorBody> {
    let challenge = if presented {
        "Bearer realm=\"simulator\", error=\"invalid_token\""
    } else {
        "Bearer realm=\"simulator\""
    };
    let body = json!({"error": if presented { "invalid_token" } else { "missing_token" }});
    let mut response = json_answer(StatusCode::UNAUTHORIZED, &body);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// Answers a revocation request (RFC 7009). A refresh token takes its family with it.
pub(super) fn revoke(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Response<SimulatorBody> {
    match try_revoke(shared, headers, body) {
        Ok(()) => answer(StatusCode::OK, "text/plain; charset=utf-8", ""),
        Err(error) => {
            let body = json!({"error": error.code, "error_description": error.description});
            json_answer(error.status, &body)
        }
    }
}

fn try_revoke(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<(), OAuthError> {
    let mut form = body_parameters(headers, body)?;
    let client = ClientProof::read(headers, &mut form)?;
    let now = shared.now();
    let mut world = shared.world();
    client.verify(&world.options)?;
    let text = form.take("token").ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let Some(token) = world.sessions.any_token(&text) else { return Ok(()) };
    let owner = world.sessions.owner(token.family).cloned();
    let Some(owner) = owner.filter(|owner| *owner.client_id == *client.id) else {
        return Err(OAuthError::new("unauthorized_client", "the token is another client's"));
    };
    match token.kind {
        TokenKind::Refresh => {
            world.revoke(token.family, RevocationReason::Client, now);
        }
        TokenKind::Access => {
            if world.sessions.end_access_token(token) {
                let mut event = world.log.event(EventKind::AccessTokenRevoked, now.wall);
                event.user = Some(owner.user.to_string());
                event.family = Some(token.family);
                let history = world.options.history;
                world.log.file(event, history);
            }
        }
    }
    Ok(())
}
