//! What a node can be asked, and what it replies.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of input.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    /// Comes back with the reply.
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) ask: Ask,
}

/// What is asked. Sessions are named without their tenant: a fleet has one.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Ask {
    /// Make a session from a saved token.
    Restore { session: String, provider: String, saved: String },
    /// Begin a login; replies the address to visit.
    BeginLogin { session: String, provider: String, user: Option<String> },
    /// Finish a login.
    Complete { query: String },
    /// Ask for a token.
    Token {
        session: String,
        min_validity_ms: Option<u64>,
        #[serde(default)]
        force: bool,
        deadline_ms: Option<u64>,
    },
    /// Report that the provider refused the token of that version.
    Report { session: String, version: u64 },
    /// Forget a session.
    Delete { session: String },
    /// Tell how a session stands in the store.
    Describe { session: String },
    /// Start callers that read random sessions all the time.
    Readers(ReadersAsked),
    /// Tell what the readers met so far; with `reset`, count from here on anew.
    Stats {
        #[serde(default)]
        reset: bool,
    },
    /// Tell whether the node is ready for work, and what an operator should know.
    Readiness {},
    /// Stop in good order.
    Shutdown {},
}

/// Callers and what they read: the sessions `{prefix}{first}` to `{prefix}{first + count - 1}`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ReadersAsked {
    pub(super) prefix: String,
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) callers: u64,
    /// How long; for ever if it is left out.
    pub(super) seconds: Option<u64>,
    /// How long each caller pauses after a read.
    #[serde(default)]
    pub(super) pause_ms: u64,
    /// Which sessions are read when.
    #[serde(default)]
    pub(super) seed: u64,
}

/// One line of output.
#[derive(Debug, Serialize)]
pub(super) struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Ready(u32),
    Ok(Value),
    Error(Refusal),
}

/// Why something did not succeed.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    /// A word to compare, such as `unavailable.store`.
    pub(super) kind: &'static str,
    /// For people.
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_ms: Option<u64>,
}

impl Reply {
    pub(super) fn ready() -> Self {
        Self { id: None, content: Content::Ready(std::process::id()) }
    }

    pub(super) fn to(id: u64, outcome: Result<Value, Refusal>) -> Self {
        Self { id: Some(id), content: outcome.map_or_else(Content::Error, Content::Ok) }
    }

    /// Never quotes the line: it may hold a saved token.
    pub(super) fn not_understood(error: &serde_json::Error) -> Self {
        let message = format!("a line is not a request ({:?})", error.classify());
        let refusal = Refusal { kind: "not_understood", message, retry_after_ms: None };
        Self { id: None, content: Content::Error(refusal) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, Line};

    #[test]
    fn a_line_names_its_operation_and_what_that_needs() {
        let line: Line = serde_json::from_str(r#"{"id":7,"op":"token","session":"s"}"#).unwrap();

        assert!(matches!(line, Line { id: 7, ask: Ask::Token { force: false, .. } }));
        assert!(serde_json::from_str::<Line>(r#"{"id":7,"op":"token"}"#).is_err());
        assert!(serde_json::from_str::<Line>(r#"{"op":"shutdown"}"#).is_err());
    }
}
