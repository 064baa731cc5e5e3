//! Flet's saved form of a token, read and written byte for byte.

use std::fmt::{self, Write};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::model::oauth_token::seconds::{NEVER, decimal, python_repr};
use crate::model::{OAuthToken, Scope, Seconds, Secret};

/// Largest saved token that is read, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// Longest part of an unknown field's name that an error repeats, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The names of the fields, in the order they are written in.
pub(super) const FIELDS: [&str; 6] =
    ["access_token", "scope", "token_type", "expires_in", "expires_at", "refresh_token"];

/// Why a saved token could not be read. Says which field is at fault, never what it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedTokenError {
    /// The text is longer than 256 KiB.
    #[error("saved token has {bytes} bytes; at most {MAX_BYTES} are read, so check what was saved")]
    TooLarge {
        /// Its length as given.
        bytes: usize,
    },
    /// The text is not JSON.
    #[error(
        "saved token is not JSON (line {line}, column {column}); \
         pass what `to_json` returned, decrypted if it was saved encrypted"
    )]
    NotJson {
        /// The line of the fault, counted from 1.
        line: usize,
        /// The column of the fault, counted from 1.
        column: usize,
    },
    /// The text is JSON, but not an object.
    #[error("saved token is JSON, but not an object; pass what `to_json` returned")]
    NotAnObject,
    /// The object has a field no saved token has.
    #[error(
        "saved token has an unknown field {name:?}; remove it, or pass what `to_json` returned"
    )]
    UnknownField {
        /// The first 64 characters of its name.
        name: String,
    },
    /// There is no `access_token`.
    #[error("saved token has no access_token; log in again and save the new token")]
    AccessTokenMissing,
    /// The `access_token` is null or the empty string.
    #[error("saved token has an empty access_token; log in again and save the new token")]
    AccessTokenEmpty,
    /// A field holds another type of value than it should.
    #[error("saved token's {field} is {found}; it must be {expected}")]
    WrongType {
        /// The field's name.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A time is a string that is no number.
    #[error("saved token's {field} is text that is no number; write seconds, or \"inf\" for never")]
    NotANumber {
        /// The field's name.
        field: &'static str,
    },
    /// A time is a number beyond 64-bit integers and finite floats.
    #[error("saved token's {field} is out of range; write seconds that fit 64 bits")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
    },
    /// A field holds half a surrogate pair, which is no character.
    #[error("saved token's {field} holds half a surrogate pair; write whole characters")]
    NotUnicode {
        /// The field's name.
        field: &'static str,
    },
}

impl OAuthToken {
    /// The token as Flet's `OAuthToken.to_json` writes it.
    ///
    /// **The text holds the access and the refresh token**: encrypt it before it is stored, and keep
    /// it out of logs.
    ///
    /// Compact, in a fixed order, absent fields left out, everything outside printable ASCII escaped,
    /// floats as Python's `repr`, infinity as `"inf"`. The two other values Python has no JSON for,
    /// NaN and minus infinity, are written as the lowest float: a token nobody may take for valid.
    pub fn to_json(&self) -> String {
        let refresh_bytes = self.refresh_token.as_ref().map_or(0, |token| token.expose().len());
        let mut out = String::with_capacity(self.access_token.expose().len() + refresh_bytes + 256);
        out.push_str("{\"access_token\":");
        push_text(&mut out, self.access_token.expose());
        match &self.scope {
            None => {}
            Some(Scope::Text(text)) => {
                out.push_str(",\"scope\":");
                push_text(&mut out, text);
            }
            Some(Scope::List(list)) => push_list(&mut out, list),
        }
        if let Some(token_type) = &self.token_type {
            out.push_str(",\"token_type\":");
            push_text(&mut out, token_type);
        }
        push_seconds(&mut out, "expires_in", self.expires_in.as_ref());
        push_seconds(&mut out, "expires_at", self.expires_at.as_ref());
        if let Some(refresh_token) = &self.refresh_token {
            out.push_str(",\"refresh_token\":");
            push_text(&mut out, refresh_token.expose());
        }
        out.push('}');
        out
    }

    /// Reads what Flet's `OAuthToken.to_json` wrote, in any version of Flet.
    ///
    /// Older versions wrote `expires_at` as a float, hand-made files hold numbers as text or scopes
    /// as one string: each is kept in the form it came in, so that [`OAuthToken::to_json`] gives it
    /// back. As in Python, the last of several equal names counts, and an unknown name is an error.
    ///
    /// Some things Flet reads are refused, because they hide a fault until a token is used:
    ///
    /// * `access_token` null, empty or not a string;
    /// * other fields of the wrong type, such as `expires_in: true` or a scope list holding null;
    /// * times as text that is no number, except `"inf"`;
    /// * numbers beyond 64-bit integers and finite floats, and the names `NaN` and `Infinity`;
    /// * half a surrogate pair such as `"\ud800"`, and more than 256 KiB.
    ///
    /// # Errors
    ///
    /// [`SavedTokenError`] names the fault and, where there is one, the field.
    pub fn from_json(saved: &str) -> Result<Self, SavedTokenError> {
        if saved.len() > MAX_BYTES {
            return Err(SavedTokenError::TooLarge { bytes: saved.len() });
        }
        Self::from_own_json(saved)
    }

