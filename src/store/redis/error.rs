//! What went wrong with a call to Redis, in the store's words.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::redis::codec::beginning;
use crate::store::{Outage, StoreError};

/// Longest text taken over from a server's error.
const LONGEST_DETAIL: usize = 200;

pub(super) fn translate(error: &RedisError) -> StoreError {
    let text = error.to_string();
    // A server that does not know a command repeats its arguments: a password may be among them.
    let text = text.split("with args").next().unwrap_or_default();
    let detail = beginning(text, LONGEST_DETAIL).to_owned();
    StoreError::Unavailable { outage: outage(error), detail }
}

fn outage(error: &RedisError) -> Outage {
    if error.is_timeout() {
        return Outage::NoAnswer;
    }
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly) => Outage::ReadOnly,
        ErrorKind::Server(ServerErrorKind::BusyLoading) => Outage::Loading,
        ErrorKind::Server(
            ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::CrossSlot,
        )
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel => Outage::Moving,
        ErrorKind::Io => Outage::Disconnected,
        _ => match error.code() {
            Some("OOM") => Outage::Full,
            Some("NOREPLICAS") => Outage::Unconfirmed,
            Some("BUSY") => Outage::Busy,
            _ if error.is_unrecoverable_error() => Outage::Disconnected,
            _ => Outage::Failed,
        },
    }
}

/// True where only a new connection helps: this one is broken, or leads to a server that is no master.
pub(super) fn wants_new_connection(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { outage: Outage::Disconnected | Outage::ReadOnly, .. })
}

pub(super) fn unavailable(outage: Outage, detail: impl Into<String>) -> StoreError {
    StoreError::Unavailable { outage, detail: detail.into() }
}

pub(super) fn not_understood() -> StoreError {
    unavailable(Outage::Failed, "its answer is not what this version of tokenhive reads")
}

#[cfg(test)]
mod tests {
    use redis::{RedisError, Value};

    use super::translate;
    use crate::store::{Outage, StoreError};

    fn answered(line: &str) -> StoreError {
        let value: Value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        translate(&value.extract_error().unwrap_err())
    }

    #[test]
    fn troubles_are_told_apart() {
        let said = [
            ("READONLY You can't write against a read only replica.", Outage::ReadOnly),
            ("OOM command not allowed when used memory > 'maxmemory'.", Outage::Full),
            ("LOADING Redis is loading the dataset in memory", Outage::Loading),
            ("MOVED 3999 127.0.0.1:6381", Outage::Moving),
            ("CLUSTERDOWN The cluster is down", Outage::Moving),
            ("NOREPLICAS Not enough good replicas to write.", Outage::Unconfirmed),
            ("BUSY Redis is busy running a script.", Outage::Busy),
            ("ERR something else", Outage::Failed),
        ];
        for (line, expected) in said {
            let error = answered(line);
            assert!(
                matches!(&error, StoreError::Unavailable { outage, .. } if *outage == expected),
                "{line}: {error:?}"
            );
        }
        let shown =
            answered("ERR unknown command 'HELLO', with args beginning with: '3' 'hunter2'");
        assert!(!format!("{shown} {shown:?}").contains("hunter2"), "{shown}");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let timed_out = std::io::Error::from(std::io::ErrorKind::TimedOut);
        for (error, expected) in [(refused, Outage::Disconnected), (timed_out, Outage::NoAnswer)] {
            let error = translate(&RedisError::from(error));
            assert!(
                matches!(&error, StoreError::Unavailable { outage, .. } if *outage == expected),
                "{error:?}"
            );
        }
    }
}
