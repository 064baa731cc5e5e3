//! What a provider's error code means for the grant it was about.

use serde_json::Value;

use crate::oauth::answer::members::{Member, Members};
use crate::oauth::{RawAnswer, RequestError};

/// Longest error code that is repeated, in characters.
const MAX_CODE_CHARS: usize = 128;

/// Longest description that is repeated, in characters.
const MAX_DESCRIPTION_CHARS: usize = 512;

/// An error a body states, unsorted and as it came.
pub(super) struct Refusal {
    code: String,
    description: Option<String>,
}

/// The error a body states: an `error` member, or Slack's `"ok": false`.
///
/// A blank or null `error` states none. Providers that make `error` an object name the code in it.
pub(super) fn refusal(members: &Members) -> Option<Refusal> {
    let text = |name: &str| members.get(name).and_then(Member::text).map(str::to_owned);
    let code = match members.get("error") {
        Some(Member::Nested(Value::Object(error))) => {
            let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
            let code = ["code", "type", "status"].into_iter().find_map(text);
            return Some(Refusal {
                code: code.unwrap_or_else(|| "an error without a code".to_owned()),
                description: text("message"),
            });
        }
        Some(Member::Number(written)) => Some(written.clone()),
        Some(Member::Bool(true) | Member::Nested(_) | Member::Unreadable) => {
            Some("an error without a code".to_owned())
        }
        _ => text("error"),
    };
    let not_ok = matches!(members.get("ok"), Some(Member::Bool(false)));
    let code = code.or_else(|| not_ok.then(|| "ok is false".to_owned()))?;
    Some(Refusal { code, description: text("error_description") })
}

/// Sorts an error by its exact code.
///
/// | code | from | meaning |
/// |---|---|---|
/// | `invalid_grant` | RFC 6749 §5.2 | code or refresh token invalid, expired or revoked |
/// | `expired_token` | RFC 8628 §3.5 | the device code expired |
/// | `interaction_required`, `login_required`, `consent_required` | OpenID Connect Core §3.1.2.6; Microsoft also at its token endpoint | the user must come back |
/// | `bad_refresh_token` | GitHub, refreshing user access tokens | refresh token incorrect or expired |
/// | `bad_verification_code` | GitHub, access token request errors | code incorrect or expired |
/// | `invalid_code` | Slack, `oauth.v2.access` | code invalid |
/// | `invalid_refresh_token`, `token_expired`, `token_revoked` | Slack, `oauth.v2.access` and token rotation | refresh token no longer valid |
///
/// These are the provider's final word on the grant: [`RequestError::Rejected`].
/// `temporarily_unavailable` (RFC 6749 §4.1.2.1) and `slow_down` (RFC 8628 §3.5) ask for patience;
/// `server_error` (RFC 6749 §4.1.2.1) leaves open what happened. Every other code, known or not, is
/// about the client or the request: taking it for a rejection would end sessions over a wrong setting.
pub(super) fn classify(refusal: Refusal, raw: &RawAnswer) -> RequestError {
    let error = printable(&refusal.code, MAX_CODE_CHARS);
    let description = refusal.description.map(|text| printable(&text, MAX_DESCRIPTION_CHARS));
    match refusal.code.as_str() {
        "invalid_grant"
        | "expired_token"
        | "interaction_required"
        | "login_required"
        | "consent_required"
        | "bad_refresh_token"
        | "bad_verification_code"
        | "invalid_code"
        | "invalid_refresh_token"
        | "token_expired"
        | "token_revoked" => RequestError::Rejected { error, description },
        "temporarily_unavailable" | "slow_down" => {
            RequestError::Busy { status: raw.status, retry_after: raw.retry_after }
        }
        "server_error" => RequestError::InDoubt {
            detail: format!("HTTP {} with the error server_error", raw.status),
        },
        _ => RequestError::Misconfigured { error, description },
    }
}

/// Text from outside, fit for a message: no control characters, none that reorder the line or cannot
/// be seen, and at most `max_chars` of the others.
fn printable(text: &str, max_chars: usize) -> String {
    let unseen = |c: char| {
        c.is_control()
            || matches!(
                c,
                '\u{ad}'
                    | '\u{61c}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{feff}'
            )
    };
    text.chars().filter(|c| !unseen(*c)).take(max_chars).collect()
}
