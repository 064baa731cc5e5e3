//! Sessions in Redis, shared by any number of nodes.
//!
//! Each method is one script in one slot (`lua/`), and the scripts do exactly what [`crate::ledger`] does:
//! the contract suite plays both against each other. What the server holds of a token is sealed.

mod checks;
mod claim;
mod clock;
mod codec;
mod confirm;
mod connect;
mod error;
mod feed;
mod gather;
mod keys;
mod link;
mod options;
mod reply;
mod ring;
mod scripts;
mod tend;
mod words;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Value};
use tokio::sync::broadcast;

pub use self::options::RedisOptions;

use self::error::{not_understood, unavailable};
use self::keys::Bucket;
use self::link::{Link, millis};
use self::options::Target;
use self::reply::Reply;
use self::ring::Ring;
use self::scripts::{
    BEGIN, BURY, COMMIT, DELETE, FAIL, LOAD, POSTPONE, PROFILE, PUT, PUT_LOGIN, REASSERT, SETTLE,
    Script, TAKE_LOGIN,
};
use self::words::{
    begin_reply, deleted_reply, kind_letter, push_begin, push_origin, push_span, push_time,
    push_tokens,
};
use crate::ledger::{
    AttemptId, Begin, BeginReply, Buried, Claim, Commit, CommitReply, Deleted, Entry, Fail,
    FailKind, FailReply, Installed, Put, PutReply, Reassert, ReassertReply, Sealed, Settled,
    TOMBSTONE, TakenLogin, Tombstone,
};
use crate::model::{SessionKey, SystemClock, Timestamp};
use crate::store::{At, LOGIN_MEMORY, News, Outage, SessionStore, StoreError, StoreStanding};

type Outcome<T> = Result<T, StoreError>;

/// A store on one Redis server, on the master that Sentinels name, or on a cluster.
///
/// Calls never wait for a connection: while there is none they fail at once and say why. A call whose
/// answer was lost may have had its effect, and is safe to repeat.
pub struct RedisStore {
    link: Arc<Link>,
    ring: Arc<Ring>,
}

impl RedisStore {
    /// Connects to the server at `url` (see [`RedisOptions`] for its forms), with every default.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] for an address or a server that is not usable, with what to set;
    /// [`StoreError::Unavailable`] if it cannot be reached.
    pub async fn connect(url: impl Into<crate::model::Secret>) -> Result<Self, StoreError> {
        Self::connect_with(RedisOptions::new(url)).await
    }

    /// Connects as `options` say. Call it on the runtime that the store is used on.
    ///
    /// # Errors
    ///
    /// As [`RedisStore::connect`].
    pub async fn connect_with(options: RedisOptions) -> Result<Self, StoreError> {
        let target = options.target()?;
        let is_cluster = matches!(target, Target::Cluster(_));
        let link = Arc::new(Link::new(options, Arc::new(SystemClock), is_cluster));
        connect::first(&link, &target).await?;
        let ring = Arc::new(Ring::new(random_name()));
        match tend::enrol(&link, &ring).await {
            // It can be read all the same.
            Err(error @ StoreError::Unavailable { outage: Outage::Full, .. }) => {
                tracing::warn!(%error, "this node could not say that it lives: {error}");
            }
            enrolled => enrolled?,
        }
        tokio::spawn(connect::keep(Arc::clone(&link), target));
        tokio::spawn(tend::run(Arc::clone(&link), Arc::clone(&ring)));
        Ok(Self { link, ring })
    }

    /// Runs a script on a session's entry, due time and channel.
    async fn on_session(
        &self,
        script: &Script,
        key: &SessionKey,
        arguments: impl FnOnce(&mut Cmd),
    ) -> Outcome<Reply> {
        let names = self.link.names.session(key);
        let answer = self
            .link
            .run(script, &names.all(), |call| {
                call.arg(key.joined());
                arguments(call);
            })
            .await?;
        self.heard(answer)
    }

    fn heard(&self, answer: Value) -> Outcome<Reply> {
        let reply = Reply::parse(answer)?;
        self.link.learn_time(reply.now);
        Ok(reply)
    }

