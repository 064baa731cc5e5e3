//! A body's members, whichever of the two encodings it came in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use url::form_urlencoded;

use crate::model::Secret;
use crate::oauth::RawAnswer;

/// The top-level members of a body by name; of repeated names the last.
pub(super) type Members = BTreeMap<String, Member>;

/// One member's value. Text is a [`Secret`] until it is known to be none.
pub(super) enum Member {
    /// A string, or any value of a form.
    Text(Secret),
    /// A number, as it was written: no digit is lost and none is too large.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// A list or an object.
    Nested(Value),
    /// A value that cannot be represented, such as half a surrogate pair.
    Unreadable,
}

impl Member {
    /// The text, if this is one and not blank.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.expose()).filter(|text| !text.trim().is_empty()),
            _ => None,
        }
    }

    /// What to call it in a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "blank or not UTF-8",
            Self::Number(_) => "no whole number",
            Self::Bool(_) => "true or false",
            Self::Null => "null",
            Self::Nested(_) => "a list or an object",
            Self::Unreadable => "unreadable",
        }
    }

    /// As a JSON value, where there is one.
    pub(super) fn into_value(self) -> Option<Value> {
        match self {
            Self::Text(text) => Some(Value::String(text.expose().to_owned())),
            Self::Number(written) => serde_json::from_str(&written).ok(),
            Self::Bool(value) => Some(Value::Bool(value)),
            Self::Null => Some(Value::Null),
            Self::Nested(value) => Some(value),
            Self::Unreadable => None,
        }
    }

    fn from_json(written: &RawValue) -> Self {
        let written = written.get();
        match written.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<String>(written)
                .map_or(Self::Unreadable, |text| Self::Text(text.into())),
            Some(b'{' | b'[') => {
                serde_json::from_str(written).map_or(Self::Unreadable, Self::Nested)
            }
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(written.to_owned()),
        }
    }
}

/// Reads the members of `raw`'s body, or says what the body is instead.
///
/// The content type is no more than a hint for that message: GitHub answers with a form unless it is
/// asked for JSON, and some providers label either as the other.
pub(super) fn members(raw: &RawAnswer) -> Result<Members, &'static str> {
    let text = decode(&raw.body);
    let text = text.trim();
    if text.is_empty() {
        return Err("an empty body");
    }
    match json_object(text) {
        Ok(members) => return Ok(members),
        Err(Category::Data) => return Err(kind_of_json(text)),
        Err(_) if text.starts_with('{') => return Err("malformed or truncated JSON"),
        Err(_) => {}
    }
    if let Some(members) = form(text) {
        return Ok(members);
    }
    let says_html = raw.content_type.as_deref().is_some_and(|kind| kind.contains("html"));
    if says_html || text.starts_with('<') {
        return Err("an HTML page");
    }
    Err("text that is neither JSON nor a form")
}

/// UTF-8 without its byte order mark. Foreign bytes become U+FFFD: a description in Latin-1 must not
/// hide the error code beside it.
fn decode(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

fn json_object(text: &str) -> Result<Members, Category> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let members = parser.deserialize_map(ObjectVisitor).map_err(|fault| fault.classify())?;
    parser.end().map_err(|fault| fault.classify())?;
    Ok(members)
}

fn kind_of_json(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'[') => "a JSON array",
        Some(b'n') => "JSON null",
        Some(b'"') => "a JSON string",
        _ => "JSON that is no object",
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            members.insert(name, Member::from_json(value));
        }
        Ok(members)
    }
}

/// The members of a form. Blank values count as absent (RFC 6749 §3.2: parameters without a value).
///
/// Text that merely holds `error=` somewhere, such as a page with links, is not taken for one: every
/// name must be a plain word.
fn form(text: &str) -> Option<Members> {
    let plain = |name: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        !name.is_empty() && name.chars().all(word)
    };
    let mut members = Members::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if !plain(&name) {
            return None;
        }
        if !value.trim().is_empty() {
            members.insert(name.into_owned(), Member::Text(value.into_owned().into()));
        }
    }
    (members.contains_key("access_token") || members.contains_key("error")).then_some(members)
}
