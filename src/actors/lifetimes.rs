//! How long new tokens live and when they are due, from what the provider said.

use std::time::Duration;

use crate::model::{OAuthToken, SessionKey, Timestamp};
use crate::oauth::{Provider, TokenAnswer};
use crate::store::Spans;
use crate::timing::{Chance, RefreshPolicy};

/// No token lives longer. Beyond some centuries an instant since boot can no longer tell its end from its
/// beginning, and a token that never ends would look as if it were about to.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What is known about the life of new tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    /// The access token's whole lifetime; `None` for never or unknown.
    pub(crate) access: Option<Duration>,
    /// The refresh token's, where the provider tells; a hint.
    pub(crate) refresh: Option<Duration>,
    /// How much of both has passed since the request was sent.
    pub(crate) elapsed: Duration,
    /// Whether there is a refresh token at all.
    pub(crate) refreshable: bool,
}

impl Lifetimes {
    /// From a provider's answer to a request sent `elapsed` ago. Where it states no lifetime, the
    /// previous token's holds, else the provider's default.
    pub(crate) fn of_answer(
        answer: &TokenAnswer,
        token: &OAuthToken,
        provider: &Provider,
        clock: (Timestamp, Duration),
    ) -> Self {
        let (now, elapsed) = clock;
        let stated = answer.expires_in.map(seconds);
        let absolute =
            || answer.expires_at.and_then(|_| token.expiry()).map(|at| at.since(now) + elapsed);
        let access = stated
            .or_else(absolute)
            .or_else(|| token.lifetime())
            .or_else(|| provider.default_lifetime())
            .map(|span| span.min(LONGEST));
        let refresh = ["refresh_token_expires_in", "refresh_expires_in"]
            .iter()
            .find_map(|name| answer.extra.get(*name)?.as_i64())
            .filter(|&stated| stated > 0)
            .map(seconds);
        Self { access, refresh, elapsed, refreshable: token.refresh_token.is_some() }
    }

    /// Of a saved token: what is left of it at `now`.
    pub(crate) fn of_saved(token: &OAuthToken, provider: &Provider, now: Timestamp) -> Self {
        let access = match token.expiry() {
            Some(at) => Some(at.since(now)),
            None => provider.default_lifetime(),
        }
        .map(|span| span.min(LONGEST));
        let refreshable = token.refresh_token.is_some();
        Self { access, refresh: None, elapsed: Duration::ZERO, refreshable }
    }
}

/// Negative lifetimes are over.
fn seconds(stated: i64) -> Duration {
    Duration::from_secs(u64::try_from(stated).unwrap_or(0))
}

/// Remaining spans for the record. The due time is drawn by session and generation. A token that is over
/// when it arrives is never due: refreshing it at once, again and again, would help nobody.
pub(crate) fn spans(
    lifetimes: Lifetimes,
    policy: &RefreshPolicy,
    key: &SessionKey,
    generation: u64,
) -> Spans {
    let left = |span: Duration| span.saturating_sub(lifetimes.elapsed);
    let due_in = lifetimes
        .access
        .filter(|access| lifetimes.refreshable && !access.is_zero())
        .map(|access| left(policy.due_after(access, Chance::of(key, generation))));
    Spans {
        expires_in: lifetimes.access.map(left),
        refresh_expires_in: lifetimes.refresh.map(left),
        due_in,
    }
}
