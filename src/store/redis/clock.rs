//! The server's time between two answers of its: never ahead of it, and behind by a round trip at most.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{BootTime, Timestamp};

/// Samples are compared within windows of this length, so that two clocks that drift apart do so by
/// microseconds only.
const WINDOW: Duration = Duration::from_secs(10);

/// A sample further off than an answer can be late: the server's clock was set, or it is another server.
const STEP_MS: i64 = 1_000;

/// The server's time, from the answers that told it.
#[derive(Default)]
pub(super) struct ServerClock {
    state: Mutex<Option<State>>,
}

#[derive(Clone, Copy)]
struct State {
    /// Server's milliseconds less milliseconds since boot, at least, of the window before.
    before: i64,
    /// The same of this window.
    current: i64,
    began: BootTime,
    /// The latest time an answer told.
    told: i64,
    /// When the server's clock was last seen to have been set forward: what ended then, ended too early.
    set_forward: Option<BootTime>,
}

fn boot_millis(boot: BootTime) -> i64 {
    i64::try_from(boot.as_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

impl ServerClock {
    /// An answer that arrived at `boot` told `now`.
    pub(super) fn learn(&self, now: Timestamp, boot: BootTime) {
        // One millisecond less, for both were rounded down.
        let sample = now.as_millis() - boot_millis(boot) - 1;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = State {
            before: sample,
            current: sample,
            began: boot,
            told: now.as_millis(),
            set_forward: state.and_then(|old| old.set_forward),
        };
        *state = Some(match *state {
            Some(old) if sample + STEP_MS < old.best() => fresh,
            Some(old) if sample > old.best() + STEP_MS => {
                State { set_forward: Some(boot), ..fresh }
            }
            Some(old) => {
                let told = old.told.max(now.as_millis());
                if boot.since(old.began) >= WINDOW {
                    State { before: old.current, told, ..fresh }
                } else {
                    State { current: old.current.max(sample), told, ..old }
                }
            }
            None => fresh,
        });
    }

    /// The server's time at `boot`; `None` if no answer told it lately.
    pub(super) fn at(&self, boot: BootTime) -> Option<Timestamp> {
        let state = (*self.state.lock().unwrap_or_else(PoisonError::into_inner))?;
        let is_recent = boot.since(state.began) < WINDOW * 6;
        let now = (state.best() + boot_millis(boot)).max(state.told);
        is_recent.then(|| Timestamp::from_millis(now))
    }

    /// True if the server's clock was set forward within `span`: what lasts that long may seem over and is
    /// not.
    pub(super) fn was_set_forward_within(&self, span: Duration, boot: BootTime) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let set_forward = state.and_then(|state| state.set_forward);
        set_forward.is_some_and(|at| boot.since(at) < span)
    }
}

impl State {
    fn best(&self) -> i64 {
        self.before.max(self.current)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ServerClock;
    use crate::model::{BootTime, Timestamp};

    fn boot(millis: u64) -> BootTime {
        BootTime::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_quickest_answer_counts_and_the_estimate_is_never_ahead() {
        let clock = ServerClock::default();
        assert_eq!(clock.at(boot(0)), None);

        // The server is 1000 ms ahead; answers take 40, 2 and 9 ms.
        for (asked, took) in [(100, 40), (200, 2), (300, 9)] {
            clock.learn(
                Timestamp::from_millis(1000 + asked),
                boot(u64::try_from(asked + took).unwrap()),
            );
        }

        assert_eq!(clock.at(boot(400)), Some(Timestamp::from_millis(1400 - 2 - 1)));
    }

    #[test]
    fn a_server_whose_clock_was_set_back_is_believed_at_once() {
        let clock = ServerClock::default();
        clock.learn(Timestamp::from_millis(50_000), boot(0));

        clock.learn(Timestamp::from_millis(20_000), boot(100));

        assert_eq!(clock.at(boot(101)), Some(Timestamp::from_millis(20_000)));
    }

    #[test]
    fn a_clock_that_is_set_forward_is_remembered_for_as_long_as_it_matters() {
        let clock = ServerClock::default();
        let minute = Duration::from_secs(60);
        clock.learn(Timestamp::from_millis(50_000), boot(0));
        clock.learn(Timestamp::from_millis(50_900), boot(10));
        assert!(!clock.was_set_forward_within(minute, boot(10)), "an early answer is no step");

        clock.learn(Timestamp::from_millis(90_000), boot(1000));

        assert_eq!(clock.at(boot(1000)), Some(Timestamp::from_millis(90_000)));
        assert!(clock.was_set_forward_within(minute, boot(60_999)));
        assert!(!clock.was_set_forward_within(minute, boot(61_000)));
    }

    #[test]
    fn an_estimate_nobody_confirms_is_given_up() {
        let clock = ServerClock::default();
        clock.learn(Timestamp::from_millis(50_000), boot(0));

        assert!(clock.at(boot(59_000)).is_some());
        assert_eq!(clock.at(boot(60_000)), None);
    }
}
