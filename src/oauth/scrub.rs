//! Takes a provider's own words out of an error that repeats a secret: they are logged, shown, and kept
//! in the open.

use crate::model::Secret;
use crate::oauth::Provider;

/// This much of a secret, in characters, is looked for in what a provider says.
const SECRET_BEGINNING: usize = 16;

/// Anything shorter is no secret, and stands in ordinary words by chance.
const SHORTEST_SECRET: usize = 5;

/// The secrets of one request.
pub(super) struct Scrub {
    /// The words may have been cut short, so that the beginning of a secret counts as well.
    beginnings: Vec<String>,
}

impl Scrub {
    /// Looks for what was `sent`, and for the client's secret.
    pub(super) fn new(provider: &Provider, sent: &[&Secret]) -> Self {
        let secrets = sent.iter().copied().chain(provider.client_secret());
        let beginnings = secrets
            .map(|secret| secret.expose().chars().take(SECRET_BEGINNING).collect())
            .filter(|beginning: &String| beginning.len() >= SHORTEST_SECRET)
            .collect();
        Self { beginnings }
    }

    /// The error code, or words in its place.
    pub(super) fn code(&self, error: String) -> String {
        if self.is_repeated_in(&error) {
            "an error that repeats a secret".to_owned()
        } else {
            error
        }
    }

    /// The description, if it may be told.
    pub(super) fn description(&self, description: Option<String>) -> Option<String> {
        description.filter(|text| !self.is_repeated_in(text))
    }

    fn is_repeated_in(&self, text: &str) -> bool {
        self.beginnings.iter().any(|beginning| text.contains(beginning.as_str()))
    }
}
