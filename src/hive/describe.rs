//! What can be told of a session without showing a token.

use crate::actors::store_failure;
use crate::hive::TokenHive;
use crate::ledger::{Entry, ErrorNote, Status};
use crate::model::{ProviderId, SessionKey, Timestamp, TokenError};

/// Whether a session can still be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It can.
    Active,
    /// A refresh is in flight.
    Refreshing,
    /// A refresh was rejected that may have been a repetition; a late answer may heal it.
    Suspect,
    /// The provider gave no refresh token: the session ends with its access token.
    Fixed,
    /// The provider's final word was no: the user has to log in again.
    NeedsLogin,
}

/// One session, told without its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Where its tokens come from.
    pub provider: ProviderId,
    /// Whether it can still be refreshed.
    pub state: SessionState,
    /// How many refresh tokens it has installed since its login, that of the login included.
    pub generation: u64,
    /// How many reader-visible changes it has seen.
    pub version: u64,
    /// When the session was first stored.
    pub created: Timestamp,
    /// When its tokens were last received.
    pub refreshed: Timestamp,
    /// When its access token expires; `None` for never or unknown.
    pub expires: Option<Timestamp>,
    /// When it is looked at next; `None` for not before somebody reads it.
    pub due: Option<Timestamp>,
    /// Failed refreshes since the last success.
    pub failures: u32,
    /// What went wrong last.
    pub last_error: Option<ErrorNote>,
}

impl TokenHive {
    /// Tells how a session stands; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unavailable`] if the store does not answer.
    pub async fn describe(&self, key: &SessionKey) -> Result<Option<SessionInfo>, TokenError> {
        let entry = self.shared().store.entry(key).await.map_err(|error| store_failure(&error))?;
        Ok(told(entry.reply))
    }
}

fn told(entry: Entry) -> Option<SessionInfo> {
    let record = entry.record?;
    let state = match record.status {
        Status::Dead => SessionState::NeedsLogin,
        Status::Suspect { .. } => SessionState::Suspect,
        Status::Active if record.slot.is_some() => SessionState::Refreshing,
        Status::Active if record.refresh.is_none() => SessionState::Fixed,
        Status::Active => SessionState::Active,
    };
    Some(SessionInfo {
        provider: record.provider,
        state,
        generation: (record.generation + 1).saturating_sub(record.grant),
        version: record.version,
        created: record.created,
        refreshed: record.received,
        expires: record.expires,
        due: entry.due,
        failures: record.failures,
        last_error: record.last_error,
    })
}
