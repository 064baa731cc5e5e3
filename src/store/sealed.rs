//! A store that speaks plain tokens: seals on the way in, opens on the way out, and never waits for ever.
//!
//! It is the only way the rest of the crate reaches a [`SessionStore`], so that no backend can see a
//! token and no caller can forget to seal one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tokio::sync::broadcast;
use zeroize::Zeroizing;

use crate::ledger::{
    AttemptId, Begin, BeginReply, Buried, Claim, Commit, CommitReply, Deleted, Entry, Fail,
    FailReply, Grant, NewTokens, Origin, Put, PutReply, Reassert, ReassertReply, Record, Sealed,
    Settled, TakenLogin, Tombstone,
};
use crate::model::{OAuthToken, ProviderId, Secret, SessionKey, Timestamp, User};
use crate::sealing::{Field, Keyring, Label, SealError};
use crate::store::{
    At, Lineage, News, Outage, PendingLogin, SessionStore, StoreError, StoreStanding, access,
};

/// Seals, opens, and holds every call to a deadline.
pub(crate) struct SealedStore {
    inner: Arc<dyn SessionStore>,
    keyring: Keyring,
    deadline: Duration,
}

/// A session's record with its access token opened.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The access token and what was said about it; no refresh token.
    pub(crate) token: OAuthToken,
    /// What else there is; its access token was taken out to be opened.
    pub(crate) record: Record,
    /// The store's time when it was read.
    pub(crate) now: Timestamp,
}

/// What is kept under a key.
#[derive(Debug)]
pub(crate) enum Opened {
    Live(Box<Session>),
    /// It was deleted.
    Gone,
    /// It was never there, or the store has lost it.
    Absent,
}

/// Leave to redeem, opened.
pub(crate) struct Redeem {
    pub(crate) base: u64,
    pub(crate) sequence: u64,
    pub(crate) tries: u32,
    pub(crate) refresh: Lineage,
    pub(crate) previous: OAuthToken,
    /// What the store keeps of the generation being redeemed, for when it loses it.
    pub(crate) sealed: Grant,
}

/// The answer to a request to begin, opened.
pub(crate) enum Begun {
    Granted(Box<Redeem>),
    Newer(Box<Session>),
    Refused(BeginReply),
}

/// Remaining lifetimes, counted from now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh_expires_in: Option<Duration>,
    pub(crate) due_in: Option<Duration>,
}

/// Tokens on their way into the store.
pub(crate) struct PlainTokens {
    pub(crate) token: OAuthToken,
    /// The refresh token before the token's own; `None` for a new grant.
    pub(crate) before: Option<Lineage>,
    /// Further members of the answer, the id token among them.
    pub(crate) extra: Map<String, Value>,
    pub(crate) spans: Spans,
}

/// Which exchange brought them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchanged<'a> {
    pub(crate) attempt: AttemptId,
    pub(crate) base: u64,
    pub(crate) sequence: u64,
    pub(crate) last_read: Option<Timestamp>,
    pub(crate) origin: &'a Origin,
}

/// Why the store gave nothing readable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedStoreError {
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it gave does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What was sealed is not what this version writes.
    #[error("sealed content is not readable by this version of tokenhive")]
    Content,
    /// The session moved on after the store had been asked to keep new tokens and had not said whether it
    /// did: to store them again could bring back what was redeemed since.
    #[error("the session changed while its new tokens were being stored; look at it again")]
    Overtaken,
}

/// The tokens of one new grant as the store was asked to keep them; it may have done so without saying.
#[derive(Default)]
pub(crate) struct Offered {
    /// Under which generations, sealed how.
    unanswered: Vec<(u64, Sealed)>,
    /// It said so.
    stored: bool,
}

impl Offered {
    fn is(&self, record: &Record) -> bool {
        self.unanswered.iter().any(|(_, access)| *access == record.access)
    }

    fn may_precede(&self, record: &Record) -> bool {
        self.unanswered.iter().any(|(generation, _)| *generation <= record.generation)
    }
}

type Outcome<T> = Result<T, SealedStoreError>;

