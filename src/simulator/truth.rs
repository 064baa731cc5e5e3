//! The ground truth: what the provider really did, in the words of its own ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::simulator::token::Fingerprint;

/// Everything the simulator did since its start or last reset. Tokens appear as fingerprints only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroundTruth {
    /// Exact counts, however much history was forgotten.
    pub totals: Totals,
    /// One entry per login or minted session, oldest first; empty in a summary.
    pub families: Vec<FamilyHistory>,
    /// One entry per remembered refresh token; empty in a summary.
    pub tokens: Vec<TokenHistory>,
    /// What happened, in total order; empty in a summary.
    pub events: Vec<Event>,
    /// How many events are no longer in `events`.
    pub events_forgotten: u64,
}

impl GroundTruth {
    /// The history of the refresh token `token`, if it is remembered.
    pub fn token(&self, token: &str) -> Option<&TokenHistory> {
        let fingerprint = Fingerprint::of(token);
        self.tokens.iter().find(|history| history.fingerprint == fingerprint)
    }

    /// The families of `user`, oldest first.
    pub fn families_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a FamilyHistory> {
        self.families.iter().filter(move |family| family.user == user)
    }
}

/// Exact counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests to the token endpoint, whatever became of them.
    pub token_requests: u64,
    /// Those of them with `grant_type=refresh_token`.
    pub refresh_requests: u64,
    /// Those of them with `grant_type=authorization_code`.
    pub code_requests: u64,
    /// Authorization codes issued.
    pub codes_issued: u64,
    /// Authorization codes exchanged for tokens.
    pub codes_exchanged: u64,
    /// Authorization codes presented again after their exchange.
    pub codes_replayed: u64,
    /// Families opened by login or minted.
    pub families: u64,
    /// Refreshes that were no replay: one for each refresh token redeemed, or one for each refresh
    /// where tokens never change (N).
    pub redeemed_generations: u64,
    /// Refresh requests that ended in tokens, repeated answers included.
    pub redemptions: u64,
    /// Presentations of genuine refresh tokens, refused and not consumed ones included.
    pub presentations: u64,
    /// Presentations a fault turned away before anything was consumed.
    pub not_consumed: u64,
    /// Commits whose answer the client could not read or never got.
    pub answers_lost: u64,
    /// How many refresh tokens were presented how often; exact for remembered tokens.
    pub presentations_per_generation: BTreeMap<u32, u64>,
    /// `presentations / redeemed_generations`: 1.0 means every refresh took one call. 0 before the first.
    pub calls_per_refresh: f64,
    /// Replays answered with tokens (M, I, or within a grace period).
    pub replays_allowed: u64,
    /// Replays refused, whether or not the family fell with them.
    pub reuse_detected: u64,
    /// Families revoked, by reason.
    pub families_revoked: BTreeMap<RevocationReason, u64>,
    /// Requests to protected resources that were answered.
    pub access_accepted: u64,
    /// Requests to protected resources that were refused.
    pub access_refused: u64,
    /// Redirects the token endpoint answered with.
    pub redirects_sent: u64,
    /// Requests to the place it redirects to; anything but 0 is a client's fault.
    pub redirects_followed: u64,
    /// Answers by status, control requests left out.
    pub requests_by_status: BTreeMap<u16, u64>,
    /// Connections closed instead of an answer.
    pub connections_dropped: u64,
    /// Most token requests in progress at one time.
    pub max_concurrent_token_requests: u64,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<String, u64>,
}

