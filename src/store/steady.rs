//! A store's own time: starts at the wall clock and never goes back.

use std::sync::Arc;

use crate::model::{BootTime, Clock, Timestamp};

/// Wall time at the start plus the time since boot that has passed.
///
/// The wall clock is read once. Records compare times written minutes and hours apart, and a wall clock
/// that is set back in between would make expired tokens look fresh; one that is set forward would end
/// every wait at once. Only spans matter to a record, so it does no harm that this time may differ
/// from what the wall clock says by then.
pub(crate) struct SteadyClock {
    clock: Arc<dyn Clock>,
    start: Timestamp,
    boot_at_start: BootTime,
}

impl SteadyClock {
    /// Starts at the wall clock.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.now();
        Self::starting_at(clock, start)
    }

    /// Starts at a time of the caller's choice.
    pub(crate) fn starting_at(clock: Arc<dyn Clock>, start: Timestamp) -> Self {
        let boot_at_start = clock.boot();
        Self { clock, start, boot_at_start }
    }

    /// The store's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.start + self.clock.boot().since(self.boot_at_start)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::SteadyClock;
    use crate::model::{ManualClock, Timestamp};

    #[test]
    fn jumps_of_the_wall_clock_go_unnoticed() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
        let steady = SteadyClock::new(clock.clone());

        clock.jump(-999_999);
        clock.advance(Duration::from_millis(5));
        assert_eq!(steady.now(), Timestamp::from_millis(1_000_005));

        clock.jump(i64::MAX / 2);
        clock.advance(Duration::from_millis(5));
        assert_eq!(steady.now(), Timestamp::from_millis(1_000_010));
    }
}