impl SealedStore {
    pub(crate) fn new(inner: Arc<dyn SessionStore>, keyring: Keyring, deadline: Duration) -> Self {
        Self { inner, keyring, deadline }
    }

    pub(crate) async fn load(&self, key: &SessionKey) -> Outcome<At<Opened>> {
        let At { now, reply } = self.within(self.inner.read(key)).await?;
        let reply = match reply.record {
            Some(record) => Opened::Live(Box::new(self.open_session(key, record, now)?)),
            None if reply.tombstone.is_some() => Opened::Gone,
            None => Opened::Absent,
        };
        Ok(At { now, reply })
    }

    /// Everything kept under `key`, sealed as it is.
    pub(crate) async fn entry(&self, key: &SessionKey) -> Outcome<At<Entry>> {
        Ok(self.within(self.inner.load(key)).await?)
    }

    pub(crate) async fn begin(&self, key: &SessionKey, request: Begin) -> Outcome<At<Begun>> {
        let At { now, reply } = self.within(self.inner.begin(key, request)).await?;
        let reply = match reply {
            BeginReply::Granted(grant) => Begun::Granted(Box::new(self.open_grant(key, grant)?)),
            BeginReply::Newer(record) => {
                Begun::Newer(Box::new(self.open_session(key, *record, now)?))
            }
            other => Begun::Refused(other),
        };
        Ok(At { now, reply })
    }

    /// Seals the tokens of an exchange; send the result as often as it takes.
    pub(crate) fn seal_commit(
        &self,
        key: &SessionKey,
        by: Exchanged<'_>,
        tokens: &PlainTokens,
    ) -> Commit {
        let tokens = self.seal_tokens(key, by.base + 1, tokens);
        Commit {
            attempt: by.attempt,
            base: by.base,
            sequence: by.sequence,
            tokens,
            last_read: by.last_read,
            origin: Some(by.origin.clone()),
        }
    }

    pub(crate) async fn commit(
        &self,
        key: &SessionKey,
        request: Commit,
    ) -> Outcome<At<CommitReply>> {
        Ok(self.within(self.inner.commit(key, request)).await?)
    }

    pub(crate) async fn fail(&self, key: &SessionKey, request: Fail) -> Outcome<At<FailReply>> {
        Ok(self.within(self.inner.fail(key, request)).await?)
    }

    /// Stores the tokens of a new grant, sealing anew if the session moves meanwhile. After an error call it
    /// again with the same `offered`: tokens that were stored, and redeemed since, are not stored twice.
    pub(crate) async fn put(
        &self,
        key: &SessionKey,
        provider: &ProviderId,
        tokens: &PlainTokens,
        offered: &mut Offered,
    ) -> Outcome<Session> {
        loop {
            let At { now, reply: entry } = self.within(self.inner.load(key)).await?;
            let generation = entry.next_put_generation().max(self.least_generation(now));
            match entry.record {
                Some(record) if offered.stored || offered.is(&record) => {
                    return self.open_session(key, record, now);
                }
                Some(record) if offered.may_precede(&record) => {
                    return Err(SealedStoreError::Overtaken);
                }
                // Deleted since: not to be brought back.
                None if offered.stored => return Err(SealedStoreError::Overtaken),
                _ => {}
            }
            let sealed = self.seal_tokens(key, generation, tokens);
            offered.unanswered.push((generation, sealed.access.clone()));
            let put = Put { generation, provider: provider.clone(), tokens: sealed };
            match self.within(self.inner.put(key, put)).await?.reply {
                PutReply::Stored { .. } => offered.stored = true,
                PutReply::Conflict { .. } => drop(offered.unanswered.pop()),
            }
        }
    }

    /// A store that others use as well may lose what it acknowledged, and with it how far a session had come.
    /// No session is refreshed once a millisecond, so that the clock is ahead of any.
    fn least_generation(&self, now: Timestamp) -> u64 {
        match self.inner.news() {
            Some(_) => u64::try_from(now.as_millis()).unwrap_or(1),
            None => 1,
        }
    }

