//! Named points at which a test may kill or stop the process. Compiled out of release builds, unless the
//! feature `fault-points` asks for them.
//!
//! `TOKENHIVE_FAULT=<point>:<action>[:<nth>]`: at the nth passage of the point (the first, unless told
//! otherwise) the process is killed (`kill`) or stopped (`stop`). The points of one exchange, in order:
//! `t0` its intent is written, `t1` the store gave leave, `t2` 50 ms and `t3` 150 ms after its request was
//! handed to the network, `t4` the answer is read, `t5` the journal has it, not yet synced, `t6` the
//! journal is synced, `t7` the store has it, `t8` readers see it.

#[cfg(all(unix, any(debug_assertions, feature = "fault-points")))]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};
    use rustix::time::{ClockId, clock_gettime};

    /// By then every thread of the process has been stopped. The time that it stays so counts.
    const STOPPED_WITHIN: Duration = Duration::from_millis(200);

    struct Fault {
        point: String,
        signal: Signal,
        nth: u64,
        passed: AtomicU64,
    }

    static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
        let text = std::env::var("TOKENHIVE_FAULT").ok()?;
        let mut parts = text.split(':');
        let point = parts.next()?.to_owned();
        let signal = match parts.next() {
            Some("stop") => Signal::STOP,
            _ => Signal::KILL,
        };
        let nth = parts.next().and_then(|nth| nth.parse().ok()).unwrap_or(1);
        Some(Fault { point, signal, nth, passed: AtomicU64::new(0) })
    });

    pub(crate) fn point(name: &str) {
        let Some(fault) = FAULT.as_ref().filter(|fault| fault.point == name) else { return };
        if fault.passed.fetch_add(1, Ordering::SeqCst) + 1 == fault.nth {
            // The signal may come a moment later: nothing must happen until it has.
            let sent = now();
            let _ = kill_process(getpid(), fault.signal);
            while fault.signal == Signal::KILL || now().saturating_sub(sent) < STOPPED_WITHIN {
                std::hint::spin_loop();
            }
        }
    }

    fn now() -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
    }

    /// The points that lie in the middle of a request.
    pub(crate) fn in_flight() {
        if FAULT.as_ref().is_some_and(|fault| matches!(fault.point.as_str(), "t2" | "t3")) {
            tokio::spawn(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                point("t2");
                tokio::time::sleep(Duration::from_millis(100)).await;
                point("t3");
            });
        }
    }
}

#[cfg(all(unix, any(debug_assertions, feature = "fault-points")))]
pub(crate) use self::armed::{in_flight, point};

#[cfg(not(all(unix, any(debug_assertions, feature = "fault-points"))))]
#[inline]
pub(crate) fn point(_name: &str) {}

#[cfg(not(all(unix, any(debug_assertions, feature = "fault-points"))))]
#[inline]
pub(crate) fn in_flight() {}
