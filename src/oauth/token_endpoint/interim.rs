//! Reads the plainest of token answers, until the lenient reader takes its place.

use serde_json::{Map, Value};

use crate::model::Secret;
use crate::oauth::{RawAnswer, RequestError, ScopeSeparator, TokenAnswer};

/// Reads a JSON object with an `access_token`; anything else is in doubt.
pub(crate) fn read(
    raw: &RawAnswer,
    separator: ScopeSeparator,
) -> Result<TokenAnswer, RequestError> {
    let doubt = || RequestError::InDoubt { detail: format!("HTTP {}", raw.status) };
    if raw.status == 429 {
        return Err(RequestError::Busy { status: raw.status, retry_after: raw.retry_after });
    }
    let mut answer: Map<String, Value> = serde_json::from_slice(&raw.body).map_err(|_| doubt())?;
    let mut text = |name: &str| match answer.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    if let Some(error) = text("error") {
        let description = text("error_description");
        return Err(RequestError::Rejected { error, description });
    }
    let parting = match separator {
        ScopeSeparator::Space => ' ',
        ScopeSeparator::Comma => ',',
    };
    Ok(TokenAnswer {
        access_token: text("access_token").map(Secret::from).ok_or_else(doubt)?,
        token_type: text("token_type"),
        scope: text("scope").map(|scope| scope.split(parting).map(str::to_owned).collect()),
        refresh_token: text("refresh_token").map(Secret::from),
        id_token: text("id_token").map(Secret::from),
        expires_in: answer.remove("expires_in").and_then(|value| value.as_i64()),
        expires_at: None,
        extra: answer,
    })
}