    pub(crate) async fn delete(&self, key: &SessionKey) -> Outcome<Option<Deleted>> {
        Ok(self.within(self.inner.delete(key)).await?.reply)
    }

    pub(crate) async fn settle(&self, key: &SessionKey, max_tries: u32) -> Outcome<Settled> {
        Ok(self.within(self.inner.settle(key, max_tries)).await?.reply)
    }

    pub(crate) async fn reassert(
        &self,
        key: &SessionKey,
        request: Reassert,
    ) -> Outcome<ReassertReply> {
        Ok(self.within(self.inner.reassert(key, request)).await?.reply)
    }

    pub(crate) async fn bury(&self, key: &SessionKey, stone: Tombstone) -> Outcome<Buried> {
        Ok(self.within(self.inner.bury(key, stone)).await?.reply)
    }

    pub(crate) fn news(&self) -> Option<broadcast::Receiver<News>> {
        self.inner.news()
    }

    pub(crate) fn standing(&self) -> StoreStanding {
        self.inner.standing()
    }

    pub(crate) async fn postpone(
        &self,
        key: &SessionKey,
        due_in: Option<Duration>,
        last_read: Option<Timestamp>,
    ) -> Outcome<()> {
        Ok(self.within(self.inner.postpone(key, due_in, last_read)).await?)
    }

    pub(crate) async fn claim(&self, request: Claim) -> Outcome<At<Vec<(SessionKey, Timestamp)>>> {
        // Many looks in one: an answer that comes too late would hide what it found.
        Ok(self.within_span(self.deadline * 4, self.inner.claim(request)).await?)
    }

    pub(crate) async fn set_profile(
        &self,
        key: &SessionKey,
        grant: u64,
        user: &User,
    ) -> Outcome<bool> {
        let plain =
            Zeroizing::new(serde_json::to_vec(user).map_err(|_| SealedStoreError::Content)?);
        let sealed = self.keyring.seal(Label::of(key, Field::Profile), grant, &plain);
        Ok(self.within(self.inner.set_profile(key, grant, Sealed::new(sealed))).await?)
    }

    pub(crate) fn open_profile(&self, key: &SessionKey, record: &Record) -> Outcome<Option<User>> {
        let Some(sealed) = &record.profile else {
            return Ok(None);
        };
        let (_, plain) = self.keyring.open(Label::of(key, Field::Profile), sealed.as_bytes())?;
        serde_json::from_slice(&plain).map(Some).map_err(|_| SealedStoreError::Content)
    }

    pub(crate) fn open_refresh(
        &self,
        key: &SessionKey,
        record: &Record,
    ) -> Outcome<Option<Secret>> {
        let Some(sealed) = &record.refresh else {
            return Ok(None);
        };
        self.open_lineage(key, sealed.clone(), record.generation).map(|lineage| Some(lineage.token))
    }

    /// A refresh token of that generation by itself.
    pub(crate) fn open_refresh_token(
        &self,
        key: &SessionKey,
        sealed: &Sealed,
        generation: u64,
    ) -> Outcome<Secret> {
        self.open_lineage(key, sealed.clone(), generation).map(|lineage| lineage.token)
    }

    /// True if the session's refresh token is `token`, or came of it.
    pub(crate) fn descends_from(
        &self,
        key: &SessionKey,
        record: &Record,
        token: &Secret,
    ) -> Outcome<bool> {
        let Some(sealed) = &record.refresh else {
            return Ok(false);
        };
        Ok(self.open_lineage(key, sealed.clone(), record.generation)?.knows(token))
    }

    pub(crate) async fn put_login(
        &self,
        state: &Secret,
        login: &PendingLogin,
        ttl: Duration,
    ) -> Outcome<()> {
        let digest = state_digest(state);
        let sealed = self.keyring.seal(Label::login(&digest), 0, &login.to_plain());
        Ok(self.within(self.inner.put_login(&digest, Sealed::new(sealed), ttl)).await?)
    }

