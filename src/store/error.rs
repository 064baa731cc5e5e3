//! Why a store could not answer.

use std::fmt;
use std::path::PathBuf;

/// Why a store could not answer, sorted by what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or is busy right now: wait and try again.
    #[error("the store is unavailable: {outage}{}", in_brackets(detail))]
    Unavailable {
        /// What kind of trouble it is.
        outage: Outage,
        /// What happened; may be empty.
        detail: String,
    },
    /// The server may not be used as it is set up.
    #[error("the store cannot be used: {problem}; {remedy}")]
    Refused {
        /// What is wrong.
        problem: String,
        /// What to set.
        remedy: String,
    },
    /// Another process has the file open.
    #[error("{} is already open, here or in another process; close it there or open another file", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a store, or its content is damaged.
    #[error("{} is damaged or not a tokenhive store ({detail}); restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file was written by a later version of this program.
    #[error("{} has format {found}, this version reads up to {supported}; upgrade tokenhive", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format this version reads.
        supported: u64,
    },
    /// The file cannot be read or written: check path, permissions and free space.
    #[error("cannot use {}: {detail}; check the path, its permissions and free space", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        detail: String,
    },
    /// The store was closed.
    #[error("the store is closed; open it again, or begin nothing after shutdown")]
    Closed,
}

fn in_brackets(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

/// Why a store cannot be used right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outage {
    /// It did not answer in time. A write may have had its effect, now or later.
    NoAnswer,
    /// The connection is down, or broke before an answer came: a write may have had its effect.
    Disconnected,
    /// It has become a replica and takes no writes: a failover is under way.
    ReadOnly,
    /// Its memory is full: it takes no writes.
    Full,
    /// It is reading its data after a start.
    Loading,
    /// The session's part of it is being moved to another server, or has no server.
    Moving,
    /// It may have lost writes, and gives no leave to begin until others have put back what they know.
    Settling,
    /// Not enough of its copies took note in time.
    Unconfirmed,
    /// It has more to do than it can take.
    Busy,
    /// It refused, or answered what no store answers.
    Failed,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "no answer in time",
            Self::Disconnected => "not connected",
            Self::ReadOnly => "it takes no writes, a failover is under way",
            Self::Full => "its memory is full",
            Self::Loading => "it is loading its data",
            Self::Moving => "the session's part of it is being moved",
            Self::Settling => "it was restarted or failed over a moment ago",
            Self::Unconfirmed => "its replicas did not confirm in time",
            Self::Busy => "it has more to do than it can take",
            Self::Failed => "it failed",
        })
    }
}
