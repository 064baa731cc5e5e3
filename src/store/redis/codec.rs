//! How an entry is written in Redis: one string, which `lua/common.lua` reads and writes the same way.
//!
//! One string costs Redis less memory than a hash of the same fields, whatever the server's settings
//! (`docs/adr/0010-one-string-a-session-in-redis.md`). Everything is big-endian, times are milliseconds
//! in 48 bits.

use crate::ledger::{AttemptId, Entry, ErrorNote, NodeId, Record, Sealed, Slot, Status, Tombstone};
use crate::model::{ProviderId, Timestamp};

const VERSION: u8 = 1;
const RECORD: u8 = 1;
const TOMBSTONE: u8 = 2;

/// Bits of a record's flags: which of its optional parts follow.
const SLOT: u8 = 1;
const COMMITTED_ATTEMPT: u8 = 2;
const LAST_ERROR: u8 = 4;
const REFRESH: u8 = 8;
const SPARE: u8 = 16;
const EXTRA: u8 = 32;
const PROFILE: u8 = 64;

/// Longest text kept of an error, so that a provider's page of prose does not fill the record.
const LONGEST_ERROR: usize = 512;

/// Reads what a script wrote; `None` if it is not that. The due time is the caller's to fill in.
pub(super) fn decode(bytes: &[u8]) -> Option<Entry> {
    let mut cursor = Cursor(bytes);
    if cursor.u8()? != VERSION {
        return None;
    }
    let entry = match cursor.u8()? {
        RECORD => Entry { record: Some(record(&mut cursor)?), tombstone: None, due: None },
        TOMBSTONE => {
            let tombstone = Tombstone {
                generation: cursor.u48()?,
                version: cursor.u48()?,
                last_sequence: cursor.u48()?,
                until: cursor.time()?,
            };
            Entry { record: None, tombstone: Some(tombstone), due: None }
        }
        _ => return None,
    };
    cursor.0.is_empty().then_some(entry)
}

fn record(cursor: &mut Cursor<'_>) -> Option<Record> {
    let flags = cursor.u8()?;
    let status = cursor.u8()?;
    let [generation, grant, version, committed_sequence, last_sequence] = cursor.u48s()?;
    let (tries, failures) = (cursor.u32()?, cursor.u32()?);
    let (received, created) = (cursor.time()?, cursor.time()?);
    let expires = cursor.optional_time()?;
    let refresh_expires = cursor.optional_time()?;
    let not_before = cursor.optional_time()?;
    let last_read = cursor.optional_time()?;
    let suspect_until = cursor.time()?;
    let provider_len = cursor.u8()?.into();
    let provider = ProviderId::new(cursor.text(provider_len)?).ok()?;
    let access = cursor.blob()?;
    let mut blob = |flag| (flags & flag != 0).then(|| cursor.blob());
    let (refresh, spare) = (blob(REFRESH), blob(SPARE));
    let (extra, profile) = (blob(EXTRA), blob(PROFILE));
    Some(Record {
        provider,
        status: match status {
            0 => Status::Active,
            1 => Status::Suspect { until: suspect_until },
            2 => Status::Dead,
            _ => return None,
        },
        generation,
        grant,
        version,
        committed_sequence,
        last_sequence,
        tries,
        failures,
        received,
        created,
        expires,
        refresh_expires,
        not_before,
        last_read,
        access,
        refresh: present(refresh)?,
        spare: present(spare)?,
        extra: present(extra)?,
        profile: present(profile)?,
        committed_attempt: present(
            (flags & COMMITTED_ATTEMPT != 0).then(|| cursor.array().map(attempt_of)),
        )?,
        slot: present((flags & SLOT != 0).then(|| slot(cursor)))?,
        last_error: present((flags & LAST_ERROR != 0).then(|| error(cursor)))?,
    })
}

/// What is announced but cannot be read makes the whole unreadable.
fn present<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        Some(None) => None,
        Some(read) => Some(read),
        None => Some(None),
    }
}