    /// Nobody is taken over for a clock that was set forward: by its own time the holder may not have been
    /// silent for long.
    fn patient(&self, request: Begin) -> Begin {
        let boot = self.link.clock.boot();
        let doubtful = self
            .link
            .server_clock
            .as_ref()
            .is_some_and(|clock| clock.was_set_forward_within(request.patience, boot));
        Begin { takeover_of: request.takeover_of.filter(|_| !doubtful), ..request }
    }

    fn due_at(&self, key: &SessionKey, due: Timestamp) {
        self.link.feed.lower_due(Bucket::of(key), Some(due));
    }

    async fn load_whole(&self, key: &SessionKey) -> Outcome<At<Entry>> {
        let names = self.link.names.session(key);
        let answer = self
            .link
            .run(&LOAD, &[&names.entry, &names.due], |call| {
                call.arg(key.joined());
            })
            .await?;
        let mut parts = reply::array(answer)?.into_iter();
        let (Some(now), Some(entry), Some(due)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(not_understood());
        };
        let now = reply::time(now)?;
        self.link.learn_time(now);
        let entry = entry_of(entry)?;
        let due = match due {
            Value::Nil => None,
            score => Some(reply::score(score)?),
        };
        Ok(At { now, reply: Entry { due, ..entry } })
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.link.closing.cancel();
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("options", &self.link.options).finish_non_exhaustive()
    }
}

fn entry_of(value: Value) -> Outcome<Entry> {
    match value {
        Value::Nil => Ok(Entry::default()),
        Value::BulkString(bytes) => codec::decode(&bytes).ok_or_else(not_understood),
        _ => Err(not_understood()),
    }
}

