//! Which sessions this process knows: their published snapshot and their actor, if one runs.
//!
//! A hot read is one look-up here and nothing else: no message, no await, no allocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::Addr;
use dashmap::DashMap;

use crate::actors::session::SessionActor;
use crate::model::{BootTime, SessionKey, Snapshot};

/// One unit of [`Place::last_read`]: 2^30 ns, a little over a second.
const READ_UNIT_BITS: u32 = 30;

/// A snapshot whose actor was passivated goes after this many further idle spans without a read.
const EVICT_AFTER_IDLE: u32 = 6;

/// Sessions known to this process.
pub(crate) struct Registry {
    places: DashMap<SessionKey, Place, ahash::RandomState>,
    trust: Trust,
    loads: DashMap<SessionKey, Loads, ahash::RandomState>,
}

/// What a reader finds.
pub(crate) enum Cached {
    /// To be handed out without a second thought.
    Fresh(Arc<Snapshot>),
    /// To be handed out, and to be looked up in the store behind it: it was verified a while ago.
    Doubtful(Arc<Snapshot>),
    /// To be asked of the session's actor.
    Miss,
    /// Nothing is known of the session, and no actor looks for it.
    Unknown,
}

/// How long a snapshot may be handed out without a look at the store that others write to as well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrustOptions {
    /// After this long it is looked up behind the reader's back.
    pub(crate) recheck_after: Duration,
    /// After this long without an answer of the store it is not handed out.
    pub(crate) max_unverified: Duration,
}

/// The same in [`READ_UNIT_BITS`].
struct Trust {
    recheck_after: u32,
    max_unverified: u32,
    /// What was verified before this may have changed since without a word.
    missed: AtomicU32,
}

/// Reads of one session's record that are under way.
#[derive(Default)]
struct Loads {
    count: u32,
    /// The newest version that was heard of meanwhile.
    heard: u64,
}

/// A read of a session's record that is under way: a change that is heard of meanwhile makes what it brings
/// outdated.
pub(crate) struct Load<'a> {
    registry: &'a Registry,
    key: &'a SessionKey,
    /// True if no other was under way.
    pub(crate) is_alone: bool,
}

/// What is kept for one session. Small: there may be millions.
#[derive(Default)]
pub(crate) struct Place {
    snapshot: Option<Arc<Snapshot>>,
    /// Boxed, since an address is three pointers wide and most sessions have no actor.
    actor: Option<Box<Addr<SessionActor>>>,
    /// The last version of a deleted session of this name; 0 if none was deleted here.
    deleted_version: u64,
    /// When a caller last read the token, in units of 2^30 ns since boot; 0 for never.
    last_read: AtomicU32,
    /// When its actor was last busy, in the same units.
    last_active: AtomicU32,
    /// When the store last said what the snapshot says, in the same units.
    verified: AtomicU32,
    /// When a look at the store was last asked for, in the same units.
    asked: AtomicU32,
}

fn units(time: BootTime) -> u32 {
    // 2^32 units are 146 years of uptime.
    u32::try_from(time.as_nanos() >> READ_UNIT_BITS).unwrap_or(u32::MAX)
}

fn from_units(units: u32) -> BootTime {
    BootTime::from_nanos(u64::from(units) << READ_UNIT_BITS)
}

impl Trust {
    fn new(options: Option<TrustOptions>) -> Self {
        let span = |span: Duration| units(BootTime::default() + span);
        // A store nobody else writes to is always as its only user remembers it.
        let recheck_after = options.map_or(u32::MAX, |it| span(it.recheck_after));
        let max_unverified = options.map_or(u32::MAX, |it| span(it.max_unverified));
        Self { recheck_after, max_unverified, missed: AtomicU32::new(0) }
    }

    #[inline]
    fn is_verified(&self, verified: u32, now: u32) -> bool {
        let since = now.saturating_sub(self.recheck_after);
        verified >= since.max(self.missed.load(Ordering::Relaxed))
    }

    fn is_tolerable(&self, verified: u32, now: u32) -> bool {
        self.is_verified(verified, now)
            || (self.max_unverified > 0 && now.saturating_sub(verified) <= self.max_unverified)
    }
}

impl Registry {
    /// `None` for a store that nobody else writes to.
    pub(crate) fn new(trust: Option<TrustOptions>) -> Self {
        Self { places: DashMap::default(), trust: Trust::new(trust), loads: DashMap::default() }
    }

