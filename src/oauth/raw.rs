//! An answer as it came from the wire, before it was read.

use std::time::Duration;

use bytes::Bytes;

use crate::oauth::{RequestError, TokenAnswer};

/// A token endpoint's answer, unread.
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The provider's `Retry-After`, if it sent one.
    pub retry_after: Option<Duration>,
    /// The `Content-Type`, if it sent one.
    pub content_type: Option<String>,
    /// The body, at most as much as was read.
    pub body: Bytes,
}

/// What parts one scope from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeSeparator {
    /// White space (RFC 6749 §3.3).
    Space,
    /// A comma, as GitHub and Slack write it.
    Comma,
}

/// Reads an answer.
///
/// # Errors
///
/// [`RequestError`] where it carries no access token.
pub fn read_answer(
    raw: &RawAnswer,
    separator: ScopeSeparator,
) -> Result<TokenAnswer, RequestError> {
    crate::oauth::answer::read(raw, separator)
}
