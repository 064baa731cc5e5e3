//! Why a store could not answer.

use std::path::PathBuf;

/// Why a store could not answer, sorted by what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or is busy right now: wait and try again.
    #[error("the store is unavailable: {detail}")]
    Unavailable {
        /// What happened.
        detail: String,
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