fn random_name() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    format!("{:032x}", u128::from_ne_bytes(bytes))
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn load(&self, key: &SessionKey) -> Result<At<Entry>, StoreError> {
        self.link.subscribe(&[Bucket::of(key)]).await?;
        self.load_whole(key).await
    }

    async fn read(&self, key: &SessionKey) -> Result<At<Entry>, StoreError> {
        let bucket = Bucket::of(key);
        let line = self.link.listening(bucket).await?;
        let clock = self.link.server_clock.as_ref();
        // Told before the question is sent, so that it is never ahead of the server.
        let Some(now) = clock.and_then(|clock| clock.at(self.link.clock.boot())) else {
            return Box::pin(self.load_whole(key)).await;
        };
        let name = self.link.names.entry(bucket, key);
        match gather::get(&self.link, line, name).await? {
            // Nothing there, or no string, which is not the same.
            Value::Nil => Box::pin(self.load_whole(key)).await,
            value => Ok(At { now, reply: entry_of(value)? }),
        }
    }

    async fn begin(&self, key: &SessionKey, request: Begin) -> Result<At<BeginReply>, StoreError> {
        self.link.settled()?;
        let request = self.patient(request);
        let names = self.link.names.session(key);
        let arguments = |call: &mut Cmd| {
            call.arg(key.joined());
            push_begin(call, &request);
        };
        let (answer, unconfirmed) = if request.confirmed {
            let (answer, seen) = self.link.run_confirmed(&BEGIN, &names.all(), arguments).await?;
            (answer, Some(seen).filter(|seen| seen.by < seen.wanted))
        } else {
            (self.link.run(&BEGIN, &names.all(), arguments).await?, None)
        };
        let mut reply = self.heard(answer)?;
        let (now, answer) = (reply.now, begin_reply(&mut reply)?);
        if let (BeginReply::Granted(_), Some(seen)) = (&answer, unconfirmed) {
            let detail = format!("{} of {} did", seen.by, seen.wanted);
            return Err(unavailable(Outage::Unconfirmed, detail));
        }
        Ok(At { now, reply: answer })
    }

    async fn commit(
        &self,
        key: &SessionKey,
        request: Commit,
    ) -> Result<At<CommitReply>, StoreError> {
        let mut reply = self
            .on_session(&COMMIT, key, |call| {
                call.arg(&codec::attempt_bytes(request.attempt))
                    .arg(request.base)
                    .arg(request.sequence);
                push_time(call, request.last_read);
                push_origin(call, request.origin.as_ref());
                push_tokens(call, &request.tokens);
            })
            .await?;
        let answer = match reply.tag.as_str() {
            tag @ ("INSTALLED" | "HEALED") => {
                let is_heal = tag == "HEALED";
                let installed = Installed { generation: reply.number()?, version: reply.number()? };
                if is_heal {
                    CommitReply::Healed(installed)
                } else {
                    CommitReply::Installed(installed)
                }
            }
            "LATE" => CommitReply::Late { generation: reply.number()? },
            "STALE" => CommitReply::Stale { generation: reply.number()? },
            "GONE" => CommitReply::Gone,
            "ABSENT" => CommitReply::Absent,
            _ => return Err(not_understood()),
        };
        if let Some(due_in) = request.tokens.due_in {
            self.due_at(key, reply.now + due_in);
        }
        Ok(At { now: reply.now, reply: answer })
    }

    async fn fail(&self, key: &SessionKey, request: Fail) -> Result<At<FailReply>, StoreError> {
        let names = self.link.names.session(key);
        let arguments = |call: &mut Cmd| {
            call.arg(key.joined())
                .arg(&codec::attempt_bytes(request.attempt))
                .arg(request.base)
                .arg(kind_letter(request.kind))
                .arg(millis(request.delay))
                .arg(millis(request.suspect_for))
                .arg(codec::encode_error(&request.error));
        };
        let answer = match request.kind {
            // Leave that is given back must not overtake the request for it.
            FailKind::NotSent => {
                self.link.run_behind(&FAIL, &names.all(), arguments, "STALE").await?
            }
            _ => self.link.run(&FAIL, &names.all(), arguments).await?,
        };
        let mut reply = self.heard(answer)?;
        let answer = match reply.tag.as_str() {
            "RETRY" => FailReply::Retry { at: reply.time()? },
            "RECOVERED" => FailReply::Recovered { generation: reply.number()? },
            "TRYSPARE" => FailReply::TrySpare { generation: reply.number()? },
            "SUSPECT" => FailReply::Suspect { until: reply.time()? },
            "DEAD" => FailReply::Dead,
            "STALE" => FailReply::Stale { generation: reply.number()? },
            "GONE" => FailReply::Gone,
            "ABSENT" => FailReply::Absent,
            _ => return Err(not_understood()),
        };
        if let FailReply::Retry { at } | FailReply::Suspect { until: at } = &answer {
            self.due_at(key, *at);
        }
        Ok(At { now: reply.now, reply: answer })
    }

    async fn put(&self, key: &SessionKey, request: Put) -> Result<At<PutReply>, StoreError> {
        let mut reply = self
            .on_session(&PUT, key, |call| {
                call.arg(request.generation).arg(request.provider.as_str());
                push_tokens(call, &request.tokens);
            })
            .await?;
        let answer = match reply.tag.as_str() {
            "STORED" => PutReply::Stored { version: reply.number()? },
            "CONFLICT" => PutReply::Conflict { generation: reply.number()? },
            _ => return Err(not_understood()),
        };
        if let Some(due_in) = request.tokens.due_in {
            self.due_at(key, reply.now + due_in);
        }
        Ok(At { now: reply.now, reply: answer })
    }

    async fn delete(&self, key: &SessionKey) -> Result<At<Option<Deleted>>, StoreError> {
        let mut reply = self
            .on_session(&DELETE, key, |call| {
                call.arg(millis(TOMBSTONE));
            })
            .await?;
        let answer = match reply.tag.as_str() {
            "DELETED" => Some(deleted_reply(&mut reply)?),
            "NONE" => None,
            _ => return Err(not_understood()),
        };
        Ok(At { now: reply.now, reply: answer })
    }

    async fn settle(&self, key: &SessionKey, max_tries: u32) -> Result<At<Settled>, StoreError> {
        let mut reply = self
            .on_session(&SETTLE, key, |call| {
                call.arg(max_tries);
            })
            .await?;
        let answer = match reply.tag.as_str() {
            "NOTYET" => Settled::NotYet { until: reply.time()? },
            "LASTTRY" => Settled::LastTry,
            "DEAD" => Settled::Dead,
            "NOTSUSPECT" => Settled::NotSuspect,
            _ => return Err(not_understood()),
        };
        Ok(At { now: reply.now, reply: answer })
    }

    async fn postpone(
        &self,
        key: &SessionKey,
        due_in: Option<Duration>,
        last_read: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let reply = self
            .on_session(&POSTPONE, key, |call| {
                push_span(call, due_in);
                push_time(call, last_read);
            })
            .await?;
        if let Some(due_in) = due_in {
            self.due_at(key, reply.now + due_in);
        }
        Ok(())
    }

    async fn set_profile(
        &self,
        key: &SessionKey,
        grant: u64,
        profile: Sealed,
    ) -> Result<bool, StoreError> {
        let reply = self
            .on_session(&PROFILE, key, |call| {
                call.arg(grant).arg(profile.as_bytes());
            })
            .await?;
        Ok(reply.tag == "DONE")
    }

    async fn claim(&self, request: Claim) -> Result<At<Vec<(SessionKey, Timestamp)>>, StoreError> {
        claim::claim(&self.link, &self.ring, request).await
    }

    async fn reassert(
        &self,
        key: &SessionKey,
        request: Reassert,
    ) -> Result<At<ReassertReply>, StoreError> {
        let reply = self
            .on_session(&REASSERT, key, |call| {
                call.arg(&codec::attempt_bytes(request.attempt))
                    .arg(&request.node.name)
                    .arg(&request.node.incarnation.to_be_bytes())
                    .arg(request.base)
                    .arg(request.sequence)
                    .arg(request.tries)
                    .arg(millis(request.patience));
                push_origin(call, Some(&request.origin));
                push_tokens(call, &request.tokens);
            })
            .await?;
        let answer = match reply.tag.as_str() {
            "HELD" => ReassertReply::Held,
            "PASSED" => ReassertReply::Passed,
            "GONE" => ReassertReply::Gone,
            _ => return Err(not_understood()),
        };
        Ok(At { now: reply.now, reply: answer })
    }

    async fn bury(&self, key: &SessionKey, stone: Tombstone) -> Result<At<Buried>, StoreError> {
        let mut reply = self
            .on_session(&BURY, key, |call| {
                call.arg(stone.generation)
                    .arg(stone.version)
                    .arg(stone.last_sequence)
                    .arg(millis(TOMBSTONE));
            })
            .await?;
        let answer = match reply.tag.as_str() {
            "LOGGEDIN" => Buried::LoggedIn,
            "GONE" => Buried::Gone,
            "DELETED" => Buried::Again(Box::new(deleted_reply(&mut reply)?)),
            _ => return Err(not_understood()),
        };
        Ok(At { now: reply.now, reply: answer })
    }

    async fn put_login(
        &self,
        digest: &str,
        sealed: Sealed,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let key = self.link.names.login(digest);
        self.link
            .run(&PUT_LOGIN, &[&key], |call| {
                call.arg(sealed.as_bytes()).arg(millis(ttl)).arg(millis(LOGIN_MEMORY));
            })
            .await?;
        Ok(())
    }

    async fn take_login(&self, digest: &str, attempt: AttemptId) -> Result<TakenLogin, StoreError> {
        let key = self.link.names.login(digest);
        let answer = self
            .link
            .run(&TAKE_LOGIN, &[&key], |call| {
                call.arg(&codec::attempt_bytes(attempt));
            })
            .await?;
        let mut parts = reply::array(answer)?.into_iter();
        let tag = reply::bytes(parts.next().ok_or_else(not_understood)?)?;
        Ok(match tag.as_slice() {
            b"YOURS" => {
                let sealed = reply::bytes(parts.next().ok_or_else(not_understood)?)?;
                TakenLogin::Taken(Sealed::new(sealed))
            }
            b"TAKEN" => TakenLogin::AlreadyTaken,
            b"EXPIRED" => TakenLogin::Expired,
            b"UNKNOWN" => TakenLogin::Unknown,
            _ => return Err(not_understood()),
        })
    }

    fn news(&self) -> Option<broadcast::Receiver<News>> {
        Some(self.link.feed.listen())
    }

    fn standing(&self) -> StoreStanding {
        let (outage, notes) = self.link.outage_and_notes();
        StoreStanding { outage: outage.map(|error| error.to_string()), notes }
    }

    async fn close(&self) -> Result<(), StoreError> {
        if !self.link.closing.is_cancelled() {
            let mut leave = redis::cmd("ZREM");
            leave.arg(self.link.names.nodes()).arg(&self.ring.me);
            // Without a connection its lease runs out by itself.
            let _ = self.link.command(&leave).await;
        }
        self.link.closing.cancel();
        self.link.live.store(None);
        self.link.set_outage(Some(StoreError::Closed));
        Ok(())
    }
}
