//! What the interop tests know of Canaille: its addresses, its one user, and a browser that logs in.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use tokenhive::oauth::{ClientAuth, UserId};
use tokenhive::{
    CallbackQuery, LoggedIn, LoginRequest, ProviderBuilder, ReuseClass, Secret, SessionKey,
    Snapshot, TokenHive, catalogue,
};
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

/// Canaille answers with HTTP 500 when it issues two tokens for one user in one second.
const APART: Duration = Duration::from_millis(1100);

/// How long after a rotation was seen at the provider its tokens may take to be stored here.
const SOON: Duration = Duration::from_secs(2);

/// All tests log the same user in.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The running server, to be used by one test at a time.
pub struct Canaille {
    pub lifetime: Duration,
    http: reqwest::Client,
    _alone: MutexGuard<'static, ()>,
}

impl Canaille {
    pub async fn alone() -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        apart().await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let lifetime = Duration::from_secs(setting("LIFETIME").parse().unwrap());
        Self { lifetime, http, _alone: alone }
    }

    /// A hive that knows this provider as `canaille`.
    pub async fn hive(&self) -> TokenHive {
        self.hive_with_secret(&setting("CLIENT_SECRET")).await
    }

    pub async fn hive_with_secret(&self, client_secret: &str) -> TokenHive {
        TokenHive::builder().provider(provider(client_secret)).start().await.unwrap()
    }

    /// Logs the user in and reads user and groups.
    pub async fn log_in(&self, hive: &TokenHive, key: &SessionKey) -> LoggedIn {
        let callback = self.callback(hive, key).await;
        hive.complete_login(&callback).await.unwrap()
    }

    /// Begins a login, lets the user log in and consent, and returns what the browser brings back.
    pub async fn callback(&self, hive: &TokenHive, key: &SessionKey) -> CallbackQuery {
        let request = LoginRequest::provider("canaille").fetch_groups();
        let login = hive.begin_login(key, request).await.unwrap();
        let browser = Command::new("python3")
            .arg(setting("BROWSER"))
            .arg(&login.authorization_url)
            .output()
            .await
            .unwrap();
        let complaint = String::from_utf8_lossy(&browser.stderr);
        assert!(browser.status.success(), "{complaint}");
        CallbackQuery::parse(std::str::from_utf8(&browser.stdout).unwrap().trim()).unwrap()
    }

    pub async fn accepts(&self, access_token: &Secret) -> bool {
        let url = format!("{}/oauth/userinfo", setting("ISSUER"));
        let answer = self.http.get(url).bearer_auth(access_token.expose()).send().await.unwrap();
        answer.status().is_success()
    }

    /// Reads the session's token and shows it to the provider. A rotation may come between the two,
    /// and ends the token just read; then the session must have a newer one soon.
    pub async fn working_token(&self, hive: &TokenHive, key: &SessionKey) -> Arc<Snapshot> {
        let token = hive.token(key).await.unwrap();
        if self.accepts(token.access_token()).await {
            return token;
        }
        let newer = async {
            loop {
                let newer = hive.token(key).await.unwrap();
                if newer.version() > token.version() {
                    return newer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let newer = tokio::time::timeout(SOON, newer).await.expect("refused and not rotated");
        assert!(self.accepts(newer.access_token()).await, "version {}", newer.version());
        newer
    }
}

/// Waits until the next token answer does not fall into the second of the last one.
pub async fn apart() {
    tokio::time::sleep(APART).await;
}

fn provider(client_secret: &str) -> ProviderBuilder {
    let issuer = setting("ISSUER");
    let scopes = setting("SCOPES");
    catalogue::generic(
        "canaille",
        setting("CLIENT_ID"),
        format!("{issuer}/oauth/authorize"),
        format!("{issuer}/oauth/token"),
    )
    .client_secret(client_secret)
    .client_auth(ClientAuth::Basic)
    .redirect_url(setting("REDIRECT_URL"))
    .issuer(&issuer)
    .require_iss()
    .scopes(scopes.split_whitespace())
    .user_endpoint(format!("{issuer}/oauth/userinfo"), UserId::pointer("/sub"))
    .groups_claim("/groups")
    .reuse_class(ReuseClass::SingleUse)
    .kills_old_access_token()
}

/// What `tests/interop/run.sh` says of the server it started.
pub fn setting(name: &str) -> String {
    let name = format!("TOKENHIVE_INTEROP_{name}");
    env::var(&name).unwrap_or_else(|_| panic!("{name} is not set; run tests/interop/run.sh"))
}
