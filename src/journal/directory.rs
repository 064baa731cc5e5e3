//! The directory: who holds it, what the node is called, which segments lie in it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::journal::JournalError;
use crate::journal::disk::sync_directory;
use crate::journal::segment::{self, HEADER_LEN, Header};

const LOCK: &str = "LOCK";
const NAME: &str = "node";
const NEW_NAME: &str = "node.new";

/// A directory this process holds until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// The node's lasting name.
    pub(super) node: u128,
    /// Unlocks when it is closed.
    _lock: File,
}

impl Directory {
    /// Takes the directory, making it if it is not there.
    pub(super) fn take(path: &Path) -> Result<Self, JournalError> {
        make(path).map_err(|error| JournalError::io(path, &error))?;
        let lock_path = path.join(LOCK);
        let lock = open_lock(&lock_path).map_err(|error| JournalError::io(&lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Locked { directory: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(JournalError::io(&lock_path, &error)),
        }
        Ok(Self { path: path.to_owned(), node: node(path)?, _lock: lock })
    }

    /// The segments, oldest first.
    pub(super) fn segments(&self) -> Result<Vec<u64>, JournalError> {
        segments(&self.path).map_err(|error| JournalError::io(&self.path, &error))
    }
}

fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above.filter(|above| !above.is_dir()) {
        let missing = format!("the folder {} does not exist; create it first", above.display());
        return Err(io::Error::new(ErrorKind::NotFound, missing));
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // The name itself must survive a power cut too. Not every file system can do this; try.
    let _ = sync_directory(above.unwrap_or(Path::new(".")));
    Ok(())
}

/// Where nothing can be written, what is there is still worth reading.
fn open_lock(path: &Path) -> io::Result<File> {
    match owned_by_us().create(true).truncate(false).open(path) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
            ) =>
        {
            File::open(path).map_err(|_| error)
        }
        opened => opened,
    }
}

fn owned_by_us() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The node's name: as it is written, or as the segments have it, or a new one.
fn node(directory: &Path) -> Result<u128, JournalError> {
    let path = directory.join(NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(text.trim()).ok_or_else(|| {
            let detail = "32 hexadecimal digits are expected".into();
            JournalError::BadName { path, detail }
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let node = node_of_segments(directory).unwrap_or_else(draw);
            write_node(directory, node).map_err(|error| JournalError::io(&path, &error))?;
            Ok(node)
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(JournalError::BadName { path, detail: "it is not text".into() })
        }
        Err(error) => Err(JournalError::io(&path, &error)),
    }
}

fn parse(text: &str) -> Option<u128> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| plain)
}

fn node_of_segments(directory: &Path) -> Option<u128> {
    let header_of = |number| {
        let mut bytes = [0; HEADER_LEN];
        File::open(segment::path(directory, number)).ok()?.read_exact(&mut bytes).ok()?;
        Header::decode(&bytes).ok()
    };
    segments(directory).ok()?.into_iter().rev().find_map(header_of).map(|header| header.node)
}

fn draw() -> u128 {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_be_bytes(bytes)
}

/// The whole name or none of it, whenever the power goes.
fn write_node(directory: &Path, node: u128) -> io::Result<()> {
    let new = directory.join(NEW_NAME);
    let mut file = owned_by_us().create(true).truncate(true).open(&new)?;
    writeln!(file, "{node:032x}")?;
    file.sync_all()?;
    std::fs::rename(&new, directory.join(NAME))?;
    sync_directory(directory)
}

fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(segment::number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::Directory;
    use crate::journal::JournalError;
    use crate::journal::segment::{self, Header};

    #[test]
    fn name_is_drawn_once_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = Directory::take(&folder.path().join("a")).unwrap().node;

        assert_eq!(Directory::take(&folder.path().join("a")).unwrap().node, first);
        assert_ne!(Directory::take(&folder.path().join("b")).unwrap().node, first);
    }

    #[test]
    fn lost_name_is_taken_from_the_segments() {
        let folder = tempfile::tempdir().unwrap();
        let header = Header { node: 77, number: 3, boot: None };
        std::fs::write(segment::path(folder.path(), 3), header.encode()).unwrap();
        std::fs::write(segment::path(folder.path(), 4), b"torn").unwrap();

        assert_eq!(Directory::take(folder.path()).unwrap().node, 77);
        assert_eq!(Directory::take(folder.path()).unwrap().segments(), Ok(vec![3, 4]));
    }

    #[test]
    fn damaged_name_is_an_error_that_says_what_to_do() {
        for content in [&b""[..], b"12", b"\xff\xfe", b"+123456789012345678901234567890ab"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("node"), content).unwrap();

            let error = Directory::take(folder.path()).unwrap_err();

            assert!(matches!(error, JournalError::BadName { .. }), "{error}");
            assert!(error.to_string().contains("delete it"), "{error}");
        }
    }
}
