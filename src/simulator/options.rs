//! What the simulated provider is like: its reuse class, lifetimes, clients and quirks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{Clock, SystemClock};
use crate::simulator::reuse::ReuseBehaviour;

/// How the simulated provider behaves; the default is [`SimulatorOptions::strict`].
///
/// Written as JSON, durations are milliseconds in members ending in `_ms`, and unknown members are
/// refused. Every option but `bind`, `seed` and the clock may be changed while the simulator runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatorOptions {
    /// Address to listen on; read at the start only. Default `127.0.0.1:0`, a free port.
    pub bind: SocketAddr,
    /// Known clients by `client_id`. Default: `tokenhive` with the secret `simulator-secret`.
    pub clients: BTreeMap<String, ClientOptions>,
    /// What happens to a refresh token that is presented twice. Default R, the strictest.
    pub reuse: ReuseBehaviour,
    /// Whether a refresh ends the access tokens issued before it, as GitHub does. Default true.
    pub kill_old_access_tokens: bool,
    /// Lifetime of access tokens. Default one hour.
    #[serde(rename = "access_token_lifetime_ms", with = "millis")]
    pub access_token_lifetime: Duration,
    /// Lifetime of each refresh token from its issue; `None` (the default) never expires.
    #[serde(rename = "refresh_token_lifetime_ms", with = "optional_millis")]
    pub refresh_token_lifetime: Option<Duration>,
    /// Lifetime of authorization codes. Default 60 s.
    #[serde(rename = "code_lifetime_ms", with = "millis")]
    pub code_lifetime: Duration,
    /// Tokens are padded to this many bytes. Default 0: no padding, about 50 bytes.
    pub token_bytes: usize,
    /// Time a token request takes, half of it before the grant is consumed. Default zero.
    #[serde(rename = "latency_ms", with = "millis")]
    pub latency: Duration,
    /// Up to this much is added to the latency at random. Default zero.
    #[serde(rename = "latency_jitter_ms", with = "millis")]
    pub latency_jitter: Duration,
    /// Whether logins are approved at once or by a person on a page. Default at once.
    pub approve: Approval,
    /// Which scopes are granted. Default: whatever was asked for.
    pub scopes: ScopePolicy,
    /// Which optional members a refresh answer carries. Default: all of them.
    pub refresh_answer: RefreshAnswer,
    /// How token answers are written. Default JSON.
    pub answer_format: AnswerFormat,
    /// Writes `expires_in` as a string, as Entra v1 and PayPal do. Default false.
    pub expires_in_as_string: bool,
    /// Answers token errors with status 200, as GitHub does. Default false.
    pub errors_with_status_200: bool,
    /// Refuses authorization requests without an S256 challenge (RFC 7636). Default true.
    pub require_pkce: bool,
    /// Refuses token requests without client authentication, where the client has a secret. Default true.
    pub require_client_auth: bool,
    /// How many users take turns logging in when a login names none. Default 100.
    pub users: u32,
    /// How many groups each user is in. Default 2.
    pub groups_per_user: u32,
    /// Sent as `iss` in callbacks when set (RFC 9207). Default none.
    pub issuer: Option<String>,
    /// Answers token requests with a 307 to a path that must never be called. Default false.
    pub token_endpoint_redirect: bool,
    /// Refresh tokens, and access tokens, remembered per family; the oldest is forgotten and then
    /// treated as spent. Default 64.
    pub tokens_per_family: usize,
    /// Events kept in the ground truth; the oldest go first, totals stay exact. Default 100 000.
    pub history: usize,
    /// Seed of every random choice but the tokens themselves; read at the start only. Default 1.
    pub seed: u64,
    /// Where time comes from; read at the start only. Default the machine's clock.
    #[serde(skip)]
    pub clock: SimulatorClock,
}

