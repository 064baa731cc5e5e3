//! A disk that does what a test says, and counts what it was asked.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::journal::disk::{Disk, RealDisk, SegmentFile};

pub(super) const ENOSPC: i32 = 28;
pub(super) const EIO: i32 = 5;
pub(super) const EROFS: i32 = 30;

/// The longest a sync hangs.
const HANG: Duration = Duration::from_secs(10);

/// What goes wrong, and how often what was asked. Shared with the disk that does it.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<(Mutex<Plan>, Condvar)>);

/// Errors are those of the operating system, by number.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) writes_fail: Option<i32>,
    /// Larger writes fail as on a full disk.
    pub(super) largest_write: Option<usize>,
    /// How much of a write that fails is written all the same.
    pub(super) short_by: usize,
    pub(super) syncs_fail: Option<i32>,
    /// Only so many syncs fail; `None` for all of them.
    pub(super) failing_syncs: Option<usize>,
    pub(super) cuts_fail: Option<i32>,
    pub(super) creates_fail: Option<i32>,
    pub(super) removes_fail: Option<i32>,
    /// Syncs wait until this is false again.
    pub(super) syncs_hang: bool,
    pub(super) writes_panic: bool,
    pub(super) writes: usize,
    pub(super) syncs: usize,
    pub(super) creates: usize,
    pub(super) directory_syncs: usize,
}

impl Faults {
    pub(super) fn set(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan());
        self.0.1.notify_all();
    }

    pub(super) fn plan(&self) -> MutexGuard<'_, Plan> {
        // A test that panics on purpose while writing poisons nothing that matters.
        self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fail_if(error: Option<i32>) -> io::Result<()> {
        error.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
    }
}

pub(super) struct FaultyDisk {
    faults: Faults,
    disk: RealDisk,
}

impl FaultyDisk {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, disk: RealDisk }
    }
}

impl Disk for FaultyDisk {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let mut plan = self.faults.plan();
        plan.creates += 1;
        Faults::fail_if(plan.creates_fail)?;
        let file = self.disk.create(path)?;
        Ok(Box::new(FaultyFile { faults: self.faults.clone(), file }))
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        self.faults.plan().directory_syncs += 1;
        self.disk.sync_directory(path)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        Faults::fail_if(self.faults.plan().removes_fail)?;
        self.disk.remove(path)
    }
}

struct FaultyFile {
    faults: Faults,
    file: Box<dyn SegmentFile>,
}

impl SegmentFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut plan = self.faults.plan();
        plan.writes += 1;
        assert!(!plan.writes_panic, "on purpose");
        if plan.writes_fail.is_some() {
            let part = bytes.len().min(plan.short_by);
            self.file.write(&bytes[..part])?;
        }
        Faults::fail_if(plan.writes_fail)?;
        let too_large = plan.largest_write.is_some_and(|largest| bytes.len() > largest);
        Faults::fail_if(too_large.then_some(ENOSPC))?;
        self.file.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut plan = self.faults.plan();
        plan.syncs += 1;
        // Not for ever: a test that fails drops its journal, which waits for this.
        let hanging = self.faults.0.1.wait_timeout_while(plan, HANG, |plan| plan.syncs_hang);
        plan = hanging.unwrap().0;
        let left = plan.failing_syncs.map(|left| left.checked_sub(1));
        match left {
            Some(None) => {}
            Some(Some(left)) => {
                plan.failing_syncs = Some(left);
                Faults::fail_if(plan.syncs_fail)?;
            }
            None => Faults::fail_if(plan.syncs_fail)?,
        }
        drop(plan);
        self.file.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        Faults::fail_if(self.faults.plan().cuts_fail)?;
        self.file.cut(length)
    }
}
