//! Has the replicas of a session's master confirm what was done (`WAIT`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{Cmd, Value};

use crate::store::StoreError;
use crate::store::redis::error::translate;
use crate::store::redis::keys::{BUCKETS, Bucket};
use crate::store::redis::link::{Link, invocation, load, millis};
use crate::store::redis::scripts::Script;

/// How late the server may notice that a `WAIT` is over.
const CLIENTS_CRON: Duration = Duration::from_millis(100);

/// No master has so many.
const UNKNOWN: u32 = u32::MAX;

/// How many replicas must confirm.
pub(super) struct Replicas {
    /// The most that any master has.
    most: AtomicU32,
    /// What the master of each bucket in a cluster said last, for shards differ.
    of_bucket: Box<[AtomicU32]>,
}

impl Default for Replicas {
    fn default() -> Self {
        let of_bucket = (0..BUCKETS).map(|_| AtomicU32::new(UNKNOWN)).collect();
        Self { most: AtomicU32::new(0), of_bucket }
    }
}

impl Replicas {
    /// All masters were asked, or only some.
    pub(super) fn seen(&self, most: u32, all: bool) {
        if all {
            self.most.store(most, Ordering::Relaxed);
        } else {
            self.most.fetch_max(most, Ordering::Relaxed);
        }
    }

    fn of(&self, bucket: Option<Bucket>) -> u32 {
        let most = self.most.load(Ordering::Relaxed);
        let own = bucket.map_or(UNKNOWN, |it| self.of_bucket[it.index()].load(Ordering::Relaxed));
        if own == UNKNOWN { most } else { own }
    }

    fn learn(&self, bucket: Option<Bucket>, own: u32) {
        if let Some(bucket) = bucket {
            self.of_bucket[bucket.index()].store(own, Ordering::Relaxed);
        }
    }
}

/// How many replicas took note.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confirmed {
    pub(super) wanted: u32,
    pub(super) by: u32,
}

impl Link {
    /// Runs a script on a session and has all replicas of its master confirm it. Tells how many did, and of
    /// how many.
    pub(super) async fn run_confirmed(
        &self,
        script: &Script,
        keys: &[&str; 3],
        arguments: impl FnOnce(&mut Cmd),
    ) -> Result<(Value, Confirmed), StoreError> {
        let is_cluster = self.server_clock.is_none();
        let bucket = is_cluster.then(|| Bucket::of_name(keys[2].as_bytes())).flatten();
        let asked = self.replicas.of(bucket);
        if asked == 0 && !is_cluster {
            let answer = self.run(script, keys, arguments).await?;
            return Ok((answer, Confirmed { wanted: 0, by: 0 }));
        }
        let command = invocation(script, keys, arguments);
        let mut wait = redis::cmd("WAIT");
        wait.arg(asked).arg(millis(self.options.confirm_within));
        let mut all = redis::pipe();
        all.add_command(command.clone()).add_command(wait);
        if is_cluster {
            all.add_command(redis::cmd("ROLE"));
        }
        let live = self.live()?;
        // The server looks ten times a second whether a wait is over.
        let deadline = self.options.deadline + self.options.confirm_within + CLIENTS_CRON;
        let answers = self
            .within_span(live.serial, deadline, async {
                let mut wire = live.confirming.clone();
                let answers = wire.commands(&all, keys[0]).await?;
                match answers.first() {
                    Some(Value::ServerError(error)) if error.code() == "NOSCRIPT" => {
                        wire.command(&load(script)).await?;
                        wire.commands(&all, keys[0]).await
                    }
                    _ => Ok(answers),
                }
            })
            .await?;
        let mut answers = answers.into_iter();
        let answer = answers.next().unwrap_or(Value::Nil).extract_error();
        let answer = answer.map_err(|error| translate(&error))?;
        let by = match answers.next() {
            Some(Value::Int(count)) => u32::try_from(count).unwrap_or(0),
            _ => 0,
        };
        let wanted = match answers.next().and_then(replicas_of) {
            Some(own) => {
                self.replicas.learn(bucket, own);
                own
            }
            None => asked,
        };
        Ok((answer, Confirmed { wanted, by }))
    }
}

/// How many replicas a master has, as it says itself (`ROLE`).
fn replicas_of(role: Value) -> Option<u32> {
    let Value::Array(parts) = role else { return None };
    match parts.get(2)? {
        Value::Array(replicas) => u32::try_from(replicas.len()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{Replicas, replicas_of};
    use crate::store::redis::keys::Bucket;

    #[test]
    fn a_bucket_counts_for_itself_once_its_master_was_asked() {
        let replicas = Replicas::default();
        let mut buckets = Bucket::all();
        let (one, other) = (buckets.next(), buckets.next());
        replicas.seen(2, true);
        replicas.seen(1, false);
        assert_eq!((replicas.of(one), replicas.of(None)), (2, 2), "others may have more");

        replicas.learn(one, 0);

        assert_eq!((replicas.of(one), replicas.of(other)), (0, 2));
        replicas.seen(1, true);
        assert_eq!((replicas.of(one), replicas.of(other)), (0, 1));
    }

    #[test]
    fn a_masters_role_tells_its_replicas() {
        let role = |replicas| {
            Value::Array(vec![Value::SimpleString("master".into()), Value::Int(1), replicas])
        };

        assert_eq!(replicas_of(role(Value::Array(vec![]))), Some(0));
        assert_eq!(replicas_of(role(Value::Array(vec![Value::Array(vec![])]))), Some(1));
        assert_eq!(replicas_of(Value::Nil), None);
    }
}
