//! Reading segments back: after a start, and while the journal is in use.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::journal::book::Segment;
use crate::journal::codec::Stamp;
use crate::journal::gathering::{Gathering, Place};
use crate::journal::scan::{Damage, Scan, ScanFault, scan};
use crate::journal::segment::{self, FORMAT};
use crate::journal::{JournalError, Recovered};
use crate::model::{BootTime, Clock};
use crate::sealing::Keyring;

/// What it takes to read a journal.
pub(super) struct Reader {
    pub(super) directory: PathBuf,
    pub(super) node: u128,
    pub(super) boot: Option<u128>,
    pub(super) keyring: Keyring,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) retention: Duration,
}

/// A segment to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) number: u64,
    /// How much of it is whole; `None` if nobody knows.
    pub(super) bytes: Option<u64>,
}

/// What was read.
pub(super) struct Reading {
    pub(super) recovered: Recovered,
    pub(super) segments: BTreeMap<u64, Segment>,
    /// Where the last segment is to be cut off.
    pub(super) torn: Option<Torn>,
}

/// A segment that ends in a torn frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) number: u64,
    /// What comes before it.
    pub(super) whole: u64,
}

impl Reader {
    /// Reads segments, the last of which may be torn if nobody knows how much of it is whole.
    pub(super) fn read(&self, extents: &[Extent]) -> Result<Reading, JournalError> {
        let now = Stamp::now(&*self.clock);
        let mut pass = Pass::new(self.clock.boot(), self.retention);
        for (index, extent) in extents.iter().enumerate() {
            let path = segment::path(&self.directory, extent.number);
            let bytes = match read(&path, extent.bytes) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(JournalError::io(&path, &error));
                }
                Err(error) => {
                    pass.unreadable(extent.number, &path, &error);
                    continue;
                }
            };
            let scan = scan(&self.keyring, self.node, extent.number, &bytes)
                .map_err(|fault| in_file(&path, fault))?;
            let may_be_torn = extent.bytes.is_none() && index + 1 == extents.len();
            let same_boot = scan.boot.is_some() && scan.boot == self.boot;
            let place = Place { segment: extent.number, now, same_boot };
            pass.take(place, &path, scan, may_be_torn);
        }
        self.check_keys(&pass)?;
        let mut recovered = pass.gathering.finish(&mut pass.segments, pass.started);
        recovered.torn_bytes = pass.torn_bytes;
        recovered.damaged_places = pass.damage.places;
        recovered.damaged_bytes = pass.damage.bytes;
        Ok(Reading { recovered, segments: pass.segments, torn: pass.torn })
    }

    /// A key that opens nothing and is not missing is another key under the same id. One that opens
    /// some is the right one, and what it does not open is damaged.
    fn check_keys(&self, pass: &Pass) -> Result<(), JournalError> {
        match pass.bad_keys.iter().find(|(id, _)| !pass.good_keys.contains(id)) {
            Some((id, number)) => {
                let path = segment::path(&self.directory, *number);
                Err(JournalError::WrongKey { path, id: *id })
            }
            None => Ok(()),
        }
    }
}

fn read(path: &Path, length: Option<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = std::fs::read(path)?;
    if let Some(length) = length.and_then(|length| usize::try_from(length).ok()) {
        bytes.truncate(length);
    }
    Ok(bytes)
}

fn in_file(path: &Path, fault: ScanFault) -> JournalError {
    let path = path.to_owned();
    match fault {
        ScanFault::NewerFormat { found } => {
            JournalError::NewerFormat { path, found, supported: FORMAT.into() }
        }
        ScanFault::UnknownKey { id } => JournalError::UnknownKey { path, id },
    }
}

/// What a pass over the segments adds up.
struct Pass {
    started: BootTime,
    gathering: Gathering,
    segments: BTreeMap<u64, Segment>,
    torn: Option<Torn>,
    torn_bytes: u64,
    damage: Damage,
    good_keys: Vec<u32>,
    /// With the segment in which each was found.
    bad_keys: BTreeMap<u32, u64>,
}

impl Pass {
    fn new(started: BootTime, retention: Duration) -> Self {
        Self {
            started,
            gathering: Gathering::new(retention),
            segments: BTreeMap::new(),
            torn: None,
            torn_bytes: 0,
            damage: Damage::default(),
            good_keys: Vec::new(),
            bad_keys: BTreeMap::new(),
        }
    }

    fn take(&mut self, place: Place, path: &Path, scan: Scan, may_be_torn: bool) {
        let (number, length) = (place.segment, scan.bytes);
        let mut damage = scan.damage;
        if let Some(whole) = scan.tail.filter(|whole| *whole < length) {
            if may_be_torn {
                self.tear(path, Torn { number, whole: whole as u64 }, length - whole);
            } else {
                damage.add(length - whole);
            }
        }
        for entry in scan.entries {
            if !self.gathering.take(place, entry) {
                damage.add(0);
            }
        }
        if damage.places > 0 {
            self.note(path, damage);
        }
        // Damage can be looked at for a while.
        let touched = (damage.places > 0).then_some(self.started);
        let segment = Segment { bytes: length as u64, touched, ..Segment::default() };
        self.segments.insert(number, segment);
        self.good_keys.extend(scan.good_keys);
        self.bad_keys.extend(scan.bad_keys.into_iter().map(|id| (id, number)));
    }

    fn tear(&mut self, path: &Path, torn: Torn, bytes: usize) {
        self.torn = Some(torn);
        self.torn_bytes = bytes as u64;
        tracing::warn!(
            path = %path.display(),
            torn_bytes = bytes,
            "the journal ends in {bytes} bytes that were being written when it was last in use"
        );
    }

    fn note(&mut self, path: &Path, damage: Damage) {
        self.damage.places += damage.places;
        self.damage.bytes += damage.bytes;
        tracing::error!(
            path = %path.display(),
            damaged_places = damage.places,
            damaged_bytes = damage.bytes,
            "the journal is damaged in {} places, {} bytes in all: answers may be lost; check the disk",
            damage.places,
            damage.bytes
        );
    }

    /// The disk may give it back another time, so it is not removed in this run.
    fn unreadable(&mut self, number: u64, path: &Path, error: &io::Error) {
        let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        self.segments.insert(number, Segment { bytes, kept: true, ..Segment::default() });
        self.damage.places += 1;
        self.damage.bytes += bytes;
        tracing::error!(
            path = %path.display(),
            "a segment of the journal cannot be read ({error}): answers may be lost; check the disk"
        );
    }
}
