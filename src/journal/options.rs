//! Where the journal is, how large it may get and how long it keeps what it knows.

use std::path::PathBuf;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// A segment smaller than this is mostly header.
const SMALLEST_SEGMENT: u64 = 4 * 1024;

/// In a larger one, what is open of it would not fit into one frame.
const LARGEST_SEGMENT: u64 = 16 * MIB;

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The node's own directory; made if only its last part is missing. It should survive the process:
    /// a volume of the pod is enough for a crash, a disk that outlives the machine for more than that.
    pub directory: PathBuf,
    /// When a segment is this large, the next one begins. Held between 4 KiB and 16 MiB, and to an
    /// eighth of `max_bytes`. Default 8 MiB.
    pub segment_bytes: u64,
    /// Most bytes on disk. The last eighth is kept for answers: they exist nowhere else. Default 1 GiB.
    pub max_bytes: u64,
    /// How long an exchange is remembered after the store learned of it, and a deletion after it was
    /// made, in case the store loses writes. Default 10 minutes.
    pub retention: Duration,
    /// Answers become durable together, at most once in this time. Raise it on slow disks, to a second at
    /// most. Default 2 ms.
    pub flush_every: Duration,
}

impl JournalOptions {
    /// A journal in `path`, everything else by default.
    pub fn in_directory(path: impl Into<PathBuf>) -> Self {
        Self {
            directory: path.into(),
            segment_bytes: 8 * MIB,
            max_bytes: 1024 * MIB,
            retention: Duration::from_secs(10 * 60),
            flush_every: Duration::from_millis(2),
        }
    }

    /// The size at which a segment ends.
    pub(super) fn segment_limit(&self) -> u64 {
        let share = (self.max_bytes / 8).min(LARGEST_SEGMENT);
        self.segment_bytes.min(share).max(SMALLEST_SEGMENT)
    }

    pub(super) fn flush_interval(&self) -> Duration {
        self.flush_every.min(Duration::from_secs(1))
    }

    /// The size from which on intents are refused.
    pub(super) fn intent_limit(&self) -> u64 {
        self.max_bytes - self.max_bytes / 8
    }
}
