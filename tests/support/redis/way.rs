//! Which of the ways to a Redis is taken.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use super::container;

/// Names a Redis that runs already. Tests share it, and keep apart by the prefix of their keys.
pub const GIVEN: &str = "TOKENHIVE_TEST_REDIS";

/// Forces servers of our own, run as a `container` or as a `process`.
pub const FORCED: &str = "TOKENHIVE_TEST_REDIS_VIA";

const NONE: &str = "no Redis for this test. Install one (sudo apt-get install redis-server), or start \
    Docker and run tests/redis-image.sh; for tests that share a server, the URL of one that runs, in \
    TOKENHIVE_TEST_REDIS, will do";

/// How a server of our own is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the Docker engine, from the image of `tests/redis-image.sh`.
    Container,
    /// From the `redis-server` on the PATH.
    Process,
}

impl Way {
    /// The first of `order` that is open here, unless the environment forces one.
    pub async fn choose(order: [Self; 2]) -> Self {
        let forced = forced();
        for way in forced.map_or(order.to_vec(), |way| vec![way]) {
            if way.is_open().await {
                way.announce();
                return way;
            }
        }
        match forced {
            Some(way) => panic!("{NONE} ({FORCED} allows only {way:?})"),
            None => panic!("{NONE}"),
        }
    }

    /// Whether servers can be run this way here.
    pub async fn is_open(self) -> bool {
        match self {
            Self::Container => container::image_is_there().await,
            Self::Process => server_is_there(),
        }
    }

    fn announce(self) {
        match self {
            Self::Container => say(&format!("containers of {}", container::IMAGE)),
            Self::Process => say("redis-server on the PATH"),
        }
    }
}

/// The Redis the environment names, unless it forces a way of our own.
pub fn given() -> Option<String> {
    let url = std::env::var(GIVEN).ok().filter(|url| !url.is_empty());
    url.filter(|_| forced().is_none())
}

fn forced() -> Option<Way> {
    match std::env::var(FORCED).as_deref() {
        Ok("container") => Some(Way::Container),
        Ok("process") => Some(Way::Process),
        Ok("") | Err(_) => None,
        Ok(other) => panic!("{FORCED} is container or process, not {other}"),
    }
}

fn server_is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let mut command = Command::new("redis-server");
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// Says which Redis is used, each once, past the capture of the test's output.
pub fn say(which: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(which.to_owned()) {
        let line = format!("Redis of these tests: {which}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
