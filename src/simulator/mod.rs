//! A strict OAuth 2.0 provider on loopback, with every reuse class, every fault, and a ground-truth log.
//!
//! Tests, demos and benches measure against it. Whatever can be configured in the process can be
//! configured over HTTP as well, so that a test of several processes needs no other access:
//! `GET /` lists the endpoints.
//!
//! ```
//! # use tokenhive::simulator::{ReuseBehaviour, Simulator, SimulatorOptions};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let simulator = Simulator::start(SimulatorOptions::default()).await?;
//! simulator.update(|options| options.reuse = ReuseBehaviour::GraceAll { seconds: 30 });
//! assert_eq!(simulator.ledger().totals.token_requests, 0);
//! simulator.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod authorize;
mod codes;
mod control;
mod faults;
mod form;
mod log;
mod options;
mod resource;
mod reuse;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod token_endpoint;
mod truth;
mod users;
mod world;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::faults::{
    FaultAction, FaultPlan, FaultRule, GrantFilter, MalformedBody, RetryAfter, When,
};
pub use self::options::{
    AnswerFormat, Approval, ClientOptions, RedirectPolicy, RefreshAnswer, ScopePolicy,
    SimulatorClock, SimulatorOptions,
};
pub use self::reuse::{ReuseBehaviour, UnknownReuseBehaviour};
pub use self::token::{Fingerprint, NotAFingerprint};
pub use self::truth::{
    Answer, Event, EventKind, FamilyHistory, GroundTruth, Outcome, PRESENTATIONS_KEPT,
    Presentation, RevocationReason, TokenHistory, Totals,
};
use self::world::Shared;
use crate::model::Secret;

/// A running provider. Dropping it stops it; [`Simulator::shutdown`] also waits until it has.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: DropGuard,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Starts a provider on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The address of `options.bind` cannot be listened on.
    pub async fn start(options: SimulatorOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.bind).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options, format!("http://{address}")));
        let stop = CancellationToken::new();
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self { shared, address, stop: stop.drop_guard(), server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> &str {
        &self.shared.base_url
    }

    /// The authorization endpoint's URL.
    pub fn authorization_endpoint(&self) -> String {
        self.url("/authorize")
    }

    /// The token endpoint's URL.
    pub fn token_endpoint(&self) -> String {
        self.url("/token")
    }

    /// The revocation endpoint's URL (RFC 7009).
    pub fn revocation_endpoint(&self) -> String {
        self.url("/revoke")
    }

    /// The user info endpoint's URL.
    pub fn user_endpoint(&self) -> String {
        self.url("/userinfo")
    }

    /// The base URL of the GitHub-like API: `/user`, `/user/emails`, `/user/teams`, `/echo`.
    pub fn api_base(&self) -> String {
        self.url("/api")
    }

    /// Replaces the fault plan.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.world().dice.set(plan);
    }

    /// Changes options; requests that came in before keep the old ones.
    pub fn update(&self, change: impl FnOnce(&mut SimulatorOptions)) {
        let mut world = self.shared.world();
        change(Arc::make_mut(&mut world.options));
    }

    /// What the provider really did, as `GET /_sim/log` tells it.
    pub fn ledger(&self) -> GroundTruth {
        let now = self.shared.now();
        self.shared.world().ground_truth(now)
    }

    /// Its totals alone, which is quick however long the history is.
    pub fn totals(&self) -> Totals {
        self.shared.world().summary().totals
    }

    /// Revokes every session of `user`; returns how many there were.
    pub fn revoke_user(&self, user: &str) -> usize {
        let now = self.shared.now();
        self.shared.world().revoke_user(user, now)
    }

    /// Makes `count` sessions without a login, of users numbered on from the last, for the first
    /// client in alphabetical order; their first access tokens last `lifetime`.
    pub fn mint(&self, count: usize, lifetime: Duration) -> Vec<Minted> {
        (0..count)
            .map(|_| {
                let now = self.shared.now();
                let (user, pair) = self.shared.world().mint("", lifetime, now);
                Minted {
                    user,
                    access_token: pair.access.into(),
                    refresh_token: pair.refresh.into(),
                }
            })
            .collect()
    }

    /// Forgets sessions, codes, faults and history; the options stay.
    pub fn reset(&self) {
        self.shared.world().reset();
    }

    /// Closes every connection and waits until the server has stopped.
    pub async fn shutdown(self) {
        drop(self.stop);
        // A server that panicked has stopped as well.
        let _ = self.server.await;
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.base_url)
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("base_url", &self.shared.base_url).finish_non_exhaustive()
    }
}

/// A session made without a login.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The user it belongs to.
    pub user: String,
    /// Its first access token.
    pub access_token: Secret,
    /// Its first refresh token.
    pub refresh_token: Secret,
}