/// What the provider did with a grant presented to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Redeemed as it should be: for the first time, or at any time where tokens do not rotate.
    Redeemed,
    /// A replay that gave another pair, since old tokens stay valid (M).
    ReplayAllowed,
    /// A replay that gave the same pair again (I).
    ReplaySamePair,
    /// A replay within the grace period that gave a sibling (G).
    ReplayInGrace,
    /// A replay that was refused, the family lives on (S, and I once the new token was used).
    ReplayRejected,
    /// A replay that was refused and revoked the family (R, G).
    ReplayRevoked,
    /// A sibling that a later replay had replaced (G-last): refused.
    Superseded,
    /// Past its lifetime: refused.
    Expired,
    /// Of a family revoked before: refused.
    FamilyRevoked,
    /// Issued to another client: refused.
    WrongClient,
    /// Never issued here, or from before a reset: refused.
    Unknown,
    /// A code with a PKCE verifier that does not match its challenge: refused and spent.
    VerifierMismatch,
    /// A code with another redirect URI than it was issued for: refused and spent.
    RedirectMismatch,
    /// More scope than was granted: refused, not consumed.
    ScopeRefused,
    /// A fault turned the request away before anything was consumed.
    NotConsumed,
}

impl Outcome {
    /// True if tokens were issued, or issued again.
    pub fn is_success(self) -> bool {
        self == Self::Redeemed || self.is_allowed_replay()
    }

    /// True for a replay answered with tokens.
    pub fn is_allowed_replay(self) -> bool {
        matches!(self, Self::ReplayAllowed | Self::ReplaySamePair | Self::ReplayInGrace)
    }

    /// True for a replay that was refused.
    pub fn is_detected_reuse(self) -> bool {
        matches!(self, Self::ReplayRejected | Self::ReplayRevoked)
    }
}

/// What the client got to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A complete answer was sent.
    Sent,
    /// An answer was sent that hides the outcome or cannot be read in full.
    Spoiled,
    /// No answer was sent.
    Withheld,
}

/// Why a family was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationReason {
    /// A refresh token was presented again.
    RefreshTokenReplay,
    /// The authorization code it came from was presented again (RFC 6749 §4.1.2).
    CodeReplay,
    /// The client asked for it (RFC 7009).
    Client,
    /// The control interface asked for it, in the user's name.
    User,
}

/// One family: the tokens that descend from one login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyHistory {
    /// The family's number.
    pub family: u64,
    /// The user.
    pub user: String,
    /// The client.
    pub client_id: String,
    /// The newest generation issued.
    pub newest_generation: u64,
    /// Access tokens of the family that are accepted now.
    pub live_access_tokens: usize,
    /// Refresh tokens of the family that would be redeemed now, replays aside.
    pub live_refresh_tokens: usize,
    /// Why it was revoked; `None` while it lives.
    pub revoked: Option<RevocationReason>,
}

/// One refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHistory {
    /// The token's fingerprint.
    pub fingerprint: Fingerprint,
    /// Its family.
    pub family: u64,
    /// Its generation; the login's own is 0.
    pub generation: u64,
    /// When it was issued, in milliseconds since the Unix epoch.
    pub issued_at_ms: i64,
    /// How often it was presented.
    pub presented: u32,
    /// How often it was answered with tokens.
    pub redeemed: u32,
    /// Its first presentations, at most [`PRESENTATIONS_KEPT`].
    pub presentations: Vec<Presentation>,
}

/// How many presentations of one refresh token are kept with it.
pub const PRESENTATIONS_KEPT: usize = 16;

/// One time a refresh token was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presentation {
    /// The event's place in the total order.
    pub sequence: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What the provider did.
    pub outcome: Outcome,
    /// What the client got to know.
    pub answer: Answer,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the total order, from 1.
    pub sequence: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What it was.
    pub kind: EventKind,
    /// The user concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The family concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<u64>,
    /// The generation of the token presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The refresh token presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presented: Option<Fingerprint>,
    /// The refresh token issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Fingerprint>,
    /// What became of a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What the client got to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Who presented it, where the token endpoint's address says so as `?from=`: a test of several
    /// processes gives each an address of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why a family was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RevocationReason>,
    /// The fault that struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A session was made without a login.
    SessionMinted,
    /// A login was approved and a code issued.
    CodeIssued,
    /// A login was denied.
    LoginDenied,
    /// An authorization code was presented.
    CodePresented,
    /// A refresh token was presented.
    RefreshPresented,
    /// A family was revoked.
    FamilyRevoked,
    /// One access token was revoked.
    AccessTokenRevoked,
}
