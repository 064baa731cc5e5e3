//! The segment being written.

use std::io;

use crate::journal::disk::SegmentFile;
use crate::journal::frame;
use crate::journal::pending::Pending;
use crate::journal::segment::{self, Header};
use crate::model::BootTime;
use crate::sealing::{Keyring, Label};

/// The newest segment.
pub(super) struct Active {
    pub(super) number: u64,
    label: String,
    file: Box<dyn SegmentFile>,
    /// How much of it is whole.
    pub(super) bytes: u64,
    /// The number of the next frame.
    sequence: u64,
    /// When its first frame was written.
    pub(super) started: Option<BootTime>,
}

/// How far a segment was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    bytes: u64,
    sequence: u64,
    started: Option<BootTime>,
}

impl Active {
    /// Begins a segment in an empty file.
    pub(super) fn begin(mut file: Box<dyn SegmentFile>, header: Header) -> io::Result<Self> {
        let bytes = header.encode();
        file.write(&bytes)?;
        Ok(Self {
            number: header.number,
            label: segment::label(header.node, header.number),
            file,
            bytes: bytes.len() as u64,
            sequence: 1,
            started: None,
        })
    }

    /// Writes all entries at once. After an error, [`Active::cut`] what is there of them.
    pub(super) fn write(
        &mut self,
        keyring: &Keyring,
        entries: &[Pending],
        now: BootTime,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut sequence = self.sequence;
        for entry in entries {
            let sealed = keyring.seal(Label::journal(&self.label), sequence, &entry.payload);
            frame::append(&mut bytes, &sealed);
            sequence += 1;
        }
        self.file.write(&bytes)?;
        self.bytes += bytes.len() as u64;
        self.sequence = sequence;
        self.started = self.started.or(Some(now));
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes, sequence: self.sequence, started: self.started }
    }

    /// Takes back what was written since `mark`, whole or not.
    pub(super) fn cut(&mut self, mark: Mark) -> io::Result<()> {
        self.file.cut(mark.bytes)?;
        (self.bytes, self.sequence, self.started) = (mark.bytes, mark.sequence, mark.started);
        Ok(())
    }
}
