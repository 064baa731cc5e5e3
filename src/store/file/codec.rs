//! How entries and logins are written as bytes: one version byte, then postcard.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::{Entry, LoginEntry, Record, Tombstone};
use crate::store::StoreError;

/// Changes with every change to a type below; a test fails when one changes without it.
const VERSION: u8 = 1;

/// The entry without its due time, which has a table of its own.
pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    encode(&(&entry.record, &entry.tombstone))
}

/// Reads back what [`encode_entry`] wrote; the due time is the caller's to fill in.
pub(super) fn decode_entry(path: &Path, bytes: &[u8]) -> Result<Entry, StoreError> {
    let (record, tombstone): (Option<Record>, Option<Tombstone>) = decode(path, bytes)?;
    Ok(Entry { record, tombstone, due: None })
}

pub(super) fn encode_login(login: &LoginEntry) -> Vec<u8> {
    encode(login)
}

pub(super) fn decode_login(path: &Path, bytes: &[u8]) -> Result<LoginEntry, StoreError> {
    decode(path, bytes)
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    let encoded = postcard::to_extend(value, vec![VERSION]);
    encoded.expect("plain data in memory always encodes")
}

fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    let damaged = |detail: &str| StoreError::Corrupt {
        path: path.to_owned(),
        detail: format!("a record does not decode: {detail}"),
    };
    match bytes.split_first() {
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(damaged("bytes are left over")),
            Err(error) => Err(damaged(&error.to_string())),
        },
        Some((&found, _)) if found > VERSION => Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found: found.into(),
            supported: VERSION.into(),
        }),
        Some(_) => Err(damaged("its version was never in use")),
        None => Err(damaged("it is empty")),
    }
}
