//! The name of one session: a tenant and the caller's own id for it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest tenant or session part, in bytes.
const MAX_PART_BYTES: usize = 256;

/// Parts the two names in memory; [`SessionKey::new`] refuses control characters, so no name holds it.
const SEPARATOR: char = '\u{1f}';

/// Which session: `tenant` is who the embedding server works for, `session` is chosen by the caller.
///
/// Both parts are 1 to 256 bytes of UTF-8 without control characters. A key is cheap to clone
/// (one shared allocation) and compares and hashes as one string.
#[derive(Clone)]
pub struct SessionKey(Arc<str>);

impl SessionKey {
    /// Parses a key from its two parts.
    ///
    /// # Errors
    ///
    /// [`SessionKeyError`] names the part that is empty, too long or holds a control character.
    pub fn new(tenant: impl AsRef<str>, session: impl AsRef<str>) -> Result<Self, SessionKeyError> {
        let (tenant, session) = (tenant.as_ref(), session.as_ref());
        check("tenant", tenant)?;
        check("session", session)?;
        let mut joined = String::with_capacity(tenant.len() + session.len() + 1);
        joined.push_str(tenant);
        joined.push(SEPARATOR);
        joined.push_str(session);
        Ok(Self(joined.into()))
    }

    /// Who the embedding server works for.
    pub fn tenant(&self) -> &str {
        self.parts().0
    }

    /// The caller's id for the session within its tenant.
    pub fn session(&self) -> &str {
        self.parts().1
    }

    /// Tenant and session, found by one look at the name.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.0.split_once(SEPARATOR).expect("every key was joined by it")
    }

    /// Both parts as one string, parted by a control character neither can hold.
    ///
    /// Stores use it as their key; [`SessionKey::from_joined`] reads it back.
    pub fn joined(&self) -> &str {
        &self.0
    }

    /// Reads back what [`SessionKey::joined`] gave.
    ///
    /// # Errors
    ///
    /// [`SessionKeyError`] if the text was not made by [`SessionKey::joined`].
    pub fn from_joined(joined: &str) -> Result<Self, SessionKeyError> {
        let (tenant, session) =
            joined.split_once(SEPARATOR).ok_or(SessionKeyError::Control { part: "session key" })?;
        Self::new(tenant, session)
    }
}

fn check(part: &'static str, text: &str) -> Result<(), SessionKeyError> {
    if text.is_empty() {
        return Err(SessionKeyError::Empty { part });
    }
    if text.len() > MAX_PART_BYTES {
        return Err(SessionKeyError::TooLong { part, bytes: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(SessionKeyError::Control { part });
    }
    Ok(())
}

impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for SessionKey {}

impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for SessionKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant(), self.session())
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({self})")
    }
}

/// Why a tenant or session name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionKeyError {
    /// The part is the empty string.
    #[error("{part} is empty; give it 1 to {MAX_PART_BYTES} bytes")]
    Empty {
        /// Which part: `tenant` or `session`.
        part: &'static str,
    },
    /// The part is longer than 256 bytes.
    #[error("{part} has {bytes} bytes; at most {MAX_PART_BYTES} are allowed")]
    TooLong {
        /// Which part: `tenant` or `session`.
        part: &'static str,
        /// Its length as given.
        bytes: usize,
    },
    /// The part holds a control character.
    #[error("{part} holds a control character; use printable characters only")]
    Control {
        /// Which part: `tenant` or `session`.
        part: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::{SessionKey, SessionKeyError};

    #[test]
    fn parts_come_back_as_given() {
        let key = SessionKey::new("acme", "user-é/42").unwrap();

        assert_eq!((key.tenant(), key.session()), ("acme", "user-é/42"));
        assert_eq!(SessionKey::from_joined(key.joined()).unwrap(), key);
        assert_eq!(key.to_string(), "acme/user-é/42");
    }

    #[test]
    fn parts_never_run_together() {
        assert_ne!(SessionKey::new("a", "bc").unwrap(), SessionKey::new("ab", "c").unwrap());
    }

    #[test]
    fn bad_parts_are_named() {
        assert_eq!(SessionKey::new("", "s"), Err(SessionKeyError::Empty { part: "tenant" }));
        assert_eq!(SessionKey::new("t", ""), Err(SessionKeyError::Empty { part: "session" }));
        assert_eq!(SessionKey::new("t", "s\n"), Err(SessionKeyError::Control { part: "session" }));
        assert_eq!(
            SessionKey::new("t", "\u{1f}"),
            Err(SessionKeyError::Control { part: "session" })
        );
        assert_eq!(
            SessionKey::new("t".repeat(257), "s"),
            Err(SessionKeyError::TooLong { part: "tenant", bytes: 257 })
        );
        assert!(SessionKey::new("t".repeat(256), "s").is_ok());
    }
}
