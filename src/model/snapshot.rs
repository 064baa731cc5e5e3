//! The access token as readers see it: immutable, shared, with its deadline beside it.

use std::fmt;

use crate::model::{BootTime, OAuthToken, Scope, Secret, Timestamp};

/// One published access token. Cheap to share behind an `Arc`; never changed after it is published.
///
/// What a hot read looks at stands first, so that it touches as few cache lines as can be.
#[repr(C)]
pub struct Snapshot {
    serve_until: BootTime,
    access_token: Secret,
    expires: BootTime,
    version: u64,
    generation: u64,
    grant: u64,
    ends_with_successor: bool,
    details: Details,
}

/// What readers rarely ask for.
struct Details {
    token_type: Option<Box<str>>,
    scope: Option<Scope>,
    expires_at: Option<Timestamp>,
}

/// The numbers of a snapshot: which change of the session it shows, and how long it may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The generation in the record.
    pub generation: u64,
    /// The generation that its login began with.
    pub grant: u64,
    /// Reader-visible changes so far.
    pub version: u64,
    /// Until when it is handed out without asking the session's actor.
    pub serve_until: BootTime,
    /// When the provider stops accepting it.
    pub expires: BootTime,
    /// The same on the wall clock; `None` for never or unknown.
    pub expires_at: Option<Timestamp>,
    /// Whether the provider stops accepting it as soon as the session is refreshed.
    pub ends_with_successor: bool,
}

impl Snapshot {
    /// Publishes the access token of `token` under `standing`.
    pub fn new(token: &OAuthToken, standing: Standing) -> Self {
        let OAuthToken { access_token, token_type, scope, .. } = token;
        let token_type = token_type.as_deref().map(Into::into);
        Self::publish(access_token.clone(), token_type, scope.clone(), standing)
    }

    /// The same without a copy of the token.
    pub(crate) fn of(token: OAuthToken, standing: Standing) -> Self {
        let OAuthToken { access_token, token_type, scope, .. } = token;
        Self::publish(access_token, token_type.map(Into::into), scope, standing)
    }

    fn publish(
        access_token: Secret,
        token_type: Option<Box<str>>,
        scope: Option<Scope>,
        standing: Standing,
    ) -> Self {
        Self {
            serve_until: standing.serve_until,
            expires: standing.expires,
            version: standing.version,
            generation: standing.generation,
            grant: standing.grant,
            ends_with_successor: standing.ends_with_successor,
            access_token,
            details: Details { token_type, scope, expires_at: standing.expires_at },
        }
    }

    /// The access token, to be sent as `Authorization: Bearer …`.
    pub fn access_token(&self) -> &Secret {
        &self.access_token
    }

    /// Its type as the provider named it, usually `Bearer`.
    pub fn token_type(&self) -> Option<&str> {
        self.details.token_type.as_deref()
    }

    /// The scopes it was granted, where the provider said so.
    pub fn scope(&self) -> Option<&Scope> {
        self.details.scope.as_ref()
    }

    /// When it expires on the wall clock; `None` for never or unknown.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.details.expires_at
    }

    /// How many refresh tokens this session has installed since its login, that of the login included.
    pub fn generation(&self) -> u64 {
        (self.generation + 1).saturating_sub(self.grant)
    }

    /// The generation in the record, which counts on over logins.
    pub(crate) fn recorded_generation(&self) -> u64 {
        self.generation
    }

    /// The generation in the record that its login began with: names the grant it comes of.
    pub(crate) fn grant(&self) -> u64 {
        self.grant
    }

    /// How many reader-visible changes this session has seen. Name it when reporting a 401.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// True if the provider stops accepting it as soon as the session is refreshed.
    pub fn ends_with_successor(&self) -> bool {
        self.ends_with_successor
    }

    /// True until the margin before expiry begins: it may be handed out without a second thought.
    pub fn is_fresh(&self, now: BootTime) -> bool {
        now < self.serve_until
    }

    /// True while the provider still accepts it.
    pub fn is_valid(&self, now: BootTime) -> bool {
        now < self.expires
    }

    /// When the provider stops accepting it.
    pub fn expires(&self) -> BootTime {
        self.expires
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("generation", &self.generation())
            .field("expires_at", &self.details.expires_at)
            .finish_non_exhaustive()
    }
}
