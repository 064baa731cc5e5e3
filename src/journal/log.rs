//! The segments on disk: entries are appended to the newest, and those nobody needs are removed.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use crate::journal::active::Active;
use crate::journal::book::{Book, Segment};
use crate::journal::codec::Written;
use crate::journal::directory::Directory;
use crate::journal::disk::{Disk, SegmentFile};
use crate::journal::pending::{Pending, Subject};
use crate::journal::reading::Extent;
use crate::journal::segment::{self, Header};
use crate::ledger::AttemptId;
use crate::model::{BootTime, Clock};
use crate::sealing::Keyring;

/// As much must fit onto a disk before it is said to take writes again.
const PROBE_BYTES: usize = 16 * 1024;

/// Where a log is, and by which rules it is kept.
pub(super) struct Site {
    pub(super) directory: Directory,
    pub(super) disk: Box<dyn Disk>,
    pub(super) keyring: Keyring,
    pub(super) clock: Arc<dyn Clock>,
    /// When a segment is this large, it ends.
    pub(super) segment_bytes: u64,
    pub(super) retention: Duration,
    pub(super) boot: Option<u128>,
}

/// The segments on disk.
pub(super) struct Log {
    site: Site,
    book: Book,
    /// The number of the next segment.
    next: u64,
    /// `None` after an error, until a new one could be made.
    active: Option<Active>,
    /// The segment the next one takes over from, if the disk failed it.
    abandoned: Option<u64>,
    /// Written and not known to be durable: written again if the disk fails to make it so.
    unsynced: Vec<Pending>,
    unsynced_bytes: usize,
    /// When the first of them was written.
    unsynced_since: Option<BootTime>,
    /// Shared with those who read: while there are any, nothing is removed.
    readers: Arc<()>,
    removal_failed: bool,
}

/// What came of making entries durable.
#[derive(Debug)]
pub(super) enum Synced {
    Safe,
    /// The disk failed to, so they were written again into a new segment, and are safe there.
    SavedAnew(io::Error),
}

/// What can be read. Nothing of it is removed before it is dropped.
#[derive(Debug)]
pub(super) struct Readable {
    pub(super) extents: Vec<Extent>,
    _hold: Arc<()>,
}

impl Log {
    /// Goes on behind the segments in `book`.
    pub(super) fn behind(book: Book, site: Site) -> Self {
        Self {
            next: book.newest().map_or(1, |newest| newest + 1),
            site,
            book,
            active: None,
            abandoned: None,
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            unsynced_since: None,
            readers: Arc::default(),
            removal_failed: false,
        }
    }

