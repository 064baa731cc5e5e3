//! What the server says of itself: what it was asked for, and what it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::server::Server;

/// What was called, by the command's name, those of scripts included.
pub type Calls = BTreeMap<String, Count>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub calls: u64,
    /// The server's time in them. A script's includes that of what it calls.
    pub micros: u64,
}

/// Nobody asked for anything for so long: whoever began something is done with it.
const QUIET: Duration = Duration::from_millis(100);

/// What these functions call themselves.
const OURS: &[&str] = &["info", "hello", "client|setinfo"];

async fn info(server: &Server, section: &str) -> BTreeMap<String, String> {
    let mut info = redis::cmd("INFO");
    info.arg(section);
    let answer = info.query_async(&mut server.connection().await).await;
    let text: String = answer.expect("the server is up");
    let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// How often each command was called since the server's start.
pub async fn calls(server: &Server) -> Calls {
    let stats = info(server, "commandstats").await;
    let calls = stats.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("cmdstat_").filter(|name| !OURS.contains(name))?;
        let field =
            |name| value.split(',').find_map(|field| field.strip_prefix(name)?.parse().ok());
        Some((name.to_owned(), Count { calls: field("calls=")?, micros: field("usec=")? }))
    });
    calls.collect()
}

/// What was called from one look to the next.
pub fn difference(before: &Calls, after: &Calls) -> Calls {
    let more = after.iter().map(|(name, now)| {
        let then = before.get(name).copied().unwrap_or_default();
        let more = Count { calls: now.calls - then.calls, micros: now.micros - then.micros };
        (name.clone(), more)
    });
    more.filter(|(_, more)| more.calls > 0).collect()
}

/// Bytes that data and buffers take.
pub async fn used_memory(server: &Server) -> u64 {
    info(server, "memory").await["used_memory"].parse().expect("a number of bytes")
}

/// Waits until nobody asks for anything.
pub async fn quiet(server: &Server) {
    let mut before = calls(server).await;
    loop {
        tokio::time::sleep(QUIET).await;
        let after = calls(server).await;
        if after == before {
            return;
        }
        before = after;
    }
}
