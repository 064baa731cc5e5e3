//! Puts back what the store lost: after a failover or a restart it may not have what it acknowledged.
//!
//! Exchanges in flight first, with the records they began from, for these are what somebody else would begin again;
//! then deletions, then answers, the latest first (`docs/PROTOCOL.md`). Meanwhile the store gives no leave to begin, on
//! any node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::Notify;

use crate::actors::revocation;
use crate::actors::session::Errand;
use crate::actors::supervisor::Supervisor;
use crate::journal::{Answer, JournalError, Recorded, Recovered};
use crate::ledger::Buried;
use crate::model::{BootTime, SessionKey};
use crate::store::SealedStoreError;

/// Sessions put back at the same time.
const AT_ONCE: usize = 64;

/// The pause before another attempt, where not everything could be put back, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// For a session that looks as if the store had lost writes, all is put back no sooner than this after the
/// last time: what nobody remembers does not come back by that.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Asks for things to be put back.
#[derive(Default)]
pub(crate) struct PutBack {
    wanted: Notify,
    /// When that was last done, by when it began, in nanoseconds since boot; 0 for never.
    done: AtomicU64,
}

impl PutBack {
    /// The store may have lost what it acknowledged.
    pub(crate) fn ask(&self) {
        self.wanted.notify_one();
    }

    /// Whether everything was put back since then.
    pub(crate) fn done_since(&self, then: BootTime) -> bool {
        self.done.load(Ordering::Relaxed) > then.as_nanos()
    }

    /// A session looks as if it had.
    pub(crate) fn suspect(&self, now: BootTime) {
        let done = self.done.load(Ordering::Relaxed);
        if done == 0 || now.since(BootTime::from_nanos(done)) >= AGAIN_AFTER {
            self.wanted.notify_one();
        }
    }
}

/// Since when the store shows a session older than it was.
#[derive(Default)]
pub(crate) struct Regressed {
    /// When that was seen first and last.
    between: Option<(BootTime, BootTime)>,
}

impl Regressed {
    /// It is seen now; since when it was, without a longer time in which nobody looked.
    pub(crate) fn seen(&mut self, now: BootTime) -> BootTime {
        let known = self.between.filter(|(_, last)| now.since(*last) < AGAIN_AFTER);
        let first = known.map_or(now, |(first, _)| first);
        self.between = Some((first, now));
        first
    }
}

