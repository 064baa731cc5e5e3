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
}

fn units(time: BootTime) -> u32 {
    // 2^32 units are 146 years of uptime.
    u32::try_from(time.as_nanos() >> READ_UNIT_BITS).unwrap_or(u32::MAX)
}

fn from_units(units: u32) -> BootTime {
    BootTime::from_nanos(u64::from(units) << READ_UNIT_BITS)
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { places: DashMap::default() }
    }

    /// The published snapshot, if it may be handed out without a second thought.
    #[inline]
    pub(crate) fn fresh(&self, key: &SessionKey, now: BootTime) -> Option<Arc<Snapshot>> {
        let place = self.places.get(key)?;
        let snapshot = place.snapshot.as_ref().filter(|snapshot| snapshot.is_fresh(now))?;
        place.note_read(now);
        Some(Arc::clone(snapshot))
    }

    /// The published snapshot, whatever its age.
    pub(crate) fn snapshot(&self, key: &SessionKey) -> Option<Arc<Snapshot>> {
        self.places.get(key)?.snapshot.clone()
    }

    /// Publishes a snapshot, unless a newer one stands.
    pub(crate) fn publish(&self, key: &SessionKey, snapshot: &Arc<Snapshot>) {
        let mut place = self.places.entry(key.clone()).or_default();
        let newer = place.snapshot.as_ref().is_none_or(|old| old.version() <= snapshot.version());
        if newer && snapshot.version() > place.deleted_version {
            place.snapshot = Some(Arc::clone(snapshot));
        }
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
