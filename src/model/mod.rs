//! The words everything else is written in: session keys, tokens, users, secrets, time. No I/O, no async.

mod clock;
mod error;
mod oauth_token;
mod provider_id;
mod reuse;
mod secret;
mod session_key;
mod snapshot;
mod user;

#[cfg(any(test, feature = "test-support"))]
pub use self::clock::ManualClock;
pub use self::clock::{BootTime, Clock, SystemClock, Timestamp};
pub use self::error::{Misconfigured, NeedsLogin, TokenError, Unavailable};
pub use self::oauth_token::{OAuthToken, SavedTokenError, Scope, Seconds};
pub use self::provider_id::{ProviderId, ProviderIdError};
pub use self::reuse::ReuseClass;
pub use self::secret::{Secret, SecretEnvError};
pub use self::session_key::{SessionKey, SessionKeyError};
pub use self::snapshot::{Snapshot, Standing};
pub use self::user::{Group, User};