    /// As [`OAuthToken::from_json`], of any length: what a provider gave was stored, and must be read.
    pub(crate) fn from_own_json(saved: &str) -> Result<Self, SavedTokenError> {
        let mut raw = parse_members(saved)?;
        let [access_token, scope, token_type, expires_in, expires_at, refresh_token] =
            FIELDS.map(|field| Member { field, value: raw.take(field) });
        if access_token.value.is_none() {
            return Err(SavedTokenError::AccessTokenMissing);
        }
        let access_token = access_token.text()?.filter(|token| !token.is_empty());
        Ok(Self {
            access_token: access_token.ok_or(SavedTokenError::AccessTokenEmpty)?.into(),
            scope: scope.scope()?,
            token_type: token_type.text()?,
            expires_in: expires_in.seconds()?,
            expires_at: expires_at.seconds()?,
            refresh_token: refresh_token.text()?.map(Secret::from),
        })
    }
}

fn push_list(out: &mut String, list: &[String]) {
    out.push_str(",\"scope\":[");
    for (index, entry) in list.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_text(out, entry);
    }
    out.push(']');
}

fn push_seconds(out: &mut String, field: &str, seconds: Option<&Seconds>) {
    let Some(seconds) = seconds else { return };
    out.push_str(",\"");
    out.push_str(field);
    out.push_str("\":");
    match seconds {
        Seconds::Int(value) => out.push_str(&value.to_string()),
        Seconds::Text(text) => push_text(out, text),
        Seconds::Float(f64::INFINITY) => push_text(out, NEVER),
        // `max` also takes the place of NaN, which compares with nothing.
        Seconds::Float(value) => out.push_str(&python_repr(value.max(f64::MIN))),
    }
}

/// Quotes `text` as Python's `json.dumps` does: pure ASCII, and only what must be escaped is.
fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail");
                }
            }
        }
    }
    out.push('"');
}

/// The members of the object, their values still as they were written.
///
/// Numbers are read from their own text later on: it tells integers from floats, and Rust's parser
/// rounds floats correctly, where `serde_json`'s may be off by the last digit.
#[derive(Default)]
struct Members<'a> {
    values: [Option<&'a RawValue>; FIELDS.len()],
    unknown: Option<String>,
}

impl<'a> Members<'a> {
    fn take(&mut self, field: &str) -> Option<&'a RawValue> {
        let index = FIELDS.iter().position(|name| *name == field)?;
        self.values[index].take()
    }
}

fn parse_members(saved: &str) -> Result<Members<'_>, SavedTokenError> {
    let mut parser = serde_json::Deserializer::from_str(saved);
    let parsed = parser.deserialize_map(MembersVisitor);
    let members = parsed.and_then(|members| parser.end().map(|()| members)).map_err(|fault| {
        match fault.classify() {
            Category::Data => SavedTokenError::NotAnObject,
            _ => SavedTokenError::NotJson { line: fault.line(), column: fault.column() },
        }
    })?;
    match members.unknown {
        Some(name) => Err(SavedTokenError::UnknownField { name }),
        None => Ok(members),
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a saved token")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            match FIELDS.iter().position(|field| *field == name) {
                Some(index) => members.values[index] = Some(value),
                None => {
                    members.unknown = Some(name.chars().take(MAX_NAME_CHARS).collect());
                }
            }
        }
        Ok(members)
    }
}

/// One field and what stands there; `None` for an absent field.
struct Member<'a> {
    field: &'static str,
    value: Option<&'a RawValue>,
}

impl Member<'_> {
    /// What was written, absent for null.
    fn written(&self) -> Option<&str> {
        self.value.map(RawValue::get).filter(|text| *text != "null")
    }

    fn text(&self) -> Result<Option<String>, SavedTokenError> {
        self.written().map(|written| self.read(written, "a string")).transpose()
    }

    fn scope(&self) -> Result<Option<Scope>, SavedTokenError> {
        const EXPECTED: &str = "a list of strings, or a string";
        let Some(written) = self.written() else { return Ok(None) };
        if written.starts_with('[') {
            return Ok(Some(Scope::List(self.read(written, EXPECTED)?)));
        }
        Ok(Some(Scope::Text(self.read(written, EXPECTED)?)))
    }

    fn seconds(&self) -> Result<Option<Seconds>, SavedTokenError> {
        const EXPECTED: &str = "a number of seconds";
        let Some(written) = self.written() else { return Ok(None) };
        if !written.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
            let text: String = self.read(written, EXPECTED)?;
            if text != NEVER {
                let number =
                    decimal(&text).ok_or(SavedTokenError::NotANumber { field: self.field })?;
                self.in_range(number)?;
            }
            return Ok(Some(Seconds::Text(text)));
        }
        if let Ok(integer) = written.parse() {
            return Ok(Some(Seconds::Int(integer)));
        }
        if !written.contains(['.', 'e', 'E']) {
            return Err(SavedTokenError::OutOfRange { field: self.field });
        }
        let number = decimal(written).ok_or(SavedTokenError::NotANumber { field: self.field })?;
        Ok(Some(Seconds::Float(self.in_range(number)?)))
    }

    fn in_range(&self, number: f64) -> Result<f64, SavedTokenError> {
        let out_of_range = SavedTokenError::OutOfRange { field: self.field };
        number.is_finite().then_some(number).ok_or(out_of_range)
    }

    /// Reads `written` as a `T`. The parser's own message is dropped: it may quote the content.
    fn read<T: for<'de> serde::Deserialize<'de>>(
        &self,
        written: &str,
        expected: &'static str,
    ) -> Result<T, SavedTokenError> {
        serde_json::from_str(written).map_err(|fault| match fault.classify() {
            Category::Data => {
                SavedTokenError::WrongType { field: self.field, expected, found: kind(written) }
            }
            _ => SavedTokenError::NotUnicode { field: self.field },
        })
    }
}

/// What kind of JSON value `written` is, for people.
fn kind(written: &str) -> &'static str {
    match written.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}
