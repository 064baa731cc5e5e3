//! Restoring a saved token: validated, stored, refreshed when expired, user and groups on request.

use std::sync::Arc;

use serde_json::Map;

use crate::actors::{Lifetimes, spans};
use crate::hive::login::{find, store};
use crate::hive::profile::Fetch;
use crate::hive::{LoginError, RestoreError, TokenHive};
use crate::model::{
    Misconfigured, OAuthToken, SessionKey, Snapshot, TokenError, Unavailable, User,
};
use crate::oauth::UserError;
use crate::store::PlainTokens;

/// What is done beside restoring the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Fetch the user.
    pub fetch_user: bool,
    /// Fetch user and groups.
    pub fetch_groups: bool,
}

/// A session made from a saved token.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its access token, refreshed if the saved one had expired.
    pub token: Arc<Snapshot>,
    /// The user, if asked for and told.
    pub user: Option<User>,
    /// Why user or groups could not be fetched. The session is restored all the same.
    pub user_error: Option<UserError>,
}

impl TokenHive {
    /// Makes a session from a token that was saved before, by this crate or by Flet
    /// ([`OAuthToken::to_json`]). Whatever stood under `key` is replaced.
    ///
    /// An expired token is stored first and refreshed then: if the provider cannot be reached just now,
    /// the error says so, and the session is there for the next attempt.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]: unreadable or useless text (nothing is stored), or why there is no valid token.
    pub async fn restore(
        &self,
        key: &SessionKey,
        provider: &str,
        saved: &str,
        options: RestoreOptions,
    ) -> Result<Restored, RestoreError> {
        // As for a login: shutdown waits until the tokens are stored.
        let awaited = self.shared().tasks.token();
        let shared = self.shared();
        if shared.closing.is_cancelled() {
            return Err(TokenError::unavailable(Unavailable::Closing, None).into());
        }
        let entry = find(shared, provider).map_err(misconfigured)?;
        let token = OAuthToken::from_json(saved)?;
        let now = shared.clock.now();
        let lifetimes = Lifetimes::of_saved(&token, &entry.provider, now);
        if lifetimes.access.is_some_and(|left| left.is_zero()) && !lifetimes.refreshable {
            return Err(RestoreError::Expired);
        }
        let spans = spans(lifetimes, &shared.options.policy, key, 0);
        let tokens = PlainTokens { token, extra: Map::new(), spans };
        let stored = store(&self.inner.supervisor, key, entry.provider.id(), &tokens).await?;
        drop(awaited);
        let token = self.token(key).await?;
        let (user, user_error) = if options.fetch_user || options.fetch_groups {
            let fetch = Fetch { shared, entry: &entry, key, groups: options.fetch_groups };
            fetch.run(token.access_token(), stored.snapshot.generation()).await
        } else {
            (None, None)
        };
        Ok(Restored { token, user, user_error })
    }
}

fn misconfigured(error: LoginError) -> TokenError {
    match error {
        LoginError::Misconfigured { reason } => TokenError::misconfigured(reason),
        other => TokenError::misconfigured(Misconfigured::NoSuchProvider(other.to_string())),
    }
}
