//! Opening the file, and what its errors mean to us.

use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, TableHandle};

use crate::model::{Clock, Timestamp};
use crate::store::StoreError;
use crate::store::file::tables::{CREATED_KEY, FORMAT_KEY, META, TIME_KEY, Tables};
use crate::store::file::writer::Target;
use crate::store::steady::SteadyClock;

/// The newest format of the file as a whole that this version reads.
const FORMAT: i64 = 1;

/// Most memory that holds pages of the file.
const CACHE_BYTES: usize = 128 * 1024 * 1024;

/// A clock this little behind is not worth a warning: the file's time may run a second ahead.
const HARMLESS_LAG: Duration = Duration::from_secs(5);

/// Opens or makes the file at `path`.
pub(super) fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Target, StoreError> {
    let file = open_file(path).map_err(|error| io_error(path, &error))?;
    let database = open_database(path, file)?;
    let wall = clock.now();
    let newest = match stored_meta(path, &database)? {
        Some(newest) => newest,
        None => {
            initialise(path, &database, wall)?;
            wall
        }
    };
    let start = start_time(path, wall, newest);
    Ok(Target {
        path: path.to_owned(),
        database: Arc::new(RwLock::new(Some(database))),
        clock: Arc::new(SteadyClock::starting_at(clock, start)),
        time_bound: newest,
    })
}

/// Where the store's time goes on: at the wall clock, or at the newest time written if that is later.
///
/// However far the wall clock is behind, the store's time does not go back. Its absolute value means
/// nothing to a record, only spans do. If the last run's clock was in the future, going back would make
/// everything written then look fresh until that future comes, and tokens would be served long dead; going
/// on costs nothing. If the clock jumped ahead, sessions written before look expired and are refreshed.
fn start_time(path: &Path, wall: Timestamp, newest: Timestamp) -> Timestamp {
    let behind = newest.since(wall);
    if behind > HARMLESS_LAG {
        tracing::warn!(
            path = %path.display(),
            behind_s = behind.as_secs(),
            "the clock is {} s behind the newest time in the session file; the file's time goes on",
            behind.as_secs()
        );
    }
    wall.max(newest)
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_file(path, &mut options),
        Ok(file) if file.metadata()?.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        opened => opened,
    }
}

fn create_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let missing = format!("the folder {} does not exist; create it first", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, missing));
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    let file = options.create(true).truncate(false).open(path)?;
    // The name itself must survive a power cut too. Not every file system can do this; try.
    #[cfg(unix)]
    let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    Ok(file)
}

fn open_database(path: &Path, file: File) -> Result<Database, StoreError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let backend = FileBackend::new(file)?;
        Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)
    }));
    // A damaged file can make it panic instead of returning an error.
    let opened = opened.map_err(|_| corrupt(path, "its inner structure is broken"))?;
    opened.map_err(|error| translate(path, error))
}

/// The newest time written; `None` for a new file.
fn stored_meta(path: &Path, database: &Database) -> Result<Option<Timestamp>, StoreError> {
    let transaction = database.begin_read().map_err(|error| translate(path, error))?;
    let mut tables = transaction.list_tables().map_err(|error| translate(path, error))?.peekable();
    if tables.peek().is_none() {
        return Ok(None);
    }
    if !tables.any(|table| table.name() == "meta") {
        return Err(corrupt(path, "it belongs to another program"));
    }
    let meta = transaction.open_table(META).map_err(|error| translate(path, error))?;
    let value = |key| -> Result<i64, StoreError> {
        let row = meta.get(key).map_err(|error| translate(path, error))?;
        row.map(|row| row.value()).ok_or_else(|| corrupt(path, &format!("it has no {key}")))
    };
    let found = value(FORMAT_KEY)?;
    if found > FORMAT {
        return Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found: found.unsigned_abs(),
            supported: FORMAT.unsigned_abs(),
        });
    }
    if found < 1 {
        return Err(corrupt(path, "its format version was never in use"));
    }
    Ok(Some(Timestamp::from_millis(value(TIME_KEY)?)))
}

fn initialise(path: &Path, database: &Database, now: Timestamp) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(|error| translate(path, error))?;
    let mut tables = Tables::open(&transaction, path)?;
    tables.set_meta(FORMAT_KEY, FORMAT)?;
    tables.set_meta(CREATED_KEY, now.as_millis())?;
    tables.set_meta(TIME_KEY, now.as_millis())?;
    drop(tables);
    transaction.commit().map_err(|error| translate(path, error))
}

/// Says in our words what the storage engine reports.
pub(super) fn translate(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    let io = |detail: String| StoreError::Io { path: path.to_owned(), detail };
    match error.into() {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            StoreError::Locked { path: path.to_owned() }
        }
        redb::Error::Io(error) => io_error(path, &error),
        redb::Error::PreviousIo => {
            io("an earlier write failed, and nothing is written until the store is reopened".into())
        }
        redb::Error::DatabaseClosed => StoreError::Closed,
        error @ (redb::Error::LockPoisoned(_)
        | redb::Error::Backend(_)
        | redb::Error::Unsupported
        | redb::Error::RepairAborted
        | redb::Error::TransactionInProgress) => io(error.to_string()),
        error => corrupt(path, &error.to_string()),
    }
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            corrupt(path, &error.to_string())
        }
        _ => StoreError::Io { path: path.to_owned(), detail: error.to_string() },
    }
}

fn corrupt(path: &Path, detail: &str) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), detail: detail.to_owned() }
}
