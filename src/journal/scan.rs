//! One segment's bytes, taken apart into entries, damage and a torn tail.

use std::collections::BTreeSet;

use crate::journal::codec::{self, Written};
use crate::journal::frame::{HEAD_LEN, Piece, Pieces};
use crate::journal::segment::{self, HEADER_LEN, Header, HeaderFault};
use crate::sealing::{Keyring, Label, SealError, key_id};

/// What a segment holds.
#[derive(Default)]
pub(super) struct Scan {
    /// What its frames say, in order.
    pub(super) entries: Vec<Written>,
    /// Its size.
    pub(super) bytes: usize,
    /// The run of the machine it was written in, if that is known.
    pub(super) boot: Option<u128>,
    pub(super) damage: Damage,
    /// Where the last whole thing ends, if more bytes follow it.
    pub(super) tail: Option<usize>,
    /// Keys that opened something.
    pub(super) good_keys: BTreeSet<u32>,
    /// Keys that did not open what claims to be sealed under them.
    pub(super) bad_keys: BTreeSet<u32>,
}

/// How much of a segment could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) places: u64,
    pub(super) bytes: u64,
}

impl Damage {
    pub(super) fn add(&mut self, bytes: usize) {
        self.places += 1;
        self.bytes += bytes as u64;
    }
}

/// Why nothing at all may be made of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ScanFault {
    NewerFormat { found: u64 },
    UnknownKey { id: u32 },
}

/// Takes apart segment `number`. What does not say who wrote it is taken for this node's.
pub(super) fn scan(
    keyring: &Keyring,
    node: u128,
    number: u64,
    bytes: &[u8],
) -> Result<Scan, ScanFault> {
    let mut scan = Scan { bytes: bytes.len(), ..Scan::default() };
    let header = match Header::decode(bytes) {
        Ok(header) if header.number != number => {
            // A copy under another name: to take it in would be to take it in twice.
            scan.damage.add(bytes.len());
            return Ok(scan);
        }
        Ok(header) => Some(header),
        Err(HeaderFault::Newer { found }) => {
            return Err(ScanFault::NewerFormat { found: found.into() });
        }
        Err(HeaderFault::Damaged) => None,
    };
    scan.boot = header.and_then(|header| header.boot);
    let label = segment::label(header.map_or(node, |header| header.node), number);
    let mut order = Order { next: 1, certain: true };
    let mut frames = 0;
    for piece in Pieces::from(bytes, HEADER_LEN) {
        match piece {
            Piece::Frame(sealed) => {
                frames += 1;
                scan.frame(keyring, &label, &mut order, sealed)?;
            }
            Piece::Garbage(range) if range.end == bytes.len() => scan.tail = Some(range.start),
            Piece::Garbage(range) => {
                scan.damage.add(range.len());
                order.certain = false;
            }
        }
    }
    match header {
        None if frames == 0 => scan.tail = Some(0),
        None => scan.damage.add(HEADER_LEN),
        Some(_) => {}
    }
    Ok(scan)
}

impl Scan {
    fn frame(
        &mut self,
        keyring: &Keyring,
        label: &str,
        order: &mut Order,
        sealed: &[u8],
    ) -> Result<(), ScanFault> {
        match keyring.open(Label::journal(label), sealed) {
            Ok((sequence, plain)) => {
                self.good_keys.extend(key_id(sealed));
                let place = order.place(sequence);
                if place == Sequel::AfterGap {
                    self.damage.add(0);
                }
                match codec::decode(&plain).filter(|_| place != Sequel::Repeated) {
                    Some(entry) => self.entries.push(entry),
                    None => self.damage.add(HEAD_LEN + sealed.len()),
                }
            }
            Err(SealError::UnknownKey { id }) => return Err(ScanFault::UnknownKey { id }),
            Err(SealError::NewerFormat { found }) => {
                return Err(ScanFault::NewerFormat { found: found.into() });
            }
            Err(SealError::Broken | SealError::Malformed) => {
                self.bad_keys.extend(key_id(sealed));
                self.damage.add(HEAD_LEN + sealed.len());
                order.certain = false;
            }
        }
        Ok(())
    }
}

/// Frames are numbered, so that none can be left out, repeated or moved unnoticed.
struct Order {
    next: u64,
    /// False behind damage: nobody knows how many frames that were.
    certain: bool,
}

#[derive(PartialEq, Eq)]
enum Sequel {
    InOrder,
    AfterGap,
    Repeated,
}

impl Order {
    fn place(&mut self, sequence: u64) -> Sequel {
        if sequence < self.next {
            return Sequel::Repeated;
        }
        let gap = self.certain && sequence > self.next;
        self.next = sequence + 1;
        self.certain = true;
        if gap { Sequel::AfterGap } else { Sequel::InOrder }
    }
}
