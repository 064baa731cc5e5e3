//! How patient to be when nobody knows whether a refresh token was spent.

use std::time::Duration;

use crate::model::ReuseClass;
use crate::timing::Chance;

/// A request not answered within this time is never processed any more, unless a hive is told otherwise.
pub const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Suspicion ends after this many times as long at the latest.
const LONGEST_SUSPICION: u32 = 10;

/// How long to wait before the same node presents a refresh token again after an unknown outcome.
///
/// `remaining` is how long the access token still lives. Waiting costs users nothing while it does, and
/// for a provider that revokes on reuse it is what keeps the session.
pub fn in_doubt_delay(
    class: ReuseClass,
    remaining: Duration,
    dead_after: Duration,
    chance: Chance,
) -> Duration {
    match class {
        ReuseClass::NonRotating | ReuseClass::Multiple | ReuseClass::Idempotent => {
            chance.span(Duration::from_millis(200), Duration::from_secs(1))
        }
        ReuseClass::Grace(_) => chance.span(Duration::from_millis(500), Duration::from_secs(2)),
        ReuseClass::SingleUse => dead_after,
        ReuseClass::Revoking => dead_after.max(remaining / 2),
    }
}

/// How long nobody may take over an exchange whose holder is silent.
pub fn patience(class: ReuseClass, remaining: Duration, dead_after: Duration) -> Duration {
    match class {
        ReuseClass::NonRotating | ReuseClass::Multiple | ReuseClass::Idempotent => dead_after / 2,
        ReuseClass::Grace(window) => (dead_after / 2).min(window / 2),
        ReuseClass::SingleUse => dead_after,
        ReuseClass::Revoking => dead_after.max(remaining.saturating_sub(dead_after)),
    }
}

/// How long a session stays suspect after a rejection that may be of our own making: as long as its
/// access token lives, but at least until a request is surely over, and at most ten times as long.
pub fn suspect_for(remaining: Duration, dead_after: Duration) -> Duration {
    remaining.clamp(dead_after, dead_after * LONGEST_SUSPICION)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DEAD_AFTER, in_doubt_delay, patience, suspect_for};
    use crate::model::ReuseClass;
    use crate::timing::Chance;

    const HALF_HOUR: Duration = Duration::from_secs(1800);

    #[test]
    fn the_less_a_provider_forgives_the_longer_we_wait() {
        let delays = [
            ReuseClass::Idempotent,
            ReuseClass::Grace(Duration::from_secs(60)),
            ReuseClass::SingleUse,
            ReuseClass::Revoking,
        ]
        .map(|class| in_doubt_delay(class, HALF_HOUR, DEAD_AFTER, Chance::fixed(0.5)));

        assert!(delays.is_sorted(), "{delays:?}");
        assert_eq!(delays[3], Duration::from_secs(900));
    }

    #[test]
    fn a_grace_window_is_not_slept_through() {
        let window = Duration::from_secs(10);

        assert!(patience(ReuseClass::Grace(window), HALF_HOUR, DEAD_AFTER) <= window / 2);
        assert!(
            in_doubt_delay(ReuseClass::Grace(window), HALF_HOUR, DEAD_AFTER, Chance::fixed(1.0))
                < window
        );
    }

    #[test]
    fn suspicion_lasts_as_long_as_the_token_within_bounds() {
        assert_eq!(suspect_for(Duration::ZERO, DEAD_AFTER), Duration::from_secs(60));
        assert_eq!(suspect_for(Duration::from_secs(300), DEAD_AFTER), Duration::from_secs(300));
        assert_eq!(suspect_for(HALF_HOUR, DEAD_AFTER), Duration::from_secs(600));
    }
}
