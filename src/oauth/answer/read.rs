//! Makes a typed answer of a raw one, forgiving in what providers write, strict in what it means.

use serde_json::Value;

use crate::model::Secret;
use crate::oauth::answer::classify::{classify, refusal};
use crate::oauth::answer::members::{Member, Members, members};
use crate::oauth::{RawAnswer, RequestError, ScopeSeparator, TokenAnswer};

/// Reads a token endpoint's answer.
///
/// A status of 2xx with an access token is an answer, whatever else is odd in it: to refuse a
/// readable access token would lose the rotated refresh token beside it. Everything else is an error
/// sorted by what the provider may have done meanwhile; none repeats the body.
pub(crate) fn read(
    raw: &RawAnswer,
    separator: ScopeSeparator,
) -> Result<TokenAnswer, RequestError> {
    let status = raw.status;
    let in_doubt = |what: &str| RequestError::InDoubt { detail: format!("HTTP {status}{what}") };
    match status {
        200..=299 => read_success(raw, separator),
        300..=399 => Err(RequestError::Misconfigured {
            error: format!("HTTP {status}"),
            description: Some(
                "the token endpoint redirects; redirects are never followed, so configure its final URL"
                    .to_owned(),
            ),
        }),
        408 => Err(in_doubt("")),
        429 => Err(RequestError::Busy { status, retry_after: raw.retry_after }),
        400..=499 => Err(refused(raw)),
        503 if raw.retry_after.is_some() => {
            Err(RequestError::Busy { status, retry_after: raw.retry_after })
        }
        _ => Err(in_doubt("")),
    }
}

/// The error of an answer that is none of success, sorted by its code; the bare status where it states none.
pub(crate) fn refused(raw: &RawAnswer) -> RequestError {
    let refused = members(raw).ok().and_then(|members| refusal(&members));
    refused.map_or_else(
        || RequestError::Misconfigured { error: format!("HTTP {}", raw.status), description: None },
        |refused| classify(refused, raw),
    )
}

fn read_success(raw: &RawAnswer, separator: ScopeSeparator) -> Result<TokenAnswer, RequestError> {
    let in_doubt =
        |what: &str| RequestError::InDoubt { detail: format!("HTTP {} with {what}", raw.status) };
    let mut members = members(raw).map_err(in_doubt)?;
    let written = members.remove("access_token");
    if let Some(access_token) = written.as_ref().and_then(readable_token) {
        return Ok(answer(access_token, members, separator));
    }
    if let Some(refused) = refusal(&members) {
        return Err(classify(refused, raw));
    }
    Err(match written {
        None => in_doubt("JSON without access_token"),
        Some(other) => in_doubt(&format!("an access_token that is {}", other.kind())),
    })
}

/// A string that is not blank, or the digits of a whole number.
///
/// U+FFFD stands for bytes that were not UTF-8: a token holding it is not the one that was sent.
fn readable_token(member: &Member) -> Option<Secret> {
    let text = match member {
        Member::Number(written) => {
            Some(written.as_str()).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        }
        other => other.text(),
    };
    text.filter(|text| !text.contains('\u{fffd}')).map(Secret::from)
}

fn answer(access_token: Secret, mut members: Members, separator: ScopeSeparator) -> TokenAnswer {
    let mut take = |name: &str| members.remove(name);
    let mut answer = TokenAnswer {
        access_token,
        token_type: take("token_type").and_then(|member| member.text().map(str::to_owned)),
        scope: take("scope").and_then(|member| scopes(&member, separator)),
        expires_in: take("expires_in").and_then(|member| lifetime(&member)),
        expires_at: take("expires_at").and_then(|member| number(&member)),
        refresh_token: take("refresh_token").as_ref().and_then(readable_token),
        id_token: take("id_token").and_then(|member| member.text().map(Secret::from)),
        extra: serde_json::Map::new(),
    };
    members.retain(|name, _| !is_credential(name));
    for (name, member) in members {
        if let Some(mut value) = member.into_value() {
            strip_credentials(&mut value);
            answer.extra.insert(name, value);
        }
    }
    // As for `expires_in`, zero says that nothing is stated.
    answer.expires_at = answer.expires_at.filter(|at| *at != 0.0);
    answer
}

/// The scopes of a string or a list of strings; `None` if there is none.
fn scopes(member: &Member, separator: ScopeSeparator) -> Option<Vec<String>> {
    let parts_scopes =
        |c: char| c.is_whitespace() || (separator == ScopeSeparator::Comma && c == ',');
    let scopes: Vec<String> = match member {
        Member::Nested(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).map(|scope| scope.trim().to_owned()).collect()
        }
        other => other.text()?.split(parts_scopes).map(str::to_owned).collect(),
    };
    let scopes: Vec<String> = scopes.into_iter().filter(|scope| !scope.is_empty()).collect();
    (!scopes.is_empty()).then_some(scopes)
}

/// Whole seconds, rounded down and held at the ends of the range.
///
/// Zero is "not stated", as Flet and Go's oauth2 package read it. So is anything that is no number:
/// a token of unknown lifetime is better than none.
fn lifetime(member: &Member) -> Option<i64> {
    let text = numeric(member)?;
    let seconds = text.parse::<i64>().ok().or_else(|| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "held at the ends of the range, as said"
        )]
        text.parse::<f64>().ok().map(|seconds| seconds.floor() as i64)
    });
    seconds.filter(|seconds| *seconds != 0)
}

fn number(member: &Member) -> Option<f64> {
    numeric(member)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The text of a number or of a string that may be one; never the words for infinity and NaN.
fn numeric(member: &Member) -> Option<&str> {
    let text = match member {
        Member::Number(written) => written,
        other => other.text()?.trim(),
    };
    let plain = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
    text.chars().all(plain).then_some(text)
}

/// True for the name of a member that holds a credential, such as `bot_access_token`.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("token") || name.ends_with("secret")
}

/// Removes members that hold credentials, however deep: `extra` is plain data that may be printed.
fn strip_credentials(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !is_credential(name));
            members.values_mut().for_each(strip_credentials);
        }
        Value::Array(entries) => entries.iter_mut().for_each(strip_credentials),
        _ => {}
    }
}
