//! Who a session belongs to: fetched after a login, kept with the session, fetched again on request.

use crate::actors::{ProviderEntry, Shared, store_failure};
use crate::hive::TokenHive;
use crate::model::{NeedsLogin, Secret, SessionKey, TokenError, User};
use crate::oauth::{self, Profile, UserError};

/// What a fetch of user and groups brought.
#[derive(Debug, Clone)]
pub struct FetchedUser {
    /// The user; `None` if the provider tells nothing, or not now.
    pub user: Option<User>,
    /// Why user or groups could not be fetched.
    pub error: Option<UserError>,
}

impl TokenHive {
    /// The user as fetched at login or restore; `None` if the user was not fetched or there is no session.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unavailable`] or [`TokenError::Misconfigured`] if the store cannot tell.
    pub async fn user(&self, key: &SessionKey) -> Result<Option<User>, TokenError> {
        match self.load(key).await? {
            Some(session) => self
                .shared()
                .store
                .open_profile(key, &session.record)
                .map_err(|error| store_failure(&error)),
            None => Ok(None),
        }
    }

    /// Fetches the user anew, with their groups if asked for, and keeps what comes.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::token`]. That the provider does not tell is no error of the session: see
    /// [`FetchedUser::error`].
    pub async fn fetch_user(
        &self,
        key: &SessionKey,
        with_groups: bool,
    ) -> Result<FetchedUser, TokenError> {
        let token = self.token(key).await?;
        let Some(session) = self.load(key).await? else {
            return Err(TokenError::needs_login(NeedsLogin::NoSession));
        };
        let shared = self.shared();
        let entry = shared.provider(&session.record.provider)?;
        let fetch = Fetch { shared, entry: &entry, key, groups: with_groups };
        let (user, error) = fetch.run(token.access_token(), session.record.grant).await;
        Ok(FetchedUser { user, error })
    }
}

/// Fetches user and groups of a session and stores them.
pub(crate) struct Fetch<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) entry: &'a ProviderEntry,
    pub(crate) key: &'a SessionKey,
    pub(crate) groups: bool,
}

impl Fetch<'_> {
    pub(crate) async fn run(
        &self,
        access_token: &Secret,
        grant: u64,
    ) -> (Option<User>, Option<UserError>) {
        let provider = &self.entry.provider;
        let fetched =
            oauth::fetch_user(&self.shared.http, provider, access_token, self.groups).await;
        let Profile { user, groups_error } = match fetched {
            Ok(Some(profile)) => profile,
            Ok(None) => return (None, None),
            Err(error) => return (None, Some(error)),
        };
        if let Err(error) = self.shared.store.set_profile(self.key, grant, &user).await {
            tracing::warn!(session = %self.key, %error, "the user of {} is not stored: {error}", self.key);
        }
        (Some(user), groups_error)
    }
}
