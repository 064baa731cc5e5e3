//! A hive and a strict provider, over real HTTP on loopback.

use std::sync::Arc;
use std::time::Duration;

use tokenhive::oauth::UserId;
use tokenhive::simulator::{Simulator, SimulatorOptions};
use tokenhive::{
    CallbackQuery, HiveBuilder, LoggedIn, LoginRequest, ProviderBuilder, SessionKey, Snapshot,
    TokenHive, catalogue,
};

/// How long anything in these tests may take before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(20);

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
        let simulator = Simulator::start(options).await.unwrap();
        let builder = TokenHive::builder().provider(provider(&simulator));
        let hive = configure(builder).start().await.unwrap();
        Self { simulator, hive, http: browser() }
    }

    /// Logs `user` in under `acme/<user>` and returns the key.
    pub async fn log_in(&self, user: &str) -> SessionKey {
        let key = SessionKey::new("acme", user).unwrap();
        self.log_in_as(&key, LoginRequest::provider("sim").param("user", user)).await;
        key
    }

    pub async fn log_in_as(&self, key: &SessionKey, request: LoginRequest) -> LoggedIn {
        let login = self.hive.begin_login(key, request).await.unwrap();
        let callback = visit(&self.http, &login.authorization_url).await;
        self.hive.complete_login(&callback).await.unwrap()
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

    pub fn assert_no_reuse(&self) {
        let totals = self.simulator.totals();
        assert_eq!(totals.reuse_detected, 0, "{totals:?}");
    }

    pub async fn finish(self) {
        self.hive.shutdown().await;
        self.simulator.shutdown().await;
    }
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
