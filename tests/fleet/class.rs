//! The reuse classes a fleet is tested with: what the node is told, and how the provider behaves.

use std::time::Duration;

use tokenhive::simulator::{ReuseBehaviour, SimulatorOptions};

/// A grace period that outlasts every disturbance of a test, so that a retry always falls into it.
const GRACE_SECONDS: u64 = 60;

/// A reuse class, by its letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    N,
    M,
    I,
    G,
    S,
    R,
}

impl Class {
    pub const ALL: [Self; 6] = [Self::N, Self::M, Self::I, Self::G, Self::S, Self::R];

    pub fn from_letter(letter: &str) -> Self {
        let found = Self::ALL.into_iter().find(|class| class.letter() == letter);
        found.unwrap_or_else(|| panic!("{letter:?} is no reuse class"))
    }

    /// What its sessions' names begin with.
    pub fn letter(self) -> &'static str {
        match self {
            Self::N => "N",
            Self::M => "M",
            Self::I => "I",
            Self::G => "G",
            Self::S => "S",
            Self::R => "R",
        }
    }

    /// The provider's id.
    pub fn id(self) -> String {
        format!("sim-{}", self.letter().to_lowercase())
    }

    /// What the node is told of the provider.
    pub fn told(self) -> String {
        match self {
            Self::G => format!("G:{GRACE_SECONDS}"),
            other => other.letter().to_owned(),
        }
    }

    pub fn behaviour(self) -> ReuseBehaviour {
        match self {
            Self::N => ReuseBehaviour::NonRotating,
            Self::M => ReuseBehaviour::Multiple,
            Self::I => ReuseBehaviour::Idempotent,
            Self::G => ReuseBehaviour::GraceAll { seconds: GRACE_SECONDS },
            Self::S => ReuseBehaviour::SingleUse,
            Self::R => ReuseBehaviour::Revoking,
        }
    }

    /// Most presentations of one refresh token, whatever goes wrong (promise P3).
    pub fn max_tries(self) -> u32 {
        match self {
            Self::N | Self::M | Self::I => 4,
            Self::G | Self::S => 3,
            Self::R => 2,
        }
    }

    /// Whether a lost answer can end a session (promise P5), or never does (P4).
    pub fn may_lose(self) -> bool {
        matches!(self, Self::S | Self::R)
    }

    /// A provider of this class; everything about a session is remembered.
    pub fn provider(self, lifetime: Duration, latency: Duration, seed: u64) -> SimulatorOptions {
        SimulatorOptions {
            reuse: self.behaviour(),
            kill_old_access_tokens: matches!(self, Self::S | Self::R),
            access_token_lifetime: lifetime,
            latency,
            tokens_per_family: 100_000,
            history: 10_000_000,
            seed,
            ..SimulatorOptions::strict()
        }
    }
}
