//! Frames: how whole payloads are told from torn and damaged bytes.
//!
//! A frame is a mark, the payload's length, a checksum of both, and the payload. Reading goes on at the
//! next whole frame after damage, so that a bad sector costs what stood in it and nothing behind it.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};

/// Where a frame may start. Text never looks like this.
const MARK: [u8; 4] = [0xf1, b'j', b'f', 0x0a];
const CHECKSUM_LEN: usize = 8;
/// mark, length, checksum
pub(super) const HEAD_LEN: usize = MARK.len() + 4 + CHECKSUM_LEN;

/// The longest payload there can be: more than twice what an HTTP answer may be.
pub(super) const LARGEST_PAYLOAD: usize = 4 * 1024 * 1024;

/// Enough to notice what disks do. Against people there is the seal.
pub(super) fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM_LEN] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    *context.finish().as_ref().first_chunk().expect("a digest has 32 bytes")
}

/// Writes `payload` as a frame at the end of `bytes`.
pub(super) fn append(bytes: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a payload has at most a few mebibytes");
    let length = length.to_le_bytes();
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&checksum(&[&length, payload]));
    bytes.extend_from_slice(payload);
}

/// A stretch of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A whole frame's payload.
    Frame(&'a [u8]),
    /// Bytes that belong to no whole frame.
    Garbage(Range<usize>),
}

/// Takes `bytes` apart from `at` on.
pub(super) struct Pieces<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let start = self.at;
        if start >= self.bytes.len() {
            return None;
        }
        if let Some(payload) = whole_at(self.bytes, start) {
            self.at += HEAD_LEN + payload.len();
            return Some(Piece::Frame(payload));
        }
        let behind = start + 1..self.bytes.len();
        self.at = behind
            .filter(|&at| self.bytes[at..].starts_with(&MARK))
            .find(|&at| whole_at(self.bytes, at).is_some())
            .unwrap_or(self.bytes.len());
        Some(Piece::Garbage(start..self.at))
    }
}

/// The payload of the frame at `at`, if all of it is there and unchanged.
fn whole_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?.strip_prefix(&MARK)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM_LEN>()?;
    let wanted = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let payload = rest.get(..wanted).filter(|_| wanted <= LARGEST_PAYLOAD)?;
    (checksum(&[length, payload]) == *sum).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::{HEAD_LEN, Piece, Pieces, append};

    fn three() -> Vec<u8> {
        let mut bytes = b"header".to_vec();
        for payload in [&b"one"[..], b"", b"three"] {
            append(&mut bytes, payload);
        }
        bytes
    }

    fn payloads(bytes: &[u8]) -> Vec<&[u8]> {
        let frame = |piece| match piece {
            Piece::Frame(payload) => Some(payload),
            Piece::Garbage(_) => None,
        };
        Pieces::from(bytes, 6).filter_map(frame).collect()
    }

    #[test]
    fn frames_read_back() {
        assert_eq!(payloads(&three()), [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn tail_of_any_length_is_garbage_and_harms_no_frame_before_it() {
        let bytes = three();
        let last = bytes.len() - HEAD_LEN - 5;

        for end in last + 1..bytes.len() {
            let pieces: Vec<_> = Pieces::from(&bytes[..end], 6).collect();
            assert_eq!(pieces.len(), 3, "{end}");
            assert_eq!(pieces[2], Piece::Garbage(last..end));
        }
    }

    #[test]
    fn damage_costs_the_frame_it_hits_and_no_other() {
        let bytes = three();
        let second = 6 + HEAD_LEN + 3;

        for at in second..second + HEAD_LEN {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert_eq!(payloads(&bytes), [&b"one"[..], b"three"], "byte {at}");
        }
    }
}
