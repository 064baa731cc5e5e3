//! How entries and logins are written as bytes: one version byte, then postcard.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::{Entry, LoginEntry, Record, Tombstone};
use crate::store::StoreError;

/// Of entries. Changes with every change to a type in them; a test fails when one changes without it.
const VERSION: u8 = 1;

/// Of logins, in the same way.
const LOGIN_VERSION: u8 = 2;

/// The entry without its due time, which has a table of its own.
pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    encode(VERSION, &(&entry.record, &entry.tombstone))
}

/// Reads back what [`encode_entry`] wrote; the due time is the caller's to fill in.
pub(super) fn decode_entry(path: &Path, bytes: &[u8]) -> Result<Entry, StoreError> {
    let (record, tombstone): (Option<Record>, Option<Tombstone>) = decode(VERSION, path, bytes)?;
    Ok(Entry { record, tombstone, due: None })
}

pub(super) fn encode_login(login: &LoginEntry) -> Vec<u8> {
    encode(LOGIN_VERSION, login)
}

/// `None` for a login that an earlier version began: whoever comes back from it begins again.
pub(super) fn decode_login(path: &Path, bytes: &[u8]) -> Result<Option<LoginEntry>, StoreError> {
    if bytes.first().is_some_and(|version| (1..LOGIN_VERSION).contains(version)) {
        return Ok(None);
    }
    decode(LOGIN_VERSION, path, bytes).map(Some)
}

fn encode(version: u8, value: &impl Serialize) -> Vec<u8> {
    let encoded = postcard::to_extend(value, vec![version]);
    encoded.expect("plain data in memory always encodes")
}

fn decode<T: DeserializeOwned>(version: u8, path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    let damaged = |detail: &str| StoreError::Corrupt {
        path: path.to_owned(),
        detail: format!("a record does not decode: {detail}"),
    };
    match bytes.split_first() {
        Some((&found, rest)) if found == version => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(damaged("bytes are left over")),
            Err(error) => Err(damaged(&error.to_string())),
        },
        Some((&found, _)) if found > version => Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found: found.into(),
            supported: version.into(),
        }),
        Some(_) => Err(damaged("its version was never in use")),
        None => Err(damaged("it is empty")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{decode_entry, decode_login, encode_entry, encode_login};
    use crate::ledger::samples::{begin_request, commit_request, put_request, sealed};
    use crate::ledger::{
        AttemptId, BeginReply, Entry, ErrorNote, LoginEntry, Status, Tombstone, begin, commit, put,
    };
    use crate::model::Timestamp;

    /// An entry in which every field holds something.
    fn full_entry() -> Entry {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut entry = Entry::default();
        put(&mut entry, now, &put_request(1, "login"));
        let BeginReply::Granted(grant) = begin(&mut entry, now, &begin_request(7, 1)) else {
            panic!("the first exchange is granted");
        };
        commit(&mut entry, now, &commit_request(7, &grant, "second"));
        begin(&mut entry, now, &begin_request(8, 2));
        let record = entry.record.as_mut().unwrap();
        record.status = Status::Suspect { until: now };
        record.spare = Some(sealed("spare"));
        record.extra = Some(sealed("extra"));
        record.profile = Some(sealed("profile"));
        record.not_before = Some(now);
        let (code, description) = ("invalid_grant".into(), Some("expired".into()));
        record.last_error = Some(ErrorNote { code, description, at: now });
        let stone = Tombstone { generation: 1, version: 2, last_sequence: 3, until: now };
        entry.tombstone = Some(stone);
        entry.due = None;
        entry
    }

    #[test]
    fn entries_and_logins_read_back() {
        let path = Path::new("sessions.redb");
        let entry = full_entry();
        let now = Timestamp::from_millis(5);
        let login = LoginEntry {
            sealed: sealed("login"),
            taken_by: Some(AttemptId(1)),
            expires: now,
            forget: now,
        };

        assert_eq!(decode_entry(path, &encode_entry(&entry)), Ok(entry));
        assert_eq!(decode_login(path, &encode_login(&login)), Ok(Some(login)));
        assert_eq!(decode_login(path, &[1, 1, 5]), Ok(None), "begun by an earlier version");
        assert!(decode_login(path, &[0]).is_err());
    }

    #[test]
    fn bytes_of_logins_of_version_2_are_as_they_always_were() {
        let (expires, forget) = (Timestamp::from_millis(5), Timestamp::from_millis(6));
        let login = LoginEntry { sealed: sealed("login"), taken_by: None, expires, forget };
        let taken = LoginEntry { taken_by: Some(AttemptId(1)), ..login.clone() };

        assert_eq!(encode_login(&login), b"\x02\x05login\x00\x0a\x0c");
        assert_eq!(encode_login(&taken), b"\x02\x05login\x01\x01\x0a\x0c");
    }

    #[test]
    fn no_part_of_an_entry_passes_for_the_whole() {
        let bytes = encode_entry(&full_entry());

        for length in 0..bytes.len() {
            assert!(decode_entry(Path::new("x"), &bytes[..length]).is_err(), "{length}");
        }
        assert!(decode_entry(Path::new("x"), &[bytes, vec![0]].concat()).is_err());
    }

    /// If this fails, files in use no longer read: raise the version and read the old form too.
    #[test]
    fn bytes_of_version_1_are_as_they_always_were() {
        let hex: String = encode_entry(&full_entry()).iter().map(|b| format!("{b:02x}")).collect();

        let always = concat!(
            "01010673616d706c650180a0abfef962020102010107020108046e6f6465010280a0abfef9",
            "62c0c9b2fef962010d7365636f6e6420616363657373010e7365636f6e64207265667265",
            "73680105737061726501056578747261010770726f66696c6580a0abfef9620180dae281",
            "fa620180c0a1a68d630180a0abfef96200010d696e76616c69645f6772616e7401076578",
            "706972656480a0abfef9620180a0abfef96280a0abfef9620101020380a0abfef962",
        );
        assert_eq!(hex, always);
    }
}
