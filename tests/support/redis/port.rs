//! A port of 127.0.0.1 that nobody else takes, also while its server is down.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which systems hand out ports to others, with room for the bus of a cluster,
/// which listens 10000 higher.
const FIRST: u16 = 10_000;
const COUNT: u16 = 12_000;
const TO_BUS: u16 = 10_000;

/// A port, held among all tests of this machine by the UDP port of the same number.
pub struct Port {
    number: u16,
    _hold: UdpSocket,
}

impl Port {
    /// Finds one that is free.
    pub fn free() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Test binaries that run side by side begin at different places.
        let begin = std::process::id().wrapping_mul(61) % u32::from(COUNT);
        for _ in 0..COUNT {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let place = u16::try_from((begin + step) % u32::from(COUNT)).unwrap();
            if let Some(port) = Self::take(FIRST + place) {
                return port;
            }
        }
        panic!("no free port on 127.0.0.1");
    }

    fn take(number: u16) -> Option<Self> {
        let hold = UdpSocket::bind(("127.0.0.1", number)).ok()?;
        for port in [number, number + TO_BUS] {
            TcpListener::bind(("127.0.0.1", port)).ok()?;
        }
        Some(Self { number, _hold: hold })
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}
