//! Time, passed in: wall-clock time for records, time since boot for deadlines.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod coarse;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. Written into records; only ever compared with the same store's time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded to the nearest (as Flet does).
    pub const fn rounded_seconds(self) -> i64 {
        self.0.saturating_add(500).div_euclid(1000)
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Moved by a signed number of milliseconds, held at the ends of the range.
    pub const fn offset(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        self.offset(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        self.offset(-i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Nanoseconds since this machine booted, suspend included. Never leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime(u64);

impl BootTime {
    /// The far future, some 584 years after boot: a deadline that never passes.
    pub const NEVER: Self = Self(u64::MAX);

    /// From nanoseconds since boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for BootTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Where time comes from. Everything that asks for it is handed one of these.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time. May jump in either direction.
    fn now(&self) -> Timestamp;

    /// Time since boot. Never goes back, and goes on while the machine is suspended.
    fn boot(&self) -> BootTime;

    /// The same for the hot path: as cheap as can be, and up to 100 ms late.
    fn boot_coarse(&self) -> BootTime {
        self.boot()
    }
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock everyone else is handed")]
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since_epoch.map_or(0, |span| span.as_millis());
        Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn boot(&self) -> BootTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        BootTime(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn boot_coarse(&self) -> BootTime {
        BootTime(u64::try_from(coarse::COARSE.boot_nanos()).unwrap_or(0))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn boot(&self) -> BootTime {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "the best this platform offers portably")]
        let start = START.get_or_init(std::time::Instant::now);
        BootTime(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until it is moved.
#[cfg(any(test, feature = "test-support"))]
#[derive(Debug)]
pub struct ManualClock {
    wall: std::sync::atomic::AtomicI64,
    boot: std::sync::atomic::AtomicU64,
}

#[cfg(any(test, feature = "test-support"))]
impl ManualClock {
    /// A clock showing `wall`, one hour after boot.
    pub fn at(wall: Timestamp) -> Self {
        Self { wall: wall.as_millis().into(), boot: 3_600_000_000_000.into() }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, span: Duration) {
        let order = std::sync::atomic::Ordering::SeqCst;
        self.wall.fetch_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX), order);
        self.boot.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), order);
    }

    /// Makes the wall clock jump by a signed number of milliseconds; time since boot does not notice.
    pub fn jump(&self, millis: i64) {
        self.wall.fetch_add(millis, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(any(test, feature = "test-support"))]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn boot(&self) -> BootTime {
        BootTime(self.boot.load(std::sync::atomic::Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BootTime, Clock, SystemClock, Timestamp};

    #[test]
    fn arithmetic_holds_at_the_ends_of_the_range() {
        assert_eq!(
            Timestamp::from_millis(i64::MAX) + Duration::MAX,
            Timestamp::from_millis(i64::MAX)
        );
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
        assert_eq!(BootTime::NEVER + Duration::from_secs(1), BootTime::NEVER);
    }

    #[test]
    fn boot_time_moves_on() {
        let first = SystemClock.boot();

        assert!(SystemClock.boot() >= first);
        assert!(first.as_nanos() > 0);
    }
}
