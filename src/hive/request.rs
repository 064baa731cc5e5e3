//! What a caller may ask of a token beyond "any valid one".

use std::time::Duration;

/// How long a caller waits unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(15);

/// Conditions on a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRequest {
    pub(crate) min_validity: Duration,
    pub(crate) newest: bool,
    /// The version a caller met a 401 with.
    pub(crate) instead_of: Option<u64>,
    pub(crate) deadline: Duration,
}

impl TokenRequest {
    /// Any valid token, within 15 s.
    pub fn new() -> Self {
        Self { min_validity: Duration::ZERO, newest: false, instead_of: None, deadline: DEADLINE }
    }

    /// The token must live at least this long. A token that was refreshed for this request is handed
    /// out even if the provider gave it a shorter life.
    #[must_use]
    pub fn min_validity(mut self, span: Duration) -> Self {
        self.min_validity = span;
        self
    }

    /// The token must be newer than the one that stands now: it is refreshed whatever its age.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.newest = true;
        self
    }

    /// The provider's API refuses the token of that version.
    pub(crate) fn instead_of(mut self, version: u64) -> Self {
        self.instead_of = Some(version);
        self
    }

    /// How long the caller waits. Giving up never cancels the refresh.
    #[must_use]
    pub fn deadline(mut self, span: Duration) -> Self {
        self.deadline = span;
        self
    }
}

impl Default for TokenRequest {
    fn default() -> Self {
        Self::new()
    }
}
