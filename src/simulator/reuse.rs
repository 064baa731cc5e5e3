//! The reuse classes the simulator can play, finer than what a client needs to know.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the simulated provider does with a refresh token presented again.
///
/// Text, JSON and the command line write it `N`, `M`, `I`, `G-all:30`, `G-last:30`, `S` or `R`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReuseBehaviour {
    /// N: the refresh token never changes.
    NonRotating,
    /// M: each refresh gives a new one, old ones stay valid.
    Multiple,
    /// I: a replay returns the same pair until the new refresh token is used; then it is rejected.
    Idempotent,
    /// G-all: for this long after its first use the immediately previous token mints another
    /// sibling, and all siblings stay live. Any other replay revokes the family (Auth0).
    GraceAll {
        /// Length of the grace period.
        seconds: u64,
    },
    /// G-last: as G-all, but each replay ends the refresh tokens of the siblings before it (WSO2).
    GraceLast {
        /// Length of the grace period.
        seconds: u64,
    },
    /// S: single use; a replay is rejected and nothing else happens.
    SingleUse,
    /// R: single use; a replay is rejected and revokes the whole family.
    #[default]
    Revoking,
}

impl fmt::Display for ReuseBehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonRotating => f.write_str("N"),
            Self::Multiple => f.write_str("M"),
            Self::Idempotent => f.write_str("I"),
            Self::GraceAll { seconds } => write!(f, "G-all:{seconds}"),
            Self::GraceLast { seconds } => write!(f, "G-last:{seconds}"),
            Self::SingleUse => f.write_str("S"),
            Self::Revoking => f.write_str("R"),
        }
    }
}

impl FromStr for ReuseBehaviour {
    type Err = UnknownReuseBehaviour;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let grace = |prefix| text.strip_prefix(prefix).and_then(|seconds| seconds.parse().ok());
        match text {
            "N" => Ok(Self::NonRotating),
            "M" => Ok(Self::Multiple),
            "I" => Ok(Self::Idempotent),
            "S" => Ok(Self::SingleUse),
            "R" => Ok(Self::Revoking),
            _ => {
                if let Some(seconds) = grace("G-all:") {
                    Ok(Self::GraceAll { seconds })
                } else if let Some(seconds) = grace("G-last:") {
                    Ok(Self::GraceLast { seconds })
                } else {
                    Err(UnknownReuseBehaviour(text.chars().take(32).collect()))
                }
            }
        }
    }
}

impl TryFrom<String> for ReuseBehaviour {
    type Error = UnknownReuseBehaviour;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ReuseBehaviour> for String {
    fn from(behaviour: ReuseBehaviour) -> Self {
        behaviour.to_string()
    }
}

/// Text that names no reuse behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reuse behaviour {0:?}; use N, M, I, G-all:<seconds>, G-last:<seconds>, S or R")]
pub struct UnknownReuseBehaviour(String);

#[cfg(test)]
mod tests {
    use super::ReuseBehaviour;

    #[test]
    fn every_behaviour_reads_back_from_its_text() {
        for text in ["N", "M", "I", "G-all:45", "G-last:0", "S", "R"] {
            assert_eq!(text.parse::<ReuseBehaviour>().unwrap().to_string(), text);
        }
        for text in ["", "X", "G", "G-all", "G-all:-1", "r"] {
            assert!(text.parse::<ReuseBehaviour>().is_err(), "{text}");
        }
    }
}
