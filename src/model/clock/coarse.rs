//! Time since boot at the price of two memory reads, for the hot path.
//!
//! Reading the precise clock stops the processor from working ahead, which costs a read of a token more
//! than finding the token does. Linux keeps coarse clocks, one timer tick behind at most, that are plain
//! memory; there is none that counts suspended time, so that is added here.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Suspended time below this goes unnoticed.
const TOLERANCE: u64 = 100_000_000;

/// No distance there can be.
const UNKNOWN: i64 = i64::MIN;

/// The one of this process.
pub(super) static COARSE: CoarseClock = CoarseClock::new();

/// The coarse monotonic clock plus the time the machine was suspended.
///
/// That sum changes by a suspend alone, and a suspend changes the distance between monotonic and wall
/// clock as well: where that is as it was, so is the suspended time.
pub(super) struct CoarseClock {
    suspended: AtomicI64,
    /// Wall clock minus monotonic clock when `suspended` was determined; written after it.
    distance: AtomicI64,
}

impl CoarseClock {
    const fn new() -> Self {
        Self { suspended: AtomicI64::new(0), distance: AtomicI64::new(UNKNOWN) }
    }

    /// Nanoseconds since boot, suspend included, up to a timer tick (1 to 10 ms) late.
    pub(super) fn boot_nanos(&self) -> i64 {
        let monotonic = nanos(ClockId::MonotonicCoarse);
        let distance = nanos(ClockId::RealtimeCoarse).saturating_sub(monotonic);
        let known = self.distance.load(Ordering::Acquire);
        if distance.abs_diff(known) > TOLERANCE {
            return self.determine(distance);
        }
        monotonic.saturating_add(self.suspended.load(Ordering::Relaxed))
    }

    /// The first call, or the machine was suspended, or the wall clock was set.
    #[cold]
    fn determine(&self, distance: i64) -> i64 {
        let boot = nanos(ClockId::Boottime);
        let suspended = boot.saturating_sub(nanos(ClockId::Monotonic));
        self.suspended.store(suspended, Ordering::Relaxed);
        self.distance.store(distance, Ordering::Release);
        boot
    }
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::time::ClockId;

    use super::{CoarseClock, nanos};

    /// More than a timer tick, with room for a busy machine.
    const CLOSE: u64 = 500_000_000;
    const HOUR: i64 = 3_600_000_000_000;

    fn error(clock: &CoarseClock) -> u64 {
        nanos(ClockId::Boottime).abs_diff(clock.boot_nanos())
    }

    #[test]
    fn the_coarse_clock_is_close_to_the_precise_one() {
        let clock = CoarseClock::new();

        let errors = [error(&clock), error(&clock)];

        assert!(errors.iter().all(|&error| error < CLOSE), "{errors:?}");
    }

    #[test]
    fn a_suspend_is_noticed() {
        let clock = CoarseClock::new();
        clock.boot_nanos();

        // As it would stand if the machine had slept for an hour since.
        clock.suspended.fetch_sub(HOUR, Ordering::Relaxed);
        clock.distance.fetch_sub(HOUR, Ordering::Relaxed);

        let errors = [error(&clock), error(&clock)];
        assert!(errors.iter().all(|&error| error < CLOSE), "{errors:?}");
    }
}
