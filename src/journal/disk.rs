//! What the journal does to the disk, so that tests can have it fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// The file operations that can fail while the journal is in use.
pub(super) trait Disk: Send {
    /// Makes a new, empty segment.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
    /// Makes the names in the directory durable.
    fn sync_directory(&mut self, path: &Path) -> io::Result<()>;
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// A segment being written.
pub(super) trait SegmentFile: Send {
    /// Writes all of `bytes` at the end. After an error any part of them may be there.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written durable. After an error nobody knows what is, and asking again is no
    /// help: the kernel may have dropped the pages.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file off at `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// The disk itself.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Box::new(RealFile(options.open(path)?)))
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        sync_directory(path)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

struct RealFile(File);

impl SegmentFile for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.seek(SeekFrom::Start(length)).map(|_| ())
    }
}

/// Makes the names in a directory durable, where the platform can.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