    /// The published snapshot, if it is fresh and verified, or was not long ago.
    #[inline]
    pub(crate) fn cached(&self, key: &SessionKey, now: BootTime) -> Cached {
        let Some(place) = self.places.get(key) else {
            return Cached::Unknown;
        };
        let Some(snapshot) = place.snapshot.as_ref().filter(|snapshot| snapshot.is_fresh(now))
        else {
            return if place.is_empty() { Cached::Unknown } else { Cached::Miss };
        };
        let now_units = units(now);
        let verified = place.verified.load(Ordering::Relaxed);
        if self.trust.is_verified(verified, now_units) {
            place.note_read(now);
            return Cached::Fresh(Arc::clone(snapshot));
        }
        if !self.trust.is_tolerable(verified, now_units) {
            return Cached::Miss;
        }
        place.note_read(now);
        // One look a second is asked for, by the first reader.
        if place.asked.swap(now_units, Ordering::Relaxed) == now_units {
            return Cached::Fresh(Arc::clone(snapshot));
        }
        Cached::Doubtful(Arc::clone(snapshot))
    }

    /// The published snapshot, if it may still be handed out where nothing newer can be had.
    pub(crate) fn tolerable(&self, key: &SessionKey, now: BootTime) -> Option<Arc<Snapshot>> {
        let place = self.places.get(key)?;
        let verified = place.verified.load(Ordering::Relaxed);
        let tolerable = self.trust.is_tolerable(verified, units(now));
        place.snapshot.clone().filter(|_| tolerable)
    }

    /// The published snapshot, whatever its age.
    pub(crate) fn snapshot(&self, key: &SessionKey) -> Option<Arc<Snapshot>> {
        self.places.get(key)?.snapshot.clone()
    }

    /// Publishes a snapshot, unless a newer one stands. The store said so at `seen`, or later.
    pub(crate) fn publish(&self, key: &SessionKey, snapshot: &Arc<Snapshot>, seen: BootTime) {
        let mut place = self.places.entry(key.clone()).or_default();
        let newer = place.snapshot.as_ref().is_none_or(|old| old.version() <= snapshot.version());
        if newer && snapshot.version() > place.deleted_version {
            place.snapshot = Some(Arc::clone(snapshot));
            place.verified.fetch_max(units(seen), Ordering::Relaxed);
        }
    }

    /// Another node may have given the session that version. What is older is looked up at its next read,
    /// or, where the provider has stopped accepting it, is not handed out any more.
    pub(crate) fn hear(&self, key: &SessionKey, version: u64, now: BootTime) {
        if let Some(mut loads) = self.loads.get_mut(key) {
            loads.heard = loads.heard.max(version);
        }
        let Some(mut place) = self.places.get_mut(key) else {
            return;
        };
        let Some(snapshot) = place.snapshot.as_ref().filter(|old| old.version() < version) else {
            return;
        };
        if snapshot.ends_with_successor() {
            place.snapshot = None;
        } else {
            let doubtful = units(now).saturating_sub(self.trust.recheck_after).saturating_sub(1);
            place.verified.fetch_min(doubtful, Ordering::Relaxed);
            place.asked.store(0, Ordering::Relaxed);
        }
    }

    /// Changes may have gone unheard: everything is looked up at its next read.
    pub(crate) fn missed(&self, now: BootTime) {
        self.trust.missed.fetch_max(units(now).saturating_add(1), Ordering::Relaxed);
    }

    /// A read of the session's record begins.
    pub(crate) fn begin_load<'a>(&'a self, key: &'a SessionKey) -> Load<'a> {
        let mut loads = self.loads.entry(key.clone()).or_default();
        loads.count += 1;
        Load { registry: self, key, is_alone: loads.count == 1 }
    }

    /// Takes the published snapshot away: the session is gone. An exchange that is just finishing may
    /// still try to publish `last_version` or an older one, and must not succeed.
    pub(crate) fn retract(&self, key: &SessionKey, last_version: u64) {
        if last_version == 0 && !self.places.contains_key(key) {
            return;
        }
        let mut place = self.places.entry(key.clone()).or_default();
        place.snapshot = None;
        place.deleted_version = place.deleted_version.max(last_version);
    }

    /// As [`Registry::retract`], unless a newer version is published. True if none is.
    pub(crate) fn retract_older(&self, key: &SessionKey, last_version: u64) -> bool {
        let newer = self.snapshot(key).is_some_and(|snapshot| snapshot.version() > last_version);
        if !newer {
            self.retract(key, last_version);
        }
        !newer
    }

    /// Notes that a caller read the session by another way than [`Registry::fresh`].
    pub(crate) fn note_read(&self, key: &SessionKey, now: BootTime) {
        if let Some(place) = self.places.get(key) {
            place.note_read(now);
        }
    }

