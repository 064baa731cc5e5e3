//! Whether anybody still reads a session, and what is done for one nobody reads.

use std::time::Duration;

use crate::model::Timestamp;

/// Without a read for this long, or for twice the lifetime if that is longer, a session is cold.
const COLD_AFTER: Duration = Duration::from_secs(6 * 3600);

/// A refresh token with a long idle lifetime is used at least this often.
const LONGEST_IDLE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whether a session is refreshed ahead of its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Somebody reads it: refreshed before expiry.
    Hot,
    /// Nobody does: refreshed on the next read, and else only as its refresh token's idle lifetime demands.
    Cold,
}

/// Tells whether a session last read at `last_read` is still hot.
pub fn activity(last_read: Option<Timestamp>, now: Timestamp, lifetime: Duration) -> Activity {
    let patience = COLD_AFTER.max(lifetime.saturating_mul(2));
    match last_read {
        Some(read) if now.since(read) <= patience => Activity::Hot,
        _ => Activity::Cold,
    }
}

/// How long after its last use a cold session's refresh token is used again to keep it alive.
pub fn keep_alive_in(idle_lifetime: Duration) -> Duration {
    (idle_lifetime / 2).min(LONGEST_IDLE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Activity, activity, keep_alive_in};
    use crate::model::Timestamp;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_session_cools_down_after_six_hours_or_two_lifetimes() {
        let read = Timestamp::from_millis(0);

        assert_eq!(activity(Some(read), read + HOUR * 6, HOUR), Activity::Hot);
        assert_eq!(activity(Some(read), read + HOUR * 7, HOUR), Activity::Cold);
        assert_eq!(activity(Some(read), read + HOUR * 7, HOUR * 4), Activity::Hot);
        assert_eq!(activity(None, read, HOUR), Activity::Cold);
    }

    #[test]
    fn keep_alive_comes_at_half_the_idle_lifetime_and_monthly_at_least() {
        assert_eq!(keep_alive_in(HOUR * 24), HOUR * 12);
        assert_eq!(keep_alive_in(HOUR * 24 * 365), HOUR * 24 * 30);
    }
}
