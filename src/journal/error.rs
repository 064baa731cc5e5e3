//! Why the journal could not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

/// Why the journal could not be opened or written, sorted by what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another process, or this one, has the directory open.
    #[error("journal directory {} is in use, here or in another process; give each node its own directory", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// Sealed under a key that is not on the keyring.
    #[error("{} is sealed under key {id}, which is not on the keyring; add that key", path.display())]
    UnknownKey {
        /// The segment.
        path: PathBuf,
        /// The missing key's id.
        id: u32,
    },
    /// The keyring has another key under that id.
    #[error("{} is sealed under another key than the keyring has as key {id}; put the right key there", path.display())]
    WrongKey {
        /// The segment.
        path: PathBuf,
        /// The key's id.
        id: u32,
    },
    /// Written by a later version of this program.
    #[error("{} has format {found}, this version reads up to {supported}; upgrade tokenhive", path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format this version reads.
        supported: u64,
    },
    /// The file with the node's name does not hold one.
    #[error("{} does not hold a node's name ({detail}); delete it, and the name is taken from the segments beside it", path.display())]
    BadName {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The disk refused. Not written, or not safe: the store has to know of the answer.
    #[error("cannot use {}: {detail}; check the path, its permissions and free space", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        detail: String,
    },
    /// As large as it may get: begin nothing that needs the journal.
    #[error(
        "the journal holds {bytes} of {max_bytes} bytes; make the store reachable, or raise max_bytes"
    )]
    Full {
        /// What it holds.
        bytes: u64,
        /// What it may hold.
        max_bytes: u64,
    },
    /// More than an entry can hold.
    #[error(
        "an entry of {bytes} bytes is too large for the journal, which takes {limit}; shorten it"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest there can be.
        limit: usize,
    },
    /// Busy: wait and try again. What was handed in may still be written.
    #[error("the journal is unavailable: {detail}")]
    Unavailable {
        /// What happened.
        detail: String,
    },
    /// The journal was closed.
    #[error("the journal is closed; open it again, or begin nothing after shutdown")]
    Closed,
}

impl JournalError {
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), detail: error.to_string() }
    }
}