/// Waits for work until shutdown.
pub(crate) async fn run(supervisor: Supervisor) {
    let shared = supervisor.shared();
    let closing = shared.closing.clone();
    let work = async {
        loop {
            shared.put_back.wanted.notified().await;
            let mut pause = FIRST_PAUSE;
            loop {
                let began = shared.clock.boot();
                if put_back(&supervisor).await {
                    shared.put_back.done.store(began.as_nanos(), Ordering::Relaxed);
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    };
    tokio::select! {
        () = closing.cancelled() => {}
        () = work => {}
    }
}

/// True if the store has heard of everything; telling it twice is safe.
async fn put_back(supervisor: &Supervisor) -> bool {
    let shared = supervisor.shared();
    let slots = shared.in_flight.len();
    let mut told = put_back_slots(supervisor).await;
    let read_at = shared.clock.boot();
    let remembered = match &shared.journal {
        Some(journal) => journal.recent().await,
        None => Ok(Recovered::default()),
    };
    let remembered = match remembered {
        Ok(remembered) => remembered,
        Err(JournalError::Closed) => return true,
        Err(error) => {
            tracing::error!(%error, "the journal cannot be read back, and is tried again: {error}");
            return false;
        }
    };
    let (deletions, answers) = (remembered.deletions.len(), remembered.answers.len());
    told &= tell_store(supervisor, remembered, read_at).await;
    if told && deletions + answers + slots > 0 {
        tracing::info!(
            deletions,
            answers,
            slots,
            "put back what the store may have lost: {deletions} deletions, {answers} answers, {slots} exchanges"
        );
    }
    told
}

/// Tells the store of deletions, then of answers, one session's in their order. True if it has heard all of
/// them.
pub(crate) async fn tell_store(
    supervisor: &Supervisor,
    remembered: Recovered,
    read_at: BootTime,
) -> bool {
    let shared = supervisor.shared();
    let buried = stream::iter(remembered.deletions).map(async |deletion| {
        let (key, stone) = deletion.what;
        let buried = shared.store.bury(&key, stone).await;
        if let Ok(Buried::Again(deleted)) = &buried {
            shared.registry.retract(&key, deleted.tombstone.version);
            supervisor.replaced(&key, None);
            // Perhaps by tokens that nobody knew of when it was deleted.
            revocation::of_deleted(supervisor, &key, deleted);
        }
        is_told(&key, buried)
    });
    let buried = all(buried).await;
    let told =
        stream::iter(by_session(remembered.answers)).map(async |answers: Vec<Recorded<Answer>>| {
            for answer in answers {
                let errand = errand(answer, read_at);
                if !is_told(&errand.key, errand.once(supervisor).await) {
                    return false;
                }
            }
            true
        });
    all(told).await && buried
}

/// Runs a number of them at a time, all of them whatever the others come to; true if each came to that.
async fn all(each: impl Stream<Item = impl Future<Output = bool>>) -> bool {
    each.buffer_unordered(AT_ONCE).fold(true, async |all, one| all && one).await
}

/// An answer as what is left to do about it.
pub(crate) fn errand(answer: Recorded<Answer>, read_at: BootTime) -> Errand {
    let Answer { key, provider, commit } = answer.what;
    Errand { key, provider, commit: commit.aged(answer.age), since: read_at }
}

/// Each session's answers in their order; the session with the latest answer first, for what a store loses
/// is what it heard last.
fn by_session(answers: Vec<Recorded<Answer>>) -> Vec<Vec<Recorded<Answer>>> {
    let mut sessions: HashMap<SessionKey, Vec<Recorded<Answer>>> = HashMap::new();
    for answer in answers {
        sessions.entry(answer.what.key.clone()).or_default().push(answer);
    }
    let mut sessions: Vec<_> = sessions.into_values().collect();
    sessions.sort_by_key(|answers| answers.iter().map(|answer| answer.age).min());
    sessions
}

async fn put_back_slots(supervisor: &Supervisor) -> bool {
    let shared = supervisor.shared();
    let open: Vec<_> =
        shared.in_flight.iter().map(|it| (it.key().clone(), it.value().clone())).collect();
    let held = stream::iter(open).map(async |(key, remembered)| {
        let request = remembered.reassertion(shared, &key);
        is_told(&key, shared.store.reassert(&key, request).await)
    });
    all(held).await
}

fn is_told<T>(key: &SessionKey, told: Result<T, SealedStoreError>) -> bool {
    if let Err(error) = &told {
        tracing::debug!(session = %key, %error, "{key} is not put back yet: {error}");
    }
    told.is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AGAIN_AFTER, Regressed, by_session};
    use crate::journal::{Answer, Recorded};
    use crate::ledger::samples::{begin_request, commit_request, put_request};
    use crate::ledger::{BeginReply, Entry, begin, put};
    use crate::model::{BootTime, ProviderId, SessionKey, Timestamp};

    #[test]
    fn what_was_told_last_is_told_again_first_and_one_sessions_answers_in_their_order() {
        let (mut entry, now) = (Entry::default(), Timestamp::from_millis(1));
        put(&mut entry, now, &put_request(1, "login"));
        let BeginReply::Granted(grant) = begin(&mut entry, now, &begin_request(1, 1)) else {
            panic!("it is the first");
        };
        let answer = |session: &str, seconds| {
            let key = SessionKey::new("acme", session).unwrap();
            let provider = ProviderId::new("sample").unwrap();
            let what = Answer { key, provider, commit: commit_request(1, &grant, session) };
            Recorded { what, done: true, age: Duration::from_secs(seconds) }
        };

        let sessions = by_session(vec![
            answer("old", 90),
            answer("busy", 80),
            answer("late", 2),
            answer("busy", 1),
        ]);

        let told: Vec<_> = sessions
            .iter()
            .flatten()
            .map(|it| (it.what.key.session().to_owned(), it.age.as_secs()))
            .collect();
        let told: Vec<_> = told.iter().map(|(session, age)| (session.as_str(), *age)).collect();
        assert_eq!(told, [("busy", 80), ("busy", 1), ("late", 2), ("old", 90)]);
    }

    #[test]
    fn what_regresses_again_after_a_while_does_so_anew() {
        let mut regressed = Regressed::default();
        let start = BootTime::from_nanos(1);
        let pause = AGAIN_AFTER / 2;

        assert_eq!(regressed.seen(start), start);
        assert_eq!(regressed.seen(start + pause), start);
        assert_eq!(regressed.seen(start + pause * 2), start);
        let anew = start + pause * 2 + AGAIN_AFTER;
        assert_eq!(regressed.seen(anew), anew);
    }
}