    /// The size of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.book.bytes()
    }

    pub(super) fn is_open(&self, attempt: AttemptId) -> bool {
        self.book.is_open(attempt)
    }

    /// The size of what is not known to be durable.
    pub(super) fn unsynced_bytes(&self) -> usize {
        self.unsynced_bytes
    }

    /// Since when something is not known to be durable.
    pub(super) fn unsynced_since(&self) -> Option<BootTime> {
        self.unsynced_since
    }

    /// True if time alone will make segments end or go.
    pub(super) fn is_ageing(&self) -> bool {
        let written = self.active.as_ref().is_some_and(|active| active.started.is_some());
        written || self.book.segments().nth(1).is_some()
    }

    pub(super) fn readable(&self) -> Readable {
        let extents = self.book.segments();
        let extents = extents.map(|(number, bytes)| Extent { number, bytes: Some(bytes) });
        Readable { extents: extents.collect(), _hold: self.readers.clone() }
    }

    /// Writes entries. When this returns they survive the process, not yet the machine.
    pub(super) fn append(&mut self, entries: Vec<Pending>) -> io::Result<()> {
        let active = self.active()?;
        let mark = active.mark();
        let now = self.site.clock.boot();
        let active = self.active.as_mut().expect("it was just there");
        if let Err(error) = active.write(&self.site.keyring, &entries, now) {
            if active.cut(mark).is_err() {
                self.abandon();
            }
            return Err(error);
        }
        self.enter(&entries, now);
        self.unsynced_bytes += entries.iter().map(Pending::bytes).sum::<usize>();
        self.unsynced.extend(entries);
        self.unsynced_since = self.unsynced_since.or(Some(now));
        Ok(())
    }

    /// Makes everything written survive the machine.
    ///
    /// After an error of the disk nobody knows which pages it still has. The segment is left alone, and
    /// what was not yet durable is written anew.
    pub(super) fn sync(&mut self) -> io::Result<Synced> {
        if self.unsynced.is_empty() {
            return Ok(Synced::Safe);
        }
        let Some(active) = self.active.as_mut() else {
            return self.active().map(|_| Synced::Safe);
        };
        match active.sync() {
            Ok(()) => {
                self.settled();
                Ok(Synced::Safe)
            }
            Err(error) => {
                self.abandon();
                self.active().map(|_| Synced::SavedAnew(error))
            }
        }
    }

    /// Tries whether the disk takes writes, and saves what it failed to.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        let mark = self.active()?.mark();
        let padding = Pending::standing(Written::Padding { bytes: vec![0; PROBE_BYTES] });
        let now = self.site.clock.boot();
        let active = self.active.as_mut().expect("it was just there");
        if let Err(error) = active.write(&self.site.keyring, &[padding], now) {
            if active.cut(mark).is_err() {
                self.abandon();
            }
            return Err(error);
        }
        if let Err(error) = active.sync() {
            self.abandon();
            return Err(error);
        }
        if active.cut(mark).is_err() {
            tracing::debug!("padding stays in the journal, where it harms nothing");
        }
        self.settled();
        self.enter(&[], now);
        Ok(())
    }

    /// True if the newest segment is large enough, or old enough for what is in it to be forgotten.
    pub(super) fn is_rotation_due(&self, now: BootTime) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let age = active.started.map(|started| now.since(started));
            active.bytes >= self.site.segment_bytes
                || age.is_some_and(|age| age >= self.site.retention)
        })
    }

    /// Begins the next segment. What stands in the last one must be durable.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.active = None;
        self.active().map(|_| ())
    }

    /// Removes the segments nobody needs any more.
    pub(super) fn clean(&mut self, now: BootTime) -> io::Result<()> {
        let going = self.book.removable(now, self.site.retention);
        if going.is_empty() || Arc::strong_count(&self.readers) > 1 {
            return Ok(());
        }
        let remaining = self.book.remaining_without(&going);
        if !remaining.is_empty() {
            let entries = remaining.into_iter().map(|(of, open)| Pending::remaining(of, open));
            self.append(entries.collect())?;
            if let Synced::SavedAnew(error) = self.sync()? {
                return Err(error);
            }
        }
        for number in going {
            self.remove(number);
        }
        // If the names come back after a power cut, they are removed again.
        let _ = self.site.disk.sync_directory(&self.site.directory.path);
        Ok(())
    }

    fn remove(&mut self, number: u64) {
        let path = segment::path(&self.site.directory.path, number);
        match self.site.disk.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.removal_failed, true) {
                    tracing::warn!(
                        path = %path.display(),
                        "a segment of the journal cannot be removed: {error}; check permissions"
                    );
                }
            }
            _ => {
                self.book.remove(number);
                self.removal_failed = false;
            }
        }
    }

    /// The segment being written, made if there is none.
    fn active(&mut self) -> io::Result<&mut Active> {
        if self.active.is_none() {
            let number = self.next;
            self.next += 1;
            let path = segment::path(&self.site.directory.path, number);
            let file = self.site.disk.create(&path)?;
            if let Err(error) = self.begin(number, file) {
                // If this fails as well, it is an empty segment the next start removes.
                let _ = self.site.disk.remove(&path);
                return Err(error);
            }
        }
        Ok(self.active.as_mut().expect("it was just made"))
    }

    /// Begins a segment with what the one before it did not make durable.
    fn begin(&mut self, number: u64, file: Box<dyn SegmentFile>) -> io::Result<()> {
        let header = Header { node: self.site.directory.node, number, boot: self.site.boot };
        let mut active = Active::begin(file, header)?;
        let now = self.site.clock.boot();
        let book = &self.book;
        self.unsynced.retain(|entry| entry.opens().is_none_or(|attempt| book.is_open(attempt)));
        if !self.unsynced.is_empty() {
            active.write(&self.site.keyring, &self.unsynced, now)?;
            active.sync()?;
        }
        self.site.disk.sync_directory(&self.site.directory.path)?;
        self.book.add(number, Segment { bytes: active.bytes, ..Segment::default() });
        if let Some(abandoned) = self.abandoned.take() {
            self.book.inherit(number, abandoned);
        }
        self.active = Some(active);
        let entries = std::mem::take(&mut self.unsynced);
        self.enter(&entries, now);
        self.settled();
        Ok(())
    }

    fn abandon(&mut self) {
        self.abandoned = self.active.take().map(|active| active.number).or(self.abandoned);
    }

    fn settled(&mut self) {
        self.unsynced.clear();
        self.unsynced_bytes = 0;
        self.unsynced_since = None;
    }

    /// Enters into the book what now stands in the newest segment.
    fn enter(&mut self, entries: &[Pending], now: BootTime) {
        let Some(active) = &self.active else {
            return;
        };
        self.book.resize(active.number, active.bytes);
        if !entries.is_empty() {
            self.book.touch(active.number, now);
        }
        for entry in entries {
            match &entry.subject {
                Subject::Opens(attempt) => self.book.opens(*attempt, active.number),
                Subject::Closes(attempts) => {
                    for attempt in attempts {
                        self.book.closes(*attempt, active.number, now);
                    }
                }
                Subject::Marks(of) => self.book.marks(active.number, *of),
                Subject::Nothing => {}
            }
        }
    }
}
