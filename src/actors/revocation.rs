//! Revokes at the provider what nobody will use any more (RFC 7009). A few attempts, and no promise: a
//! token that outlives them ends by itself.

use std::time::Duration;

use crate::actors::supervisor::Supervisor;
use crate::actors::task_kind::TaskKind;
use crate::ledger::Deleted;
use crate::model::{ProviderId, Secret, SessionKey};
use crate::oauth::{RevokeError, TokenHint, revoke};

const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Revokes what was deleted.
pub(crate) fn of_deleted(supervisor: &Supervisor, key: &SessionKey, deleted: &Deleted) {
    let (store, generation) = (&supervisor.shared().store, deleted.tombstone.generation);
    if let Some(sealed) = &deleted.refresh
        && let Ok(token) = store.open_refresh_token(key, sealed, generation)
    {
        spawn(supervisor, &deleted.provider, token);
    }
}

/// Revokes a refresh token, and what came of it, behind the caller's back.
pub(crate) fn spawn(supervisor: &Supervisor, provider: &ProviderId, token: Secret) {
    let shared = supervisor.shared().clone();
    let Ok(entry) = shared.provider(provider) else { return };
    if entry.provider.revocation_endpoint().is_none() {
        return;
    }
    shared.clone().spawn(TaskKind::Revocation, async move {
        for attempt in 0..ATTEMPTS {
            let sent = revoke(&shared.http, &entry.provider, &token, TokenHint::RefreshToken).await;
            let wait = match sent {
                Ok(()) | Err(RevokeError::Unsupported) => return,
                Err(RevokeError::Unavailable { retry_after, .. }) => {
                    retry_after.unwrap_or(FIRST_PAUSE * 2_u32.pow(attempt)).min(LONGEST_PAUSE)
                }
                Err(error @ RevokeError::Refused { .. }) => {
                    return tracing::warn!(%error, "a token is not revoked: {error}");
                }
            };
            tokio::select! {
                () = shared.closing.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
        tracing::warn!(provider = %entry.provider.id(), "a token could not be revoked at {}", entry.provider.id());
    });
}
