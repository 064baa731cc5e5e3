//! How an entry is written as bytes, before it is sealed.
//!
//! The written form is a type of its own: what the ledger's types gain or lose is decided here, and the
//! bytes stay as they are. A change of them raises `segment::FORMAT`; a test fails when they change.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::journal::{Answer, Intent, Unreadable};
use crate::ledger::{AttemptId, Commit, NewTokens, Origin, Sealed, Tombstone};
use crate::model::{BootTime, Clock, ProviderId, SessionKey, Timestamp};

/// When something was handed to the journal, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    wall_millis: i64,
    boot_nanos: u64,
}

impl Stamp {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { wall_millis: clock.now().as_millis(), boot_nanos: clock.boot().as_nanos() }
    }

    /// How long ago that is, seen from `now`. Since boot, if the machine has not been restarted since
    /// (and its clock has not gone back, as when a container moves); else by the wall clock.
    pub(super) fn age(self, now: Self, same_boot: bool) -> Duration {
        if same_boot && self.boot_nanos <= now.boot_nanos {
            let then = BootTime::from_nanos(self.boot_nanos);
            return BootTime::from_nanos(now.boot_nanos).since(then);
        }
        let then = Timestamp::from_millis(self.wall_millis);
        Timestamp::from_millis(now.wall_millis).since(then)
    }
}

/// The content of one frame. Variants are only ever added, at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Written {
    Intent {
        at: Stamp,
        attempt: AttemptId,
        key: String,
        provider: ProviderId,
        base: u64,
    },
    Answer(Box<WrittenAnswer>),
    Unreadable {
        at: Stamp,
        attempt: AttemptId,
        key: String,
        provider: ProviderId,
        base: u64,
        body: Vec<u8>,
    },
    Deletion {
        at: Stamp,
        key: String,
        generation: u64,
        version: u64,
        last_sequence: u64,
        until: Timestamp,
    },
    /// The store knows the outcome of these.
    Done {
        at: Stamp,
        attempts: Vec<AttemptId>,
    },
    /// Of what stands in that segment, all is done but these. Written before a segment with marks of
    /// that one is removed.
    Remaining {
        segment: u64,
        open: Vec<AttemptId>,
    },
    /// Nothing: to see whether the disk takes it.
    Padding {
        bytes: Vec<u8>,
    },
}

/// An [`Answer`], field by field.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WrittenAnswer {
    pub(super) at: Stamp,
    key: String,
    provider: ProviderId,
    pub(super) attempt: AttemptId,
    base: u64,
    sequence: u64,
    access: Sealed,
    refresh: Option<Sealed>,
    extra: Option<Sealed>,
    expires_in: Option<Duration>,
    refresh_expires_in: Option<Duration>,
    due_in: Option<Duration>,
    last_read: Option<Timestamp>,
    /// Grant and version of the record it came of.
    origin: Option<(u64, u64)>,
}

impl WrittenAnswer {
    /// `None` if it names no possible session.
    pub(super) fn into_answer(self) -> Option<Answer> {
        let tokens = NewTokens {
            access: self.access,
            refresh: self.refresh,
            extra: self.extra,
            expires_in: self.expires_in,
            refresh_expires_in: self.refresh_expires_in,
            due_in: self.due_in,
        };
        let commit = Commit {
            attempt: self.attempt,
            base: self.base,
            sequence: self.sequence,
            tokens,
            last_read: self.last_read,
            origin: self.origin.map(|(grant, version)| Origin {
                provider: self.provider.clone(),
                grant,
                version,
            }),
        };
        Some(Answer {
            key: SessionKey::from_joined(&self.key).ok()?,
            provider: self.provider,
            commit,
        })
    }
}

impl Written {
    pub(super) fn intent(at: Stamp, intent: Intent) -> Self {
        let Intent { attempt, key, provider, base } = intent;
        Self::Intent { at, attempt, key: key.joined().to_owned(), provider, base }
    }

    pub(super) fn answer(at: Stamp, answer: Answer) -> Self {
        let Answer { key, provider, commit } = answer;
        let tokens = commit.tokens;
        Self::Answer(Box::new(WrittenAnswer {
            at,
            key: key.joined().to_owned(),
            provider,
            attempt: commit.attempt,
            base: commit.base,
            sequence: commit.sequence,
            access: tokens.access,
            refresh: tokens.refresh,
            extra: tokens.extra,
            expires_in: tokens.expires_in,
            refresh_expires_in: tokens.refresh_expires_in,
            due_in: tokens.due_in,
            last_read: commit.last_read,
            origin: commit.origin.map(|origin| (origin.grant, origin.version)),
        }))
    }

    pub(super) fn unreadable(at: Stamp, unreadable: Unreadable) -> Self {
        let Unreadable { attempt, key, provider, base, mut body } = unreadable;
        let body = std::mem::take(&mut *body);
        Self::Unreadable { at, attempt, key: key.joined().to_owned(), provider, base, body }
    }

    pub(super) fn deletion(at: Stamp, key: &SessionKey, stone: &Tombstone) -> Self {
        Self::Deletion {
            at,
            key: key.joined().to_owned(),
            generation: stone.generation,
            version: stone.version,
            last_sequence: stone.last_sequence,
            until: stone.until,
        }
    }
}

