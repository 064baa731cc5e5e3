//! Reads requests strictly: form parameters once each, and client authentication by one method.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::simulator::answer::FORM;
use crate::simulator::options::SimulatorOptions;
use crate::simulator::world::Grant;

/// An OAuth error answer (RFC 6749 §5.2).
#[derive(Debug, Clone)]
pub(super) struct OAuthError {
    pub code: Cow<'static, str>,
    pub description: &'static str,
    pub status: StatusCode,
    /// Sends `WWW-Authenticate: Basic`, since the client tried that method.
    pub challenge: bool,
}

impl OAuthError {
    pub(crate) fn new(code: &'static str, description: &'static str) -> Self {
        Self {
            code: Cow::Borrowed(code),
            description,
            status: StatusCode::BAD_REQUEST,
            challenge: false,
        }
    }

    pub(crate) fn invalid_request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }
}

/// Parameters, each of which may come once (RFC 6749 §3.1, §3.2). Empty ones count as absent.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads a query or a form body.
    pub(crate) fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if value.is_empty() {
                continue;
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(OAuthError::invalid_request("a parameter is repeated"));
            }
        }
        Ok(Self(parameters))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }
}

/// Who a client says it is, and its proof.
#[derive(Default)]
pub(super) struct ClientProof {
    pub id: String,
    secret: Option<String>,
    by_header: bool,
}

impl ClientProof {
    /// Reads `client_secret_basic` or `client_secret_post`, never both (RFC 6749 §2.3).
    pub(crate) fn read(headers: &HeaderMap, form: &mut Parameters) -> Result<Self, OAuthError> {
        let (form_id, form_secret) = (form.take("client_id"), form.take("client_secret"));
        let Some(header) = headers.get(AUTHORIZATION) else {
            let id = form_id.ok_or_else(|| OAuthError::invalid_request("client_id is missing"))?;
            return Ok(Self { id, secret: form_secret, by_header: false });
        };
        if form_secret.is_some() {
            return Err(OAuthError::invalid_request("the client authenticates in two ways"));
        }
        let (id, secret) = header.to_str().ok().and_then(basic).ok_or_else(|| OAuthError {
            status: StatusCode::UNAUTHORIZED,
            challenge: true,
            ..OAuthError::new("invalid_client", "the Authorization header is not readable")
        })?;
        if form_id.is_some_and(|form_id| form_id != id) {
            return Err(OAuthError::invalid_request("header and body name different clients"));
        }
        Ok(Self { id, secret: Some(secret), by_header: true })
    }

    /// Checks the proof.
    pub(crate) fn verify(&self, options: &SimulatorOptions) -> Result<(), OAuthError> {
        let accepted = options.clients.get(&self.id).is_some_and(|client| {
            match (&client.secret, &self.secret) {
                (Some(wanted), Some(given)) => wanted == given,
                (Some(_), None) => !options.require_client_auth,
                (None, given) => given.is_none(),
            }
        });
        if accepted {
            return Ok(());
        }
        Err(OAuthError {
            status: StatusCode::UNAUTHORIZED,
            challenge: self.by_header,
            ..OAuthError::new("invalid_client", "unknown client or wrong client secret")
        })
    }
}

/// Reads a form body; the media type must say that it is one.
pub(super) fn body_parameters(headers: &HeaderMap, body: &[u8]) -> Result<Parameters, OAuthError> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = media_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case(FORM) {
        return Err(OAuthError::invalid_request("the body must be form-urlencoded"));
    }
    Parameters::parse(body)
}

/// Reads the grant of a token request.
pub(super) fn grant(form: &mut Parameters) -> Result<Grant, OAuthError> {
    match form.get("grant_type") {
        Some("authorization_code") => {
            let code = form.take("code");
            let verifier = form.take("code_verifier");
            if verifier.as_deref().is_some_and(|verifier| !is_verifier(verifier)) {
                return Err(OAuthError::invalid_request("code_verifier is malformed"));
            }
            Ok(Grant::Code {
                code: code.ok_or_else(|| OAuthError::invalid_request("code is missing"))?,
                redirect_uri: form.take("redirect_uri"),
                verifier,
            })
        }
        Some("refresh_token") => {
            let token = form.take("refresh_token");
            Ok(Grant::Refresh {
                token: token
                    .ok_or_else(|| OAuthError::invalid_request("refresh_token is missing"))?,
                scope: form.take("scope"),
            })
        }
        Some(_) => Err(OAuthError::new("unsupported_grant_type", "the grant type is not known")),
        None => Err(OAuthError::invalid_request("grant_type is missing")),
    }
}

/// The form of a PKCE verifier (RFC 7636 §4.1).
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// Id and secret of an HTTP Basic header, each form-encoded (RFC 6749 §2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    let pair = format!("x={text}");
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
    decoded.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Parameters, basic, is_verifier};

    #[test]
    fn a_repeated_parameter_is_refused_and_an_empty_one_ignored() {
        assert!(Parameters::parse(b"a=1&a=2").is_err());
        assert_eq!(Parameters::parse(b"a=&b=x+y").unwrap().get("a"), None);
        assert_eq!(Parameters::parse(b"a=&b=x+y").unwrap().get("b"), Some("x y"));
    }

    #[test]
    fn basic_credentials_are_form_decoded() {
        // "cl%3Aient:s+%26":
        assert_eq!(basic("Basic Y2wlM0FpZW50OnMrJTI2"), Some(("cl:ient".into(), "s &".into())));
        assert_eq!(basic("Bearer abc"), None);
    }

    #[test]
    fn a_verifier_has_43_to_128_unreserved_characters() {
        assert!(is_verifier(&"a".repeat(43)));
        assert!(!is_verifier(&"a".repeat(42)));
        assert!(!is_verifier(&"a".repeat(129)));
        assert!(!is_verifier(&"+".repeat(43)));
    }
}
