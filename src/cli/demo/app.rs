//! The application the demo plays: logs its users in and shows their tokens to the provider.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::header::LOCATION;

use crate::hive::{LoggedIn, LoginRequest, TokenHive};
use crate::model::{SessionKey, Snapshot};
use crate::oauth::CallbackQuery;
use crate::simulator::Simulator;

/// The provider's id in the demo.
pub(super) const PROVIDER: &str = "simulator";

/// How long a refreshed token may take to show after its predecessor was refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a session's token may be overtaken by a refresh before that counts as an error.
const ATTEMPTS: u32 = 3;

/// A hive's user, with a browser of its own. Cheap to clone.
#[derive(Clone)]
pub(super) struct App {
    pub(super) hive: TokenHive,
    http: reqwest::Client,
    resource: String,
}

/// A token that the provider accepted.
pub(super) struct Accepted {
    pub(super) token: Arc<Snapshot>,
    /// True if an earlier one was refused because a refresh had just replaced it.
    pub(super) overtaken: bool,
}

impl App {
    pub(super) fn new(hive: TokenHive, simulator: &Simulator) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { hive, http, resource: format!("{}/echo", simulator.api_base()) })
    }

    /// Logs a user in: authorization URL, redirect, code exchange.
    pub(super) async fn log_in(&self, user: &str) -> anyhow::Result<LoggedIn> {
        let key = SessionKey::new("demo", user)?;
        let request = LoginRequest::provider(PROVIDER).param("user", user);
        let login = self.hive.begin_login(&key, request).await?;
        let answer = self.http.get(&login.authorization_url).send().await;
        // The error's own words would repeat the URL and the state in it.
        let answer = answer.map_err(reqwest::Error::without_url)?;
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.context("the provider did not redirect back")?;
        let callback = CallbackQuery::parse(location)?;
        Ok(self.hive.complete_login(&callback).await?)
    }

    /// Reads the session's token and shows it to the provider.
    ///
    /// The provider ends an access token at the moment a refresh replaces it, so one that was read just
    /// before can be refused just after. Then, and only then, its successor is waited for and shown.
    pub(super) async fn prove(&self, key: &SessionKey) -> anyhow::Result<Accepted> {
        let mut token = self.hive.token(key).await?;
        for attempt in 1..=ATTEMPTS {
            if self.accepts(&token).await? {
                return Ok(Accepted { token, overtaken: attempt > 1 });
            }
            token = self.successor(key, token.version()).await?;
        }
        bail!("the provider refused {ATTEMPTS} tokens in a row")
    }

    async fn accepts(&self, token: &Snapshot) -> anyhow::Result<bool> {
        let request = self.http.get(&self.resource).bearer_auth(token.access_token().expose());
        Ok(request.send().await?.status().is_success())
    }

    async fn successor(&self, key: &SessionKey, version: u64) -> anyhow::Result<Arc<Snapshot>> {
        let newer = async {
            loop {
                let token = self.hive.token(key).await?;
                if token.version() > version {
                    return Ok(token);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, newer)
            .await
            .context("the provider refused a token that no refresh has replaced")?
    }
}
