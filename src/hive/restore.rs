//! Restoring a saved token: validated, stored, refreshed when expired, user and groups on request.

use std::sync::Arc;

use serde_json::Map;

use crate::actors::{Lifetimes, spans, store_failure};
use crate::hive::login::{find, store};
use crate::hive::profile::Fetch;
use crate::hive::{LoginError, RestoreError, TokenHive};
use crate::ledger::Status;
use crate::model::{
    Misconfigured, OAuthToken, ProviderId, SessionKey, Snapshot, TokenError, Unavailable, User,
};
use crate::oauth::UserError;
use crate::store::{PlainTokens, Session};

/// What is done beside restoring the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Fetch the user.
    pub fetch_user: bool,
    /// Fetch user and groups.
    pub fetch_groups: bool,
}

/// Where a restored session's token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The saved token was stored.
    Saved,
    /// The session under that key had come of the saved token and was newer: it was kept.
    Live,
}

/// A session made from a saved token.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its access token, refreshed if the saved one had expired.
    pub token: Arc<Snapshot>,
    /// Where the token comes from.
    pub origin: Origin,
    /// The user, if asked for and told.
    pub user: Option<User>,
    /// Why user or groups could not be fetched. The session is restored all the same.
    pub user_error: Option<UserError>,
}

impl TokenHive {
    /// Makes a session from a token that was saved before, by this crate or by Flet
    /// ([`OAuthToken::to_json`]).
    ///
    /// What stood under `key` is replaced, with one exception: a live session that came of the saved
    /// token is kept ([`Origin::Live`]). Its refresh token is newer, and to present the saved one again
    /// would make a strict provider end the session. Texts from the login and from the last dozen
    /// refreshes are known again; for older ones, [`TokenHive::token`] is the way to a live session.
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
        let (origin, grant) = match self.live_descendant(key, entry.provider.id(), &token).await? {
            Some(grant) => (Origin::Live, grant),
            None => {
                let spans = spans(lifetimes, &shared.options.policy, key, 0);
                let tokens = PlainTokens { token, before: None, extra: Map::new(), spans };
                let id = entry.provider.id();
                let stored = store(&self.inner.supervisor, key, id, &tokens).await?;
                (Origin::Saved, stored.snapshot.grant())
            }
        };
        drop(awaited);
        let token = self.token(key).await?;
        let (user, user_error) = if options.fetch_user || options.fetch_groups {
            let fetch = Fetch { shared, entry: &entry, key, groups: options.fetch_groups };
            fetch.run(token.access_token(), grant).await
        } else {
            (None, None)
        };
        Ok(Restored { token, origin, user, user_error })
    }

    /// The grant of the session under `key`, if that is alive and came of the saved token.
    async fn live_descendant(
        &self,
        key: &SessionKey,
        provider: &ProviderId,
        saved: &OAuthToken,
    ) -> Result<Option<u64>, TokenError> {
        let Some(refresh_token) = &saved.refresh_token else {
            return Ok(None);
        };
        let Some(Session { record, .. }) = self.load(key).await? else {
            return Ok(None);
        };
        if record.status == Status::Dead || record.provider != *provider {
            return Ok(None);
        }
        let store = &self.shared().store;
        let descends = store.descends_from(key, &record, refresh_token);
        let descends = descends.map_err(|error| store_failure(&error))?;
        Ok(descends.then_some(record.grant))
    }
}

fn misconfigured(error: LoginError) -> TokenError {
    match error {
        LoginError::Misconfigured { reason } => TokenError::misconfigured(reason),
        other => TokenError::misconfigured(Misconfigured::NoSuchProvider(other.to_string())),
    }
}
