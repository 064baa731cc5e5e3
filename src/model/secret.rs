//! A credential in memory: redacted when printed, wiped when dropped, readable only on purpose.

use std::fmt;

use zeroize::Zeroizing;

/// A token, client secret, code or verifier.
///
/// It has no `Display` and no `Serialize`, prints as `Secret([redacted])`, and its memory is
/// overwritten when it is dropped. [`Secret::expose`] is the one way to read it, so that every
/// place that does can be found by searching for that word.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Wraps `text`, taking over its memory.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Reads the environment variable `name`.
    ///
    /// # Errors
    ///
    /// [`SecretEnvError`] if the variable is absent, empty, or not UTF-8.
    pub fn from_env(name: &str) -> Result<Self, SecretEnvError> {
        match std::env::var(name) {
            Ok(text) if !text.is_empty() => Ok(Self::new(text)),
            Ok(_) => Err(SecretEnvError::Empty(name.to_owned())),
            Err(std::env::VarError::NotPresent) => Err(SecretEnvError::Absent(name.to_owned())),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(SecretEnvError::NotUnicode(name.to_owned()))
            }
        }
    }

    /// The credential itself. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True for the empty string, which no provider means as a credential.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl PartialEq for Secret {
    /// Compares without stopping at the first difference, so that timing says nothing about content.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Why a secret could not be read from the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretEnvError {
    /// The variable is not set.
    #[error("environment variable {0} is not set; export it before starting")]
    Absent(String),
    /// The variable is set to nothing.
    #[error("environment variable {0} is empty; give it the secret's value")]
    Empty(String),
    /// The variable holds bytes that are not UTF-8.
    #[error("environment variable {0} is not valid UTF-8")]
    NotUnicode(String),
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing_of_the_content() {
        let shown = format!("{:?} {:#?}", Secret::new("hunter2"), Some(Secret::new("hunter2")));

        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn equality_compares_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
    }
}
