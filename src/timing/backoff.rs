//! How long to wait after a failure, and the jitter everything here shares.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A number in `[0, 1)` that stands for chance.
///
/// It is drawn by hashing what it is for (a session and a count): different sessions spread out, and
/// the same question gets the same answer, which keeps decisions repeatable.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Chance(f64);

impl Chance {
    /// Chance for `subject` the `count`-th time.
    pub fn of(subject: &impl Hash, count: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        count.hash(&mut hasher);
        // The upper 53 bits fill a float's mantissa exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64")]
        let unit = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
        Self(unit)
    }

    /// A fixed value, held within `[0, 1)`.
    pub fn fixed(value: f64) -> Self {
        Self(value.clamp(0.0, 1.0 - f64::EPSILON))
    }

    /// The number between `low` and `high`.
    pub fn between(self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0
    }

    /// The span between `low` and `high`.
    pub fn span(self, low: Duration, high: Duration) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.0)
    }
}

/// Exponential back-off with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The shortest wait. Default 1 s.
    pub floor: Duration,
    /// The longest wait. Default 5 min.
    pub ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { floor: Duration::from_secs(1), ceiling: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row.
    pub fn wait(&self, failures: u32, chance: Chance) -> Duration {
        let doubled = self.floor.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
        chance.span(self.floor, doubled.min(self.ceiling))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Chance};

    #[test]
    fn waits_grow_and_stay_within_bounds() {
        let backoff = Backoff::default();
        let longest = Chance::fixed(1.0);

        assert_eq!(backoff.wait(1, Chance::fixed(0.0)), Duration::from_secs(1));
        assert!(backoff.wait(1, longest) <= Duration::from_secs(2));
        assert!(backoff.wait(4, longest) > Duration::from_secs(15));
        for failures in [9, 31, 32, u32::MAX] {
            assert!(backoff.wait(failures, longest) <= Duration::from_secs(300));
            assert!(backoff.wait(failures, longest) > Duration::from_secs(299));
        }
    }

    #[test]
    fn a_floor_above_the_ceiling_is_no_reason_to_panic() {
        let backoff = Backoff { floor: Duration::from_secs(9), ceiling: Duration::from_secs(1) };

        assert_eq!(backoff.wait(3, Chance::fixed(0.5)), Duration::from_secs(9));
    }

    #[test]
    fn chance_is_repeatable_and_spread_out() {
        let draws: Vec<f64> = (0..1000).map(|i| Chance::of(&"key", i).between(0.0, 1.0)).collect();
        let mean = draws.iter().sum::<f64>() / 1000.0;

        assert_eq!(Chance::of(&"key", 7), Chance::of(&"key", 7));
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
    }
}
