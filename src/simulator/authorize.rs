//! The authorization endpoint and the approval page.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use url::{Host, Url};

use crate::simulator::answer::{SimulatorBody, escape, page, redirect};
use crate::simulator::codes::AuthorizationRequest;
use crate::simulator::form::{OAuthError, Parameters, body_parameters};
use crate::simulator::options::{Approval, RedirectPolicy, ScopePolicy, SimulatorOptions};
use crate::simulator::users;
use crate::simulator::world::Shared;

/// Where the approval page posts to.
pub(super) const APPROVE: &str = "/authorize/approve";

/// Most buttons on the approval page.
const MOST_BUTTONS: u32 = 50;

/// Answers `GET /authorize`.
pub(super) fn authorize(shared: &Shared, query: &str) -> Response<SimulatorBody> {
    let options = Arc::clone(&shared.world().options);
    let mut parameters = match Parameters::parse(query.as_bytes()) {
        Ok(parameters) => parameters,
        Err(error) => return refused(error.description),
    };
    let Some(client_id) = parameters.take("client_id") else {
        return refused("client_id is missing");
    };
    let Some(client) = options.clients.get(&client_id) else {
        return refused("no client has this client_id");
    };
    let redirect_uri = match parameters.take("redirect_uri") {
        Some(uri) if is_allowed(&uri, &client.redirects) => uri,
        _ => return refused("redirect_uri is missing or not allowed for this client"),
    };
    let state = parameters.take("state");
    let back = Back { redirect_uri: &redirect_uri, state: state.as_deref(), options: &options };
    match check(&mut parameters, &options) {
        Err(error) if error.code == "access_denied" => {
            let now = shared.now();
            shared.world().deny(now);
            back.with(&[("error", &error.code), ("error_description", error.description)])
        }
        Err(error) => {
            back.with(&[("error", &error.code), ("error_description", error.description)])
        }
        Ok(checked) => {
            let request = AuthorizationRequest {
                client_id: client_id.into(),
                redirect_uri: redirect_uri.clone(),
                state: state.clone(),
                scope: checked.scope.into(),
                challenge: checked.challenge,
                hint: checked.hint,
            };
            match options.approve {
                Approval::Auto => approve(shared, request, None),
                Approval::Page => ask(shared, request, &options),
            }
        }
    }
}

/// Answers the approval page's form.
pub(super) fn approved(
    shared: &Shared,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<SimulatorBody> {
    let Ok(mut form) = body_parameters(headers, body) else {
        return refused("the form is not readable");
    };
    let request = form.take("ticket").and_then(|ticket| shared.world().codes.take_ticket(&ticket));
    let Some(request) = request else {
        return refused("this page was used already or is too old; start the login again");
    };
    match form.take("user").filter(|user| users::is_name(user)) {
        Some(user) => approve(shared, request, Some(user)),
        None => {
            let options = Arc::clone(&shared.world().options);
            let now = shared.now();
            shared.world().deny(now);
            let state = request.state.as_deref();
            Back { redirect_uri: &request.redirect_uri, state, options: &options }
                .with(&[("error", "access_denied"), ("error_description", DENIED)])
        }
    }
}

const DENIED: &str = "the user denied the request";

fn approve(
    shared: &Shared,
    request: AuthorizationRequest,
    user: Option<String>,
) -> Response<SimulatorBody> {
    let now = shared.now();
    let mut world = shared.world();
    let user = user.or_else(|| request.hint.clone()).unwrap_or_else(|| world.next_user());
    let code = world.approve(request.clone(), &user, now);
    let options = Arc::clone(&world.options);
    drop(world);
    let state = request.state.as_deref();
    Back { redirect_uri: &request.redirect_uri, state, options: &options }.with(&[("code", &code)])
}

fn ask(
    shared: &Shared,
    request: AuthorizationRequest,
    options: &SimulatorOptions,
) -> Response<SimulatorBody> {
    let everyone = (1..=options.users.min(MOST_BUTTONS)).map(|number| users::name(number.into()));
    let hinted = request.hint.clone();
    let names: Vec<_> = match hinted {
        Some(hint) => vec![hint],
        None => everyone.collect(),
    };
    let words = format!(
        "<p>{} asks for: {}</p>",
        escape(&request.client_id),
        if request.scope.is_empty() {
            "nothing in particular".into()
        } else {
            escape(&request.scope)
        },
    );
    let now = shared.now();
    let ticket = shared.world().codes.await_approval(request, now.boot);
    let form = |inside: String| {
        format!(
            "<form method=\"post\" action=\"{APPROVE}\">\
             <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">{inside}</form>"
        )
    };
    let buttons = names.iter().map(|name| {
        let name = escape(name);
        form(format!("<button name=\"user\" value=\"{name}\">Continue as {name}</button>"))
    });
    let deny = form("<button>Deny</button>".to_owned());
    page(StatusCode::OK, "Simulated provider", &(words + &buttons.collect::<String>() + &deny))
}

struct Checked {
    scope: String,
    challenge: Option<String>,
    hint: Option<String>,
}

/// Checks everything whose failure is told to the client by redirect (RFC 6749 §4.1.2.1).
fn check(parameters: &mut Parameters, options: &SimulatorOptions) -> Result<Checked, OAuthError> {
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => {
            return Err(OAuthError::new("unsupported_response_type", "only code is supported"));
        }
        None => return Err(OAuthError::invalid_request("response_type is missing")),
    }
    let challenge = parameters.take("code_challenge");
    match (&challenge, parameters.get("code_challenge_method")) {
        (Some(challenge), Some("S256")) if is_challenge(challenge) => {}
        (Some(_), Some("S256")) => {
            return Err(OAuthError::invalid_request(
                "code_challenge is not a SHA-256 in base64url",
            ));
        }
        (Some(_), _) => {
            return Err(OAuthError::invalid_request("code_challenge_method must be S256"));
        }
        (None, _) if options.require_pkce => {
            return Err(OAuthError::invalid_request("code_challenge is required"));
        }
        (None, _) => {}
    }
    let asked = parameters.take("scope").unwrap_or_default();
    let scope = granted_scope(&asked, &options.scopes)?;
    if parameters.get("prompt") == Some("deny") {
        return Err(OAuthError::new("access_denied", DENIED));
    }
    let hint = parameters.take("user").or_else(|| parameters.take("login_hint"));
    let hint = hint.as_deref().and_then(users::from_hint).map(str::to_owned);
    Ok(Checked { scope, challenge, hint })
}

