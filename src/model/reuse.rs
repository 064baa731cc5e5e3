//! What a provider does with a refresh token that is presented twice.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A provider's reuse class: the one fact that decides how patient we must be when an exchange's
/// outcome is unknown. An unknown provider is [`ReuseClass::Revoking`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReuseClass {
    /// N: the refresh token never changes.
    NonRotating,
    /// M: each refresh gives a new one, old ones stay valid.
    Multiple,
    /// I: a replay returns the same new pair.
    Idempotent,
    /// G: a replay is allowed for this long, and family revocation follows after it.
    Grace(Duration),
    /// S: single use; a replay is rejected and nothing else happens.
    SingleUse,
    /// R: single use; a replay revokes the whole family.
    #[default]
    Revoking,
}

impl ReuseClass {
    /// Its letter, as `docs/ARCHITECTURE.md` has it.
    pub fn letter(self) -> char {
        match self {
            Self::NonRotating => 'N',
            Self::Multiple => 'M',
            Self::Idempotent => 'I',
            Self::Grace(_) => 'G',
            Self::SingleUse => 'S',
            Self::Revoking => 'R',
        }
    }

    /// Whether the store's copies must know of an exchange before its request is sent: where a second
    /// presentation can end the session, a failover must not forget that the first is under way.
    pub fn wants_confirmation(self) -> bool {
        !matches!(self, Self::NonRotating | Self::Multiple)
    }

    /// Whether an exchange may only begin where its answer will surely be written down: nothing brings a
    /// lost one back.
    pub fn needs_journal(self) -> bool {
        matches!(self, Self::SingleUse | Self::Revoking)
    }

    /// Most provider calls for one generation while outcomes are in doubt.
    pub fn max_tries(self) -> u32 {
        match self {
            Self::NonRotating | Self::Multiple | Self::Idempotent => 4,
            Self::Grace(_) | Self::SingleUse => 3,
            Self::Revoking => 2,
        }
    }
}

impl fmt::Display for ReuseClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grace(window) => write!(f, "G:{}", window.as_secs()),
            other => write!(f, "{}", other.letter()),
        }
    }
}

impl FromStr for ReuseClass {
    type Err = UnknownReuseClass;

    /// Reads `N`, `M`, `I`, `G` (30 s), `G:<seconds>`, `S` or `R`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownReuseClass(text.chars().take(32).collect());
        match text {
            "N" | "n" => Ok(Self::NonRotating),
            "M" | "m" => Ok(Self::Multiple),
            "I" | "i" => Ok(Self::Idempotent),
            "G" | "g" => Ok(Self::Grace(Duration::from_secs(30))),
            "S" | "s" => Ok(Self::SingleUse),
            "R" | "r" => Ok(Self::Revoking),
            _ => {
                let seconds = text.strip_prefix("G:").or_else(|| text.strip_prefix("g:"));
                let seconds = seconds.and_then(|s| s.parse().ok()).ok_or_else(unknown)?;
                Ok(Self::Grace(Duration::from_secs(seconds)))
            }
        }
    }
}

/// Text that names no reuse class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reuse class {0:?}; use N, M, I, G, G:<seconds>, S or R")]
pub struct UnknownReuseClass(String);

#[cfg(test)]
mod tests {
    use super::ReuseClass;

    #[test]
    fn every_class_reads_back_from_its_text() {
        for text in ["N", "M", "I", "G:45", "S", "R"] {
            assert_eq!(text.parse::<ReuseClass>().unwrap().to_string(), text);
        }
        assert!("X".parse::<ReuseClass>().is_err());
        assert!("G:-1".parse::<ReuseClass>().is_err());
    }
}