/// The bytes of an entry. Wiped when dropped: an unreadable answer is not sealed yet.
pub(super) fn encode(mut written: Written) -> Zeroizing<Vec<u8>> {
    let body = match &written {
        Written::Unreadable { body, .. } => body.len(),
        _ => 0,
    };
    // With room for all of it, no copy is left behind by growing.
    let room = Vec::with_capacity(body + 1024);
    let bytes = postcard::to_extend(&written, room).expect("plain data in memory always encodes");
    if let Written::Unreadable { body, .. } = &mut written {
        body.zeroize();
    }
    Zeroizing::new(bytes)
}

/// `None` if the bytes are no entry.
pub(super) fn decode(bytes: &[u8]) -> Option<Written> {
    match postcard::take_from_bytes(bytes) {
        Ok((written, [])) => Some(written),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::{Stamp, Written, decode, encode};
    use crate::journal::{Answer, Intent, Unreadable};
    use crate::ledger::samples::{commit_request, sealed};
    use crate::ledger::{AttemptId, Grant, Origin, Tombstone};
    use crate::model::{ProviderId, SessionKey, Timestamp};

    const AT: Stamp = Stamp { wall_millis: 1_700_000_000_000, boot_nanos: 3_600_000_000_000 };

    fn key() -> SessionKey {
        SessionKey::new("acme", "user").unwrap()
    }

    fn provider() -> ProviderId {
        ProviderId::new("sample").unwrap()
    }

    fn answer() -> Answer {
        let grant = Grant {
            base: 4,
            sequence: 9,
            tries: 1,
            refresh: sealed("old refresh"),
            access: sealed("old access"),
            origin: Origin { provider: provider(), grant: 1, version: 6 },
        };
        let mut commit = commit_request(7, &grant, "new");
        commit.origin = Some(grant.origin);
        commit.tokens.extra = Some(sealed("extra"));
        commit.last_read = Some(Timestamp::from_millis(5));
        Answer { key: key(), provider: provider(), commit }
    }

    fn one_of_each() -> Vec<Written> {
        let attempt = AttemptId(0x0123_4567_89ab_cdef);
        let (key, provider) = (key(), provider());
        let intent = Intent { attempt, key: key.clone(), provider: provider.clone(), base: 4 };
        let body = Zeroizing::new(b"<html>".to_vec());
        let unreadable = Unreadable { attempt, key: key.clone(), provider, base: 4, body };
        let until = Timestamp::from_millis(9);
        let stone = Tombstone { generation: 4, version: 5, last_sequence: 6, until };
        vec![
            Written::intent(AT, intent),
            Written::answer(AT, answer()),
            Written::unreadable(AT, unreadable),
            Written::deletion(AT, &key, &stone),
            Written::Done { at: AT, attempts: vec![attempt, AttemptId(2)] },
            Written::Remaining { segment: 3, open: vec![attempt] },
            Written::Padding { bytes: vec![0; 2] },
        ]
    }

    #[test]
    fn answers_read_back() {
        let bytes = encode(Written::answer(AT, answer()));

        let Some(Written::Answer(written)) = decode(&bytes) else {
            panic!("an answer was written");
        };
        assert_eq!(written.into_answer(), Some(answer()));
    }

    #[test]
    fn no_part_of_an_entry_passes_for_the_whole() {
        for written in one_of_each() {
            let bytes = encode(written);
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_none(), "{length} of {bytes:?}");
            }
            assert!(decode(&[&bytes[..], &[0]].concat()).is_none());
        }
    }

    #[test]
    fn ages_never_run_backwards() {
        let now = |wall_millis, boot_nanos| Stamp { wall_millis, boot_nanos };
        let (wall, boot) = (AT.wall_millis, AT.boot_nanos);

        let second = Duration::from_secs(1);
        assert_eq!(AT.age(now(wall - 9, boot + 1_000_000_000), true), second);
        assert_eq!(AT.age(now(wall + 1000, boot + 5), false), second);
        assert_eq!(AT.age(now(wall - 9, boot + 5), false), Duration::ZERO);
        assert_eq!(
            AT.age(now(wall + 1000, boot - 1), true),
            second,
            "the clock since boot went back"
        );
    }

    /// If this fails, journals in use no longer read: raise the format and read the old form too.
    #[test]
    fn bytes_of_format_1_are_as_they_always_were() {
        let hex: Vec<String> = one_of_each()
            .into_iter()
            .map(|written| encode(written).iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();

        assert_eq!(hex, ALWAYS);
    }

    const ALWAYS: [&str; 7] = [
        "0080a0abfef96280c0e285e368ef9bafcdf8acd191010961636d651f757365720673616d706c6504",
        concat!(
            "0180a0abfef96280c0e285e3680961636d651f757365720673616d706c650704090a6e657720",
            "616363657373010b6e657720726566726573680105657874726101901c0001809a9e010001e0",
            "1200010a010106",
        ),
        concat!(
            "0280a0abfef96280c0e285e368ef9bafcdf8acd191010961636d651f757365720673616d706c",
            "6504063c68746d6c3e",
        ),
        "0380a0abfef96280c0e285e3680961636d651f7573657204050612",
        "0480a0abfef96280c0e285e36802ef9bafcdf8acd1910102",
        "050301ef9bafcdf8acd19101",
        "06020000",
    ];
}
