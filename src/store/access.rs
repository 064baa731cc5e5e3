//! An access token and what was said about it, as it is sealed.
//!
//! A store keeps one for every session, so it is written without the names that Flet's saved form
//! repeats: one format byte, then postcard. It opens as that form would: `to_json` gives the same bytes.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{OAuthToken, Scope, Seconds, Secret};

/// Changes with every change to a type below; a test fails when one changes without it.
const FORMAT: u8 = 1;

/// What Flet's saved form begins with, in which tokens were sealed before there was a form of our own.
const SAVED_FORM: u8 = b'{';

/// The plain text of `token`, all but its refresh token.
pub(crate) fn to_plain(token: &OAuthToken) -> Zeroizing<Vec<u8>> {
    let written = Written::of(token);
    // All memory is taken at once: a vector that grows leaves the token behind in its old places.
    let Length(length) = postcard::to_extend(&written, Length(1)).expect("it is only counted");
    let mut plain = Zeroizing::new(vec![FORMAT; length]);
    postcard::to_slice(&written, &mut plain[1..]).expect("it has the length that was counted");
    plain
}

/// Reads what [`to_plain`] wrote, or Flet's saved form; `None` if it is neither.
pub(crate) fn from_plain(plain: &[u8]) -> Option<OAuthToken> {
    match plain.split_first()? {
        (&FORMAT, rest) => match postcard::take_from_bytes::<Written<'_>>(rest) {
            Ok((written, [])) => Some(written.into_token()),
            _ => None,
        },
        (&SAVED_FORM, _) => OAuthToken::from_own_json(std::str::from_utf8(plain).ok()?).ok(),
        _ => None,
    }
}

/// The written form. It borrows, so that no copy of the token is made on the way.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    access_token: &'a str,
    #[serde(borrow)]
    kind: WrittenKind<'a>,
    #[serde(borrow)]
    scope: WrittenScope<'a>,
    #[serde(borrow)]
    expires_in: WrittenSeconds<'a>,
    #[serde(borrow)]
    expires_at: WrittenSeconds<'a>,
}

/// The token type: one byte for what nearly every provider says.
#[derive(Serialize, Deserialize)]
enum WrittenKind<'a> {
    Unstated,
    Bearer,
    LowerCaseBearer,
    Other(&'a str),
}

#[derive(Serialize, Deserialize)]
enum WrittenScope<'a> {
    Unstated,
    #[serde(borrow)]
    List(Vec<&'a str>),
    Text(&'a str),
}

/// Keeps a float's bits and a text's characters: both are written back as they came.
#[derive(Serialize, Deserialize)]
enum WrittenSeconds<'a> {
    Unstated,
    Int(i64),
    Float(f64),
    Text(&'a str),
}

impl<'a> Written<'a> {
    fn of(token: &'a OAuthToken) -> Self {
        Self {
            access_token: token.access_token.expose(),
            kind: match token.token_type.as_deref() {
                None => WrittenKind::Unstated,
                Some("Bearer") => WrittenKind::Bearer,
                Some("bearer") => WrittenKind::LowerCaseBearer,
                Some(other) => WrittenKind::Other(other),
            },
            scope: match &token.scope {
                None => WrittenScope::Unstated,
                Some(Scope::List(list)) => {
                    WrittenScope::List(list.iter().map(String::as_str).collect())
                }
                Some(Scope::Text(text)) => WrittenScope::Text(text),
            },
            expires_in: WrittenSeconds::of(token.expires_in.as_ref()),
            expires_at: WrittenSeconds::of(token.expires_at.as_ref()),
        }
    }

    fn into_token(self) -> OAuthToken {
        OAuthToken {
            access_token: Secret::from(self.access_token),
            scope: match self.scope {
                WrittenScope::Unstated => None,
                WrittenScope::List(list) => {
                    Some(Scope::List(list.into_iter().map(str::to_owned).collect()))
                }
                WrittenScope::Text(text) => Some(Scope::Text(text.to_owned())),
            },
            token_type: match self.kind {
                WrittenKind::Unstated => None,
                WrittenKind::Bearer => Some("Bearer".to_owned()),
                WrittenKind::LowerCaseBearer => Some("bearer".to_owned()),
                WrittenKind::Other(other) => Some(other.to_owned()),
            },
            expires_in: self.expires_in.into_seconds(),
            expires_at: self.expires_at.into_seconds(),
            refresh_token: None,
        }
    }
}

impl<'a> WrittenSeconds<'a> {
    fn of(seconds: Option<&'a Seconds>) -> Self {
        match seconds {
            None => Self::Unstated,
            Some(Seconds::Int(value)) => Self::Int(*value),
            Some(Seconds::Float(value)) => Self::Float(*value),
            Some(Seconds::Text(text)) => Self::Text(text),
        }
    }

    fn into_seconds(self) -> Option<Seconds> {
        match self {
            Self::Unstated => None,
            Self::Int(value) => Some(Seconds::Int(value)),
            Self::Float(value) => Some(Seconds::Float(value)),
            Self::Text(text) => Some(Seconds::Text(text.to_owned())),
        }
    }
}

/// Counts what is written to it, and keeps none of it.
struct Length(usize);

impl Extend<u8> for Length {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        self.0 += bytes.into_iter().count();
    }
}

#[cfg(test)]
mod tests;
