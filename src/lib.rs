//! tokenhive keeps every user's OAuth session alive, for servers that act on behalf of thousands to
//! millions of users.
//!
//! One actor per session owns that session's tokens and lets exactly one refresh happen at a time; a
//! scheduler refreshes before expiry; a store is the record. A valid token is handed out from memory in
//! nanoseconds:
//!
//! ```no_run
//! use tokenhive::{
//!     CallbackQuery, FileStore, Keyring, LoginRequest, Secret, SessionKey, TokenHive, catalogue,
//! };
//!
//! async fn example(http: &reqwest::Client) -> Result<(), Box<dyn std::error::Error>> {
//!     let github = catalogue::github("client-id", Secret::from_env("GITHUB_SECRET")?)
//!         .redirect_url("https://app.example/callback");
//!     let hive = TokenHive::builder()
//!         .provider(github)
//!         .store(FileStore::open("tokens.redb")?)
//!         .keyring(Keyring::from_env("TOKENHIVE_KEYS")?)
//!         .start()
//!         .await?;
//!
//!     // Send the user's browser to `login.authorization_url` …
//!     let key = SessionKey::new("acme", "user-42")?;
//!     let login = hive.begin_login(&key, LoginRequest::provider("github").scope("repo")).await?;
//!
//!     // … and when it comes back to your callback, pass on its query:
//!     let callback = CallbackQuery::parse("code=…&state=…")?;
//!     let session = hive.complete_login(&callback).await?;
//!
//!     // From now on, from any task, as often as you like:
//!     let token = hive.token(&key).await?;
//!     let request = http.get("https://api.github.com/user/repos");
//!     let answer = request.bearer_auth(token.access_token().expose()).send().await?;
//!
//!     // Before the process ends: exchanges in flight finish.
//!     hive.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! # Reading order
//!
//! [`model`] has the words, [`ledger`] the rules of who may redeem a refresh token, [`store`] what they
//! are applied to, [`oauth`] the wire, [`hive`] the handle. `docs/ARCHITECTURE.md` has the map.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod fault;
pub mod model;

pub mod ledger;
pub mod sealing;
pub mod timing;

pub mod journal;
pub mod oauth;
pub mod store;

pub(crate) mod actors;

pub mod hive;

#[cfg(feature = "test-support")]
pub mod simulator;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

pub use self::hive::{
    AuthorizationService, BuildError, FetchedUser, HiveBuilder, LoggedIn, Login, LoginError,
    LoginFault, LoginRequest, Origin, Readiness, RestoreError, RestoreOptions, Restored,
    ServiceOptions, SessionInfo, SessionState, TokenHive, TokenRequest,
};
pub use self::journal::JournalOptions;
pub use self::model::{
    Group, Misconfigured, NeedsLogin, OAuthToken, ProviderId, ReuseClass, Scope, Secret,
    SessionKey, Snapshot, TokenError, Unavailable, User,
};
pub use self::oauth::{CallbackQuery, Provider, ProviderBuilder, catalogue};
pub use self::sealing::Keyring;
#[cfg(feature = "file")]
pub use self::store::FileStore;
pub use self::store::{MemoryStore, SessionStore, StoreError};
#[cfg(feature = "redis")]
pub use self::store::{RedisOptions, RedisStore};

/// Compiles the README's example.
#[cfg(all(doctest, feature = "file"))]
#[doc = include_str!("../README.md")]
struct Readme;
