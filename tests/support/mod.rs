//! A hive and a strict provider, over real HTTP on loopback.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokenhive::model::{Clock, ManualClock, SystemClock};
use tokenhive::oauth::UserId;
use tokenhive::simulator::{
    FaultAction, FaultPlan, FaultRule, GrantFilter, Minted, Simulator, SimulatorOptions,
};
use tokenhive::timing::Backoff;
use tokenhive::{
    CallbackQuery, HiveBuilder, LoggedIn, LoginRequest, ProviderBuilder, SessionKey, Snapshot,
    TokenHive, catalogue,
};

/// How long anything in these tests may take before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Access tokens of this lifetime never come near their end within a test on the machine's clock.
pub const HOUR: Duration = Duration::from_secs(3600);

/// One hive at one strict provider.
pub struct World {
    pub simulator: Simulator,
    pub hive: TokenHive,
    pub http: reqwest::Client,
}

impl World {
    /// Access tokens live for `lifetime`; everything else is the default.
    pub async fn start(lifetime: Duration) -> Self {
        let options =
            SimulatorOptions { access_token_lifetime: lifetime, ..SimulatorOptions::strict() };
        Self::with(options, |builder| builder).await
    }

    pub async fn with(
        options: SimulatorOptions,
        configure: impl FnOnce(HiveBuilder) -> HiveBuilder,
    ) -> Self {
        Self::at(options, |provider| provider, configure).await
    }

    /// As [`World::with`], with other settings of the provider.
    pub async fn at(
        options: SimulatorOptions,
        adjust: impl FnOnce(ProviderBuilder) -> ProviderBuilder,
        configure: impl FnOnce(HiveBuilder) -> HiveBuilder,
    ) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let builder = TokenHive::builder().provider(adjust(provider(&simulator)));
        let hive = configure(builder).start().await.unwrap();
        Self { simulator, hive, http: browser() }
    }

    /// A hive whose clock stands still until it is moved, so that tokens expire when the test says so.
    /// The provider keeps the machine's clock and goes on accepting them.
    pub async fn manual(
        options: SimulatorOptions,
        configure: impl FnOnce(HiveBuilder) -> HiveBuilder,
    ) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let world = Self::with(options, |b| configure(b.clock(clock.clone()))).await;
        (world, clock)
    }

    /// Logs `user` in under `acme/<user>` and returns the key.
    pub async fn log_in(&self, user: &str) -> SessionKey {
        let key = key(user);
        self.log_in_as(&key, sim().param("user", user)).await;
        key
    }

    pub async fn log_in_as(&self, key: &SessionKey, request: LoginRequest) -> LoggedIn {
        let callback = self.approve(key, request).await;
        self.hive.complete_login(&callback).await.unwrap()
    }

    /// Begins a login, has the provider approve it, and returns its callback.
    pub async fn approve(&self, key: &SessionKey, request: LoginRequest) -> CallbackQuery {
        let login = self.hive.begin_login(key, request).await.unwrap();
        visit(&self.http, &login.authorization_url).await
    }

    /// Waits until readers see a newer version.
    pub async fn until_refreshed(&self, key: &SessionKey, version: u64) -> Arc<Snapshot> {
        let wait = async {
            loop {
                if let Ok(token) = self.hive.token(key).await
                    && token.version() > version
                {
                    return token;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("refreshed in time")
    }

    /// Whether the provider accepts the token right now.
    pub async fn accepted(&self, token: &Snapshot) -> bool {
        let url = format!("{}/api/echo", self.simulator.base_url());
        let request = self.http.get(url).bearer_auth(token.access_token().expose());
        request.send().await.unwrap().status().is_success()
    }

    /// Refresh requests the provider has seen so far.
    pub fn refreshes(&self) -> u64 {
        self.simulator.totals().refresh_requests
    }

    /// How often the provider has seen the refresh token of `minted`.
    pub fn presented(&self, minted: &Minted) -> u32 {
        let truth = self.simulator.ledger();
        truth.token(minted.refresh_token.expose()).map_or(0, |token| token.presented)
    }

    pub fn assert_no_reuse(&self) {
        let totals = self.simulator.totals();
        assert_eq!(totals.reuse_detected, 0, "{totals:?}");
    }

    pub async fn finish(self) {
        self.hive.shutdown().await;
        self.simulator.shutdown().await;
    }
}

pub fn key(session: &str) -> SessionKey {
    SessionKey::new("acme", session).unwrap()
}

/// A login at the simulator.
pub fn sim() -> LoginRequest {
    LoginRequest::provider("sim")
}

/// The strictest provider, with access tokens that live for `lifetime`.
pub fn strict(lifetime: Duration) -> SimulatorOptions {
    SimulatorOptions { access_token_lifetime: lifetime, ..SimulatorOptions::strict() }
}

/// Looks at the due index often and waits little after failures, so that tests need not wait.
pub fn eager(builder: HiveBuilder) -> HiveBuilder {
    let backoff = Backoff { floor: Duration::from_millis(50), ceiling: Duration::from_millis(400) };
    builder.poll_every(Duration::from_millis(100)).backoff(backoff).actor_threads(1)
}

/// Strikes the next `count` refresh requests.
pub fn next_refreshes(count: u64, action: FaultAction) -> FaultPlan {
    FaultPlan::next(count, GrantFilter::Refresh, action)
}

/// Strikes every refresh request.
pub fn every_refresh(action: FaultAction) -> FaultPlan {
    FaultRule { grant: GrantFilter::Refresh, ..FaultRule::always(action) }.into()
}

/// `minted` as Flet would have saved it, with `left` seconds to live.
pub fn saved(minted: &Minted, left: i64) -> String {
    let expires_at = SystemClock.now().rounded_seconds() + left;
    serde_json::json!({
        "access_token": minted.access_token.expose(),
        "token_type": "Bearer",
        "expires_in": 3600,
        "expires_at": expires_at,
        "refresh_token": minted.refresh_token.expose(),
    })
    .to_string()
}

/// Runs a test within [`PATIENCE`].
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, test).await.expect("the test ends in time")
}

/// Looks again and again until `look` sees something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// The simulator as a provider named `sim`.
pub fn provider(simulator: &Simulator) -> ProviderBuilder {
    catalogue::generic(
        "sim",
        "tokenhive",
        simulator.authorization_endpoint(),
        simulator.token_endpoint(),
    )
    .client_secret("simulator-secret")
    .redirect_url("http://127.0.0.1:9/callback")
    .revocation_endpoint(simulator.revocation_endpoint())
    .user_endpoint(simulator.user_endpoint(), UserId::pointer("/sub"))
    .groups_claim("/groups")
}

pub fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

/// Opens the authorization URL as a browser would and returns where the provider sends it back to.
pub async fn visit(http: &reqwest::Client, authorization_url: &str) -> CallbackQuery {
    let answer = http.get(authorization_url).send().await.unwrap();
    let location = answer.headers().get("location").expect("the provider redirects back");
    CallbackQuery::parse(location.to_str().unwrap()).unwrap()
}
