//! When a token is refreshed, and how long it is handed out without a second thought.

use std::time::Duration;

use crate::timing::Chance;

/// How early to refresh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefreshPolicy {
    /// Refresh at this fraction of the lifetime or later. Default 0.60.
    pub earliest: f64,
    /// Refresh at this fraction of the lifetime or earlier. Default 0.75.
    pub latest: f64,
    /// Stop handing out unasked this long before expiry, or 5 % of the lifetime if that is more, but
    /// never more than a tenth of the lifetime. Default 60 s.
    pub margin: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self { earliest: 0.60, latest: 0.75, margin: Duration::from_secs(60) }
    }
}

impl RefreshPolicy {
    /// How long after the request was sent a token of `lifetime` is due. A fraction of the lifetime,
    /// so that a mass login spreads out within one cycle.
    pub fn due_after(&self, lifetime: Duration, chance: Chance) -> Duration {
        mul(lifetime, chance.between(self.earliest, self.latest))
    }

    /// A token that lives longer than this was refreshed just now: nothing to do for a scheduler that
    /// comes late or twice. Well above what any due time leaves, so that no due session is sent away.
    pub fn fresh_margin(&self, lifetime: Duration) -> Duration {
        mul(lifetime, 1.0 - 0.75 * self.earliest)
    }

    /// How long before expiry reads go to the session's actor.
    pub fn margin_of(&self, lifetime: Duration) -> Duration {
        self.margin.max(lifetime / 20).min(lifetime / 10)
    }
}

/// `Duration::mul_f64` panics on overflow; a provider may claim any lifetime.
fn mul(span: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(span.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RefreshPolicy;
    use crate::timing::Chance;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_hour_is_refreshed_between_60_and_75_percent() {
        let policy = RefreshPolicy::default();

        assert_eq!(policy.due_after(HOUR, Chance::fixed(0.0)), Duration::from_secs(2160));
        assert!(policy.due_after(HOUR, Chance::fixed(1.0)) <= Duration::from_secs(2700));
    }

    #[test]
    fn the_margin_follows_the_lifetime() {
        let policy = RefreshPolicy::default();

        assert_eq!(policy.margin_of(HOUR), Duration::from_secs(180));
        assert_eq!(policy.margin_of(Duration::from_secs(900)), Duration::from_secs(60));
        assert_eq!(policy.margin_of(Duration::from_secs(5)), Duration::from_millis(500));
        assert_eq!(policy.margin_of(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn any_lifetime_a_provider_claims_is_survived() {
        let policy = RefreshPolicy::default();

        for lifetime in
            [Duration::ZERO, Duration::from_secs(i64::MAX.unsigned_abs()), Duration::MAX]
        {
            assert!(policy.due_after(lifetime, Chance::fixed(1.0)) <= lifetime);
            assert!(policy.margin_of(lifetime) <= lifetime);
        }
    }
}
