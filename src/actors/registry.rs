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
        if newer {
            place.snapshot = Some(Arc::clone(snapshot));
        }
    }

    /// Takes the published snapshot away: the session was deleted, or its token was refused.
    pub(crate) fn retract(&self, key: &SessionKey) {
        if let Some(mut place) = self.places.get_mut(key) {
            place.snapshot = None;
        }
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
            && let Some(actor) = place.actor.as_ref().filter(|actor| actor.connected())
        {
            place.last_active.store(units(now), Ordering::Relaxed);
            return (**actor).clone();
        }
        let mut place = self.places.entry(key.clone()).or_default();
        place.last_active.store(units(now), Ordering::Relaxed);
        match place.actor.as_ref().filter(|actor| actor.connected()) {
            Some(actor) => (**actor).clone(),
            None => (**place.actor.insert(Box::new(start()))).clone(),
        }
    }

    /// The session's running actor, if one runs.
    pub(crate) fn running(&self, key: &SessionKey) -> Option<Addr<SessionActor>> {
        self.places.get(key)?.actor.as_deref().filter(|actor| actor.connected()).cloned()
    }

    /// Forgets that `actor` runs, if it is the one on record. The snapshot stays.
    pub(crate) fn actor_stopped(&self, key: &SessionKey, actor: &Addr<SessionActor>) {
        if let Some(mut place) = self.places.get_mut(key)
            && place.actor.as_deref() == Some(actor)
        {
            place.actor = None;
        }
    }

    /// Actors idle for `idle`, and how many places were evicted: those without an actor that nobody
    /// read for as long, or whose token has expired.
    pub(crate) fn sweep(&self, now: BootTime, idle: Duration) -> Vec<Addr<SessionActor>> {
        let mut idle_actors = Vec::new();
        self.places.retain(|_, place| {
            let active = from_units(place.last_active.load(Ordering::Relaxed));
            let read = from_units(place.last_read.load(Ordering::Relaxed));
            match place.actor.as_ref().filter(|actor| actor.connected()) {
                Some(actor) => {
                    if now.since(active) >= idle {
                        idle_actors.push((**actor).clone());
                    }
                    true
                }
                None => {
                    place.actor = None;
                    let valid = place.snapshot.as_ref().is_some_and(|token| token.is_valid(now));
                    valid && now.since(read.max(active)) < idle.saturating_mul(6)
                }
            }
        });
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
    fn note_read(&self, now: BootTime) {
        let units = units(now);
        // Written once a second at most: readers on many cores share this cache line.
        if self.last_read.load(Ordering::Relaxed) != units {
            self.last_read.store(units, Ordering::Relaxed);
        }
    }
}
