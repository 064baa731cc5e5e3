//! A circuit breaker: after enough failures a provider rests, then one probe a second tells.

use std::time::Duration;

use crate::actors::gate::Health;
use crate::model::BootTime;

/// Failures are counted over windows of this length.
const WINDOW: Duration = Duration::from_secs(10);
/// With fewer requests in a window nothing is concluded.
const LEAST_REQUESTS: u32 = 20;
/// A resting provider is probed this often.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The wait after a 429 or 503 that names none.
const UNNAMED_WAIT: Duration = Duration::from_secs(5);
/// A `Retry-After` beyond this is not believed for the whole client.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Counts and decides; knows no clock.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    window_began: BootTime,
    requests: u32,
    failures: u32,
    resting: bool,
    /// While resting: when the next probe may go.
    next_probe: BootTime,
    /// The provider asked for patience until then.
    paused_until: BootTime,
}

impl Breaker {
    /// Whether a request could go now, without taking a probe.
    pub(crate) fn check(&self, now: BootTime) -> Result<(), Duration> {
        if now < self.paused_until {
            return Err(self.paused_until.since(now));
        }
        if self.resting && now < self.next_probe {
            return Err(self.next_probe.since(now));
        }
        Ok(())
    }

    /// Whether this request may go now.
    pub(crate) fn admit(&mut self, now: BootTime) -> Result<(), Duration> {
        self.check(now)?;
        if self.resting {
            self.next_probe = now + PROBE_EVERY;
        }
        Ok(())
    }

    pub(crate) fn report(&mut self, health: Health, now: BootTime) {
        if let Health::Busy { retry_after } = health {
            let wait = retry_after.unwrap_or(UNNAMED_WAIT).min(LONGEST_WAIT);
            self.paused_until = self.paused_until.max(now + wait);
            return;
        }
        if now.since(self.window_began) >= WINDOW {
            (self.window_began, self.requests, self.failures) = (now, 0, 0);
        }
        self.requests += 1;
        if health == Health::Answered {
            self.resting = false;
            return;
        }
        self.failures += 1;
        let half_failed = self.failures * 2 >= self.requests;
        if !self.resting && self.requests >= LEAST_REQUESTS && half_failed {
            self.resting = true;
            self.next_probe = now + PROBE_EVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Breaker;
    use crate::actors::gate::Health;
    use crate::model::BootTime;

    fn at(millis: u64) -> BootTime {
        BootTime::from_nanos(1_000_000_000_000 + millis * 1_000_000)
    }

    fn failing() -> Breaker {
        let mut breaker = Breaker::default();
        (0..20).for_each(|i| breaker.report(Health::Failed, at(i)));
        breaker
    }

    #[test]
    fn a_failing_provider_rests_and_gets_one_probe_a_second() {
        let mut breaker = failing();

        assert_eq!(breaker.admit(at(19)), Err(Duration::from_secs(1)));
        assert_eq!(breaker.admit(at(1019)), Ok(()));
        assert!(breaker.admit(at(1020)).is_err(), "one probe only");
        assert_eq!(breaker.admit(at(2019)), Ok(()));
    }

    #[test]
    fn one_answered_probe_ends_the_rest() {
        let mut breaker = failing();

        breaker.report(Health::Answered, at(1100));

        assert_eq!(breaker.admit(at(1101)), Ok(()));
        assert_eq!(breaker.admit(at(1102)), Ok(()));
    }

    #[test]
    fn a_few_failures_among_many_answers_conclude_nothing() {
        let mut breaker = Breaker::default();

        for i in 0..100 {
            let health = if i % 3 == 0 { Health::Failed } else { Health::Answered };
            breaker.report(health, at(i));
        }

        assert_eq!(breaker.admit(at(101)), Ok(()));
    }

    #[test]
    fn retry_after_holds_for_everyone_and_is_not_believed_for_ever() {
        let mut breaker = Breaker::default();

        breaker.report(Health::Busy { retry_after: Some(Duration::from_secs(3)) }, at(0));
        assert_eq!(breaker.admit(at(1000)), Err(Duration::from_secs(2)));
        assert_eq!(breaker.admit(at(3000)), Ok(()));

        breaker.report(Health::Busy { retry_after: Some(Duration::MAX) }, at(3000));
        assert_eq!(breaker.admit(at(3000)), Err(Duration::from_secs(900)));
    }
}