fn slot(cursor: &mut Cursor<'_>) -> Option<Slot> {
    let attempt = attempt_of(cursor.array()?);
    let incarnation = u64::from_be_bytes(cursor.array()?);
    let base = cursor.u48()?;
    let (started, until) = (cursor.time()?, cursor.time()?);
    let length = cursor.u16()?.into();
    let name = cursor.text(length)?.to_owned();
    Some(Slot { attempt, node: NodeId { name, incarnation }, base, started, until })
}

fn error(cursor: &mut Cursor<'_>) -> Option<ErrorNote> {
    let length = cursor.u16()?.into();
    let code = cursor.text(length)?.to_owned();
    let at = cursor.time()?;
    let description = match cursor.u8()? {
        0 => None,
        _ => {
            let length = cursor.u16()?.into();
            Some(cursor.text(length)?.to_owned())
        }
    };
    Some(ErrorNote { code, description, at })
}

/// The written form of an error, which the scripts keep as it is.
pub(super) fn encode_error(note: &ErrorNote) -> Vec<u8> {
    let mut written = Vec::with_capacity(64);
    push_text(&mut written, &note.code);
    let at = u64::try_from(note.at.as_millis()).unwrap_or(0);
    written.extend_from_slice(&at.to_be_bytes()[2..]);
    written.push(note.description.is_some().into());
    if let Some(description) = &note.description {
        push_text(&mut written, description);
    }
    written
}

fn push_text(written: &mut Vec<u8>, text: &str) {
    let kept = beginning(text, LONGEST_ERROR);
    let length = u16::try_from(kept.len()).expect("cut to less than that");
    written.extend_from_slice(&length.to_be_bytes());
    written.extend_from_slice(kept.as_bytes());
}

/// At most `longest` bytes of `text`, in whole characters.
pub(super) fn beginning(text: &str, longest: usize) -> &str {
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    &text[..ends.take_while(|end| *end <= longest).last().unwrap_or(0)]
}

/// An attempt's id as the scripts compare it.
pub(super) fn attempt_bytes(attempt: AttemptId) -> [u8; 16] {
    attempt.0.to_be_bytes()
}

/// Reads back what [`attempt_bytes`] gave.
pub(super) fn attempt_of(bytes: [u8; 16]) -> AttemptId {
    AttemptId(u128::from_be_bytes(bytes))
}

/// What is left to read. Every method is `None` where too little is left.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u48(&mut self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.array()?;
        Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    fn u48s<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut all = [0; N];
        for one in &mut all {
            *one = self.u48()?;
        }
        Some(all)
    }

    fn time(&mut self) -> Option<Timestamp> {
        Some(Timestamp::from_millis(i64::try_from(self.u48()?).ok()?))
    }

    /// 0 is none; others are kept one higher.
    #[expect(clippy::option_option, reason = "the outer one is for too few bytes")]
    pub(super) fn optional_time(&mut self) -> Option<Option<Timestamp>> {
        let raw = i64::try_from(self.u48()?).ok()?;
        Some((raw > 0).then(|| Timestamp::from_millis(raw - 1)))
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn blob(&mut self) -> Option<Sealed> {
        let [a, b, c] = self.array()?;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.take(usize::try_from(length).ok()?).map(Sealed::new)
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn damaged_bytes_are_refused() {
        let stone = [&[1, 2][..], &[0; 24]].concat();
        assert!(decode(&stone).is_some());

        for length in 0..stone.len() {
            assert_eq!(decode(&stone[..length]), None, "{length}");
        }
        assert_eq!(decode(&[stone.clone(), vec![0]].concat()), None, "bytes are left over");
        for (at, value) in [(0, 2), (1, 3)] {
            let mut other = stone.clone();
            other[at] = value;
            assert_eq!(decode(&other), None);
        }
        assert_eq!(decode(&[&[1, 1][..], &[0xff; 80]].concat()), None);
    }
}
