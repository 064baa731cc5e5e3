//! What a script answers: a tag, the server's time, then whatever belongs to the tag.

use redis::Value;

use crate::ledger::Sealed;
use crate::model::{ProviderId, Timestamp};
use crate::store::StoreError;
use crate::store::redis::error::not_understood;

type Outcome<T> = Result<T, StoreError>;

/// True if the answer begins with that tag.
pub(super) fn is_tagged(answer: &Value, tag: &str) -> bool {
    let Value::Array(parts) = answer else { return false };
    matches!(parts.first(), Some(Value::BulkString(first)) if first == tag.as_bytes())
}

/// An answer that is being read.
pub(super) struct Reply {
    pub(super) tag: String,
    pub(super) now: Timestamp,
    rest: std::vec::IntoIter<Value>,
}

impl Reply {
    /// Reads tag and time.
    pub(super) fn parse(value: Value) -> Outcome<Self> {
        let mut rest = array(value)?.into_iter();
        let tag = String::from_utf8(bytes(next(&mut rest)?)?).map_err(|_| not_understood())?;
        let now = time(next(&mut rest)?)?;
        Ok(Self { tag, now, rest })
    }

    pub(super) fn number(&mut self) -> Outcome<u64> {
        number(next(&mut self.rest)?)
    }

    pub(super) fn count(&mut self) -> Outcome<u32> {
        u32::try_from(self.number()?).map_err(|_| not_understood())
    }

    pub(super) fn time(&mut self) -> Outcome<Timestamp> {
        time(next(&mut self.rest)?)
    }

    /// A time that may be none: 0 is, others are one higher.
    pub(super) fn optional_time(&mut self) -> Outcome<Option<Timestamp>> {
        let raw = self.number()?;
        Ok((raw > 0).then(|| Timestamp::from_millis(i64::try_from(raw - 1).unwrap_or(i64::MAX))))
    }

    pub(super) fn bytes(&mut self) -> Outcome<Vec<u8>> {
        bytes(next(&mut self.rest)?)
    }

    pub(super) fn sealed(&mut self) -> Outcome<Sealed> {
        self.bytes().map(Sealed::new)
    }

    /// Something that may be missing at the end.
    pub(super) fn optional_sealed(&mut self) -> Outcome<Option<Sealed>> {
        match self.rest.next() {
            None | Some(Value::Nil) => Ok(None),
            Some(value) => bytes(value).map(|bytes| Some(Sealed::new(bytes))),
        }
    }

    pub(super) fn provider(&mut self) -> Outcome<ProviderId> {
        let text = String::from_utf8(self.bytes()?).map_err(|_| not_understood())?;
        ProviderId::new(text).map_err(|_| not_understood())
    }
}

fn next(rest: &mut std::vec::IntoIter<Value>) -> Outcome<Value> {
    rest.next().ok_or_else(not_understood)
}

pub(super) fn array(value: Value) -> Outcome<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(not_understood()),
    }
}

pub(super) fn bytes(value: Value) -> Outcome<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into()),
        _ => Err(not_understood()),
    }
}

pub(super) fn number(value: Value) -> Outcome<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| not_understood()),
        _ => Err(not_understood()),
    }
}

pub(super) fn time(value: Value) -> Outcome<Timestamp> {
    match value {
        Value::Int(millis) => Ok(Timestamp::from_millis(millis)),
        _ => Err(not_understood()),
    }
}

/// A score of a sorted set that holds times.
pub(super) fn score(value: Value) -> Outcome<Timestamp> {
    match value {
        Value::Int(millis) => Ok(Timestamp::from_millis(millis)),
        // Scores are whole milliseconds far below 2^53.
        #[expect(clippy::cast_possible_truncation, reason = "whole and far below 2^53")]
        Value::Double(score) => Ok(Timestamp::from_millis(score as i64)),
        other => {
            let text = String::from_utf8(bytes(other)?).map_err(|_| not_understood())?;
            text.parse().map(Timestamp::from_millis).map_err(|_| not_understood())
        }
    }
}