    /// The login itself where it was taken, else why not.
    pub(crate) async fn take_login(
        &self,
        state: &Secret,
        attempt: AttemptId,
    ) -> Outcome<Result<PendingLogin, TakenLogin>> {
        let digest = state_digest(state);
        match self.within(self.inner.take_login(&digest, attempt)).await? {
            TakenLogin::Taken(sealed) => {
                let (_, plain) = self.keyring.open(Label::login(&digest), sealed.as_bytes())?;
                PendingLogin::from_plain(&plain).map(Ok).ok_or(SealedStoreError::Content)
            }
            refused => Ok(Err(refused)),
        }
    }

    pub(crate) async fn close(&self) -> Outcome<()> {
        Ok(self.inner.close().await?)
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.within_span(self.deadline, call).await
    }

    async fn within_span<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
            let detail = format!("none within {} ms", deadline.as_millis());
            Err(StoreError::Unavailable { outage: Outage::NoAnswer, detail })
        })
    }

    fn open_session(
        &self,
        key: &SessionKey,
        mut record: Record,
        now: Timestamp,
    ) -> Outcome<Session> {
        let access = std::mem::replace(&mut record.access, Sealed::new([]));
        let token = self.open_access(key, access, record.generation)?;
        Ok(Session { token, record, now })
    }

    fn open_grant(&self, key: &SessionKey, grant: Grant) -> Outcome<Redeem> {
        let refresh = self.open_lineage(key, grant.refresh.clone(), grant.base)?;
        let mut previous = self.open_access(key, grant.access.clone(), grant.base)?;
        previous.refresh_token = Some(refresh.token.clone());
        let Grant { base, sequence, tries, .. } = grant;
        Ok(Redeem { base, sequence, tries, refresh, previous, sealed: grant })
    }

    fn open_access(&self, key: &SessionKey, sealed: Sealed, at: u64) -> Outcome<OAuthToken> {
        let plain = self.open_blob(Label::of(key, Field::Access), sealed, at)?;
        access::from_plain(&plain).ok_or(SealedStoreError::Content)
    }

    fn open_lineage(&self, key: &SessionKey, sealed: Sealed, at: u64) -> Outcome<Lineage> {
        let plain = self.open_blob(Label::of(key, Field::Refresh), sealed, at)?;
        Lineage::from_plain(&plain).ok_or(SealedStoreError::Content)
    }

    /// Opens a blob of a record at generation `at`. An older blob in its place is refused: it was put
    /// there by somebody else. Where a spare was promoted, the last one's tokens stand for the new one.
    fn open_blob(&self, label: Label<'_>, sealed: Sealed, at: u64) -> Outcome<Zeroizing<Vec<u8>>> {
        let (generation, plain) = self.keyring.open_in_place(label, sealed.into_bytes())?;
        if generation > at || generation + 1 < at {
            return Err(SealError::Broken.into());
        }
        Ok(plain)
    }

    fn seal_tokens(&self, key: &SessionKey, generation: u64, tokens: &PlainTokens) -> NewTokens {
        let seal = |field, plain: &[u8]| {
            Sealed::new(self.keyring.seal(Label::of(key, field), generation, plain))
        };
        let refresh = tokens.token.refresh_token.clone();
        let extra = (!tokens.extra.is_empty())
            .then(|| serde_json::to_vec(&tokens.extra).ok().map(Zeroizing::new))
            .flatten();
        NewTokens {
            access: seal(Field::Access, &access::to_plain(&tokens.token)),
            refresh: refresh.map(|token| seal(Field::Refresh, &lineage(tokens, token).to_plain())),
            extra: extra.map(|plain| seal(Field::Extra, &plain)),
            expires_in: tokens.spans.expires_in,
            refresh_expires_in: tokens.spans.refresh_expires_in,
            due_in: tokens.spans.due_in,
        }
    }
}

fn lineage(tokens: &PlainTokens, token: Secret) -> Lineage {
    match &tokens.before {
        Some(before) => before.clone().followed_by(token),
        None => Lineage::first(token),
    }
}

/// The store never sees a state itself: whoever reads the store cannot finish a login.
fn state_digest(state: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, state.expose().as_bytes()))
}

#[cfg(test)]
mod tests;