fn granted_scope(asked: &str, policy: &ScopePolicy) -> Result<String, OAuthError> {
    let mut asked: Vec<_> = asked.split_whitespace().collect();
    match policy {
        ScopePolicy::Any => {}
        ScopePolicy::Narrow(allowed) => asked.retain(|scope| allowed.contains(*scope)),
        ScopePolicy::Refuse(allowed) => {
            if asked.iter().any(|scope| !allowed.contains(*scope)) {
                return Err(OAuthError::new("invalid_scope", "a scope is not offered here"));
            }
        }
    }
    Ok(asked.join(" "))
}

fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn is_allowed(uri: &str, policy: &RedirectPolicy) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let web = matches!(url.scheme(), "http" | "https") && url.fragment().is_none();
    web && match policy {
        RedirectPolicy::Any => true,
        RedirectPolicy::AnyLoopback => match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        },
        RedirectPolicy::Prefixes(prefixes) => prefixes
            .iter()
            .filter_map(|prefix| Url::parse(prefix).ok())
            .any(|prefix| prefix.origin() == url.origin() && url.path().starts_with(prefix.path())),
    }
}

/// The way back to the client.
struct Back<'a> {
    redirect_uri: &'a str,
    state: Option<&'a str>,
    options: &'a SimulatorOptions,
}

impl Back<'_> {
    fn with(&self, members: &[(&str, &str)]) -> Response<SimulatorBody> {
        let Ok(mut url) = Url::parse(self.redirect_uri) else {
            return refused("redirect_uri is not a URL");
        };
        let mut query = url.query_pairs_mut();
        query.extend_pairs(members);
        query.extend_pairs(self.state.map(|state| ("state", state)));
        query.extend_pairs(self.options.issuer.as_ref().map(|issuer| ("iss", issuer)));
        drop(query);
        redirect(StatusCode::FOUND, url.as_str())
    }
}

fn refused(why: &str) -> Response<SimulatorBody> {
    page(StatusCode::BAD_REQUEST, "This login cannot start", &format!("<p>{}</p>", escape(why)))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;
    use crate::simulator::options::RedirectPolicy;

    #[test]
    fn redirects_are_compared_as_urls() {
        let prefixes = RedirectPolicy::Prefixes(vec!["https://app.example/back".into()]);

        assert!(is_allowed("https://app.example/back?x=1", &prefixes));
        assert!(!is_allowed("https://app.example.evil.example/back", &prefixes));
        assert!(!is_allowed("http://app.example/back", &prefixes));
        assert!(!is_allowed("https://app.example/other", &prefixes));
        assert!(!is_allowed("https://app.example/back#fragment", &prefixes));
    }

    #[test]
    fn loopback_is_loopback_only() {
        for uri in ["http://127.0.0.1:8550/oauth_callback", "http://localhost/x", "http://[::1]/x"]
        {
            assert!(is_allowed(uri, &RedirectPolicy::AnyLoopback), "{uri}");
        }
        for uri in ["http://127.0.0.1.example/x", "http://example/x", "app:/x", "not a url"] {
            assert!(!is_allowed(uri, &RedirectPolicy::AnyLoopback), "{uri}");
        }
    }
}