    /// When a caller last read the session in this process.
    pub(crate) fn last_read(&self, key: &SessionKey) -> Option<BootTime> {
        let units = self.places.get(key)?.last_read.load(Ordering::Relaxed);
        (units > 0).then(|| from_units(units))
    }

    /// The session's running actor; starts one by `start` where none runs.
    pub(crate) fn actor(
        &self,
        key: &SessionKey,
        now: BootTime,
        start: impl FnOnce() -> Addr<SessionActor>,
    ) -> Addr<SessionActor> {
        if let Some(place) = self.places.get(key)
            && let Some(actor) = place.running()
        {
            place.last_active.store(units(now), Ordering::Relaxed);
            return actor.clone();
        }
        let mut place = self.places.entry(key.clone()).or_default();
        place.last_active.store(units(now), Ordering::Relaxed);
        match place.running() {
            Some(actor) => actor.clone(),
            None => (**place.actor.insert(Box::new(start()))).clone(),
        }
    }

    /// The session's running actor, if one runs.
    pub(crate) fn running(&self, key: &SessionKey) -> Option<Addr<SessionActor>> {
        self.places.get(key)?.actor.as_deref().filter(|actor| actor.connected()).cloned()
    }

    /// Forgets that `actor` runs, if it is the one on record. The snapshot stays; a place without one
    /// goes as well, so that asking for sessions nobody has leaves nothing behind.
    pub(crate) fn actor_stopped(&self, key: &SessionKey, actor: &Addr<SessionActor>) {
        let stopped = self.places.get_mut(key).is_some_and(|mut place| {
            let known = place.actor.as_deref() == Some(actor);
            if known {
                place.actor = None;
            }
            known
        });
        if stopped {
            self.places.remove_if(key, |_, place| place.is_empty());
        }
    }

    /// Evicts places without an actor that nobody has read for long or whose token has expired, and
    /// returns the actors that have been idle for `idle`. Readers are never kept waiting for it.
    pub(crate) fn sweep(&self, now: BootTime, idle: Duration) -> Vec<Addr<SessionActor>> {
        let mut idle_actors = Vec::new();
        let mut evictable = Vec::new();
        for place in &self.places {
            match place.running() {
                Some(actor) if place.idle_for(now) >= idle => idle_actors.push(actor.clone()),
                Some(_) => {}
                None if place.is_evictable(now, idle) => evictable.push(place.key().clone()),
                None => {}
            }
        }
        for key in evictable {
            self.places.remove_if(&key, |_, place| place.is_evictable(now, idle));
        }
        // A table keeps its size when entries go; after most of them went, it gives its memory back.
        if self.places.len() < self.places.capacity() / 4 {
            self.places.shrink_to_fit();
        }
        idle_actors
    }

    /// Known sessions, and those with a running actor.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let actors = self.places.iter().filter(|place| place.actor.is_some()).count();
        (self.places.len(), actors)
    }
}

impl Load<'_> {
    /// True if a version newer than `version` was heard of since it began.
    pub(crate) fn is_outdated(&self, version: u64) -> bool {
        self.registry.loads.get(self.key).is_some_and(|loads| loads.heard > version)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.registry.loads.remove_if_mut(self.key, |_, loads| {
            loads.count -= 1;
            loads.count == 0
        });
    }
}

impl Place {
    fn running(&self) -> Option<&Addr<SessionActor>> {
        self.actor.as_deref().filter(|actor| actor.connected())
    }

    fn is_empty(&self) -> bool {
        self.snapshot.is_none() && self.running().is_none()
    }

    /// How long its actor has had nothing to do.
    fn idle_for(&self, now: BootTime) -> Duration {
        now.since(from_units(self.last_active.load(Ordering::Relaxed)))
    }

    fn is_evictable(&self, now: BootTime, idle: Duration) -> bool {
        if self.running().is_some() {
            return false;
        }
        let valid = self.snapshot.as_ref().is_some_and(|token| token.is_valid(now));
        let read = from_units(self.last_read.load(Ordering::Relaxed));
        !valid || now.since(read).min(self.idle_for(now)) >= idle.saturating_mul(EVICT_AFTER_IDLE)
    }

    fn note_read(&self, now: BootTime) {
        let units = units(now);
        // Written once a second at most: readers on many cores share this cache line.
        if self.last_read.load(Ordering::Relaxed) != units {
            self.last_read.store(units, Ordering::Relaxed);
        }
    }
}