impl SimulatorOptions {
    /// The harshest provider: any replay revokes the family, and a refresh ends older access tokens.
    pub fn strict() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            clients: BTreeMap::from([("tokenhive".to_owned(), ClientOptions::default())]),
            reuse: ReuseBehaviour::Revoking,
            kill_old_access_tokens: true,
            access_token_lifetime: Duration::from_secs(3600),
            refresh_token_lifetime: None,
            code_lifetime: Duration::from_secs(60),
            token_bytes: 0,
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            approve: Approval::Auto,
            scopes: ScopePolicy::Any,
            refresh_answer: RefreshAnswer::default(),
            answer_format: AnswerFormat::Json,
            expires_in_as_string: false,
            errors_with_status_200: false,
            require_pkce: true,
            require_client_auth: true,
            users: 100,
            groups_per_user: 2,
            issuer: None,
            token_endpoint_redirect: false,
            tokens_per_family: 64,
            history: 100_000,
            seed: 1,
            clock: SimulatorClock::default(),
        }
    }

    /// Takes time from `clock` instead of the machine.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = SimulatorClock(clock);
        self
    }

    /// These options with every member of `changes` replaced whole.
    ///
    /// # Errors
    ///
    /// A sentence naming the member that is unknown or has an unsuitable value.
    pub(super) fn merged(&self, changes: Map<String, Value>) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(members) = &mut all {
            members.extend(changes);
        }
        let merged: Self = serde_json::from_value(all).map_err(|error| error.to_string())?;
        Ok(Self { clock: self.clock.clone(), ..merged })
    }
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self::strict()
    }
}

/// The simulator's source of time.
#[derive(Clone)]
pub struct SimulatorClock(pub(super) Arc<dyn Clock>);

impl Default for SimulatorClock {
    fn default() -> Self {
        Self(Arc::new(SystemClock))
    }
}

impl fmt::Debug for SimulatorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatorClock")
    }
}

/// One client of the simulated provider.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientOptions {
    /// The client's secret; `None` for a public client. Not a real credential: it opens a simulator.
    pub secret: Option<String>,
    /// Where its users may be sent back to. Default any loopback address.
    pub redirects: RedirectPolicy,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { secret: Some("simulator-secret".to_owned()), redirects: RedirectPolicy::AnyLoopback }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("confidential", &self.secret.is_some())
            .field("redirects", &self.redirects)
            .finish()
    }
}

/// Where a client's users may be sent back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectPolicy {
    /// Any `http` URL on a loopback address or `localhost`.
    #[default]
    AnyLoopback,
    /// Any `http` or `https` URL.
    Any,
    /// URLs of the same origin as one of these, whose path starts with its path.
    Prefixes(Vec<String>),
}

/// How a login is approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// The browser is sent back at once.
    #[default]
    Auto,
    /// A page shows one button per simulated user.
    Page,
}

/// Which scopes are granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopePolicy {
    /// Whatever was asked for.
    #[default]
    Any,
    /// What was asked for and is in this set; the rest is dropped in silence.
    Narrow(BTreeSet<String>),
    /// Asking for anything outside this set is `invalid_scope`.
    Refuse(BTreeSet<String>),
}

/// Which optional members a refresh answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshAnswer {
    /// Whether `scope` is repeated.
    pub scope: bool,
    /// Whether `expires_in` is told.
    pub expires_in: bool,
    /// Whether `refresh_token` is sent; without it, a class that rotates loses the session.
    pub refresh_token: bool,
}

impl Default for RefreshAnswer {
    fn default() -> Self {
        Self { scope: true, expires_in: true, refresh_token: true }
    }
}

/// How token answers are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFormat {
    /// `application/json` (RFC 6749 §5.1).
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`, whatever the client accepts.
    Form,
    /// Form-encoded unless the request says `Accept: application/json`, as GitHub does.
    FormUnlessJsonAccepted,
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::millis::serialize(span, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::SimulatorOptions;

    fn merged(changes: serde_json::Value) -> Result<SimulatorOptions, String> {
        SimulatorOptions::default().merged(changes.as_object().unwrap().clone())
    }

    #[test]
    fn a_change_touches_only_what_it_names() {
        let options =
            merged(json!({"access_token_lifetime_ms": 5000, "reuse": "G-all:30"})).unwrap();

        assert_eq!(options.access_token_lifetime, Duration::from_secs(5));
        assert_eq!(options.reuse.to_string(), "G-all:30");
        assert!(options.kill_old_access_tokens);
        assert!(options.clients.contains_key("tokenhive"));
    }

    #[test]
    fn unknown_members_are_refused() {
        assert!(merged(json!({"lifetime": 5})).unwrap_err().contains("lifetime"));
        assert!(merged(json!({"reuse": "Q"})).is_err());
    }

    #[test]
    fn debug_shows_no_client_secret() {
        assert!(!format!("{:?}", SimulatorOptions::default()).contains("simulator-secret"));
    }
}
