//! The name of a provider in configuration, records and messages.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A provider's short name, such as `github`: 1 to 64 of `a-z 0-9 - _ .`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Arc<str>);

impl ProviderId {
    /// Parses a provider id.
    ///
    /// # Errors
    ///
    /// [`ProviderIdError`] if it is empty, longer than 64 characters or holds any other character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, ProviderIdError> {
        let id = id.as_ref();
        let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
        if id.is_empty() || id.len() > 64 || !id.chars().all(allowed) {
            return Err(ProviderIdError(id.chars().take(64).collect()));
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for ProviderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProviderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderId({self})")
    }
}

/// A provider id that is not 1 to 64 of `a-z 0-9 - _ .`; holds its first 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider id {0:?} is not 1 to 64 of a-z, 0-9, '-', '_' and '.'")]
pub struct ProviderIdError(pub String);

#[cfg(test)]
mod tests {
    use super::ProviderId;

    #[test]
    fn only_short_plain_ids_are_accepted() {
        assert_eq!(ProviderId::new("github-2").unwrap().as_str(), "github-2");
        for bad in ["", "GitHub", "git hub", "a/b", "é", &"x".repeat(65)] {
            assert!(ProviderId::new(bad).is_err(), "{bad:?}");
        }
    }
}
