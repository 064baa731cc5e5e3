//! What a store does beside answering: says that its node lives, looks who else does, looks at the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::store::redis::connect::{LOOK_WITHIN, Seen, look, settle, take_note};
use crate::store::redis::error::unavailable;
use crate::store::redis::keys::{BUCKETS, Bucket};
use crate::store::redis::link::{Link, millis};
use crate::store::redis::reply;
use crate::store::redis::ring::Ring;
use crate::store::redis::scripts::ENROL;
use crate::store::{News, Outage, StoreError};

/// Every bucket is looked at this often although nothing was heard of it, for messages get lost.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// The pause after a look at a cluster that did not answer a call.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// How often a lease is renewed within its length.
const RENEWALS: u32 = 3;

/// Tends the store until it is closed.
pub(super) async fn run(link: Arc<Link>, ring: Arc<Ring>) {
    let every = link.options.node_lease / RENEWALS;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut servers = Servers::default();
    let mut sweep = Sweep::new(every);
    loop {
        tokio::select! {
            () = link.closing.cancelled() => return,
            _ = ticks.tick() => {}
            () = link.silent.notified() => {
                servers.look(&link).await;
                tokio::time::sleep(LOOK_PAUSE).await;
                continue;
            }
        }
        // Without a connection there is nothing to tend: who makes one looks at the server himself.
        if let Err(error) = enrol(&link, &ring).await {
            tracing::debug!(%error, "this node could not say that it lives: {error}");
        }
        servers.look(&link).await;
        sweep.next().for_each(|bucket| link.feed.forget_due(bucket));
    }
}

/// Renews this node's lease and takes over what dead nodes looked after.
pub(super) async fn enrol(link: &Link, ring: &Ring) -> Result<(), StoreError> {
    let lease = millis(link.options.node_lease);
    let key = link.names.nodes();
    let answer = link
        .run(&ENROL, &[&key], |call| {
            call.arg(&ring.me).arg(lease);
        })
        .await?;
    let members = reply::array(answer)?.into_iter().map(reply::bytes);
    let members = members
        .map(|name| Ok(String::from_utf8_lossy(&name?).into_owned()))
        .collect::<Result<_, StoreError>>()?;
    let adopted = ring.update(members);
    if !adopted.is_empty() {
        let (count, nodes) = (adopted.len(), ring.members());
        tracing::info!(count, nodes, "looks after {count} more buckets, as one of {nodes} nodes");
        adopted.iter().for_each(|bucket| link.feed.forget_due(*bucket));
    }
    Ok(())
}

/// The masters behind the connection, by their run ids.
#[derive(Default)]
struct Servers {
    known: BTreeSet<String>,
    /// The ids of those that have slots.
    owners: BTreeSet<String>,
}

impl Servers {
    async fn look(&mut self, link: &Link) {
        let Ok(live) = link.live() else { return };
        let mut wire = live.wire.clone();
        let patience = match &link.server_clock {
            Some(_) => link.options.deadline * 4,
            // Those that do not answer, and then one that does.
            None => LOOK_WITHIN + link.options.deadline * 2,
        };
        let looked = tokio::time::timeout(patience, look(link, &mut wire)).await;
        let seen = match looked {
            Ok(Ok(seen)) => seen,
            // The client of a cluster connects by itself, but may wait for itself for ever when a shard dies.
            Ok(Err(error)) if link.server_clock.is_none() => return link.lost(live.serial, error),
            Ok(Err(error)) => return tracing::debug!(%error, "cannot look at Redis: {error}"),
            Err(_) => {
                // A connection that leads nowhere is not told by the network; a server that is only
                // slow is found again at once.
                let error = unavailable(Outage::NoAnswer, "not even to INFO");
                return link.lost(live.serial, error);
            }
        };
        take_note(link, &seen);
        let Seen { masters, owners, all } = seen;
        // The client of a cluster does not look by itself who the masters are, as long as it has an answer.
        if masters.iter().any(|server| !server.is_master()) {
            if link.server_clock.is_none() {
                settle(link, Duration::ZERO);
                link.feed.tell(News::RolledBack);
            }
            return link.lost(live.serial, unavailable(Outage::ReadOnly, "it became a replica"));
        }
        let ids: BTreeSet<String> = masters.into_iter().map(|server| server.run_id).collect();
        // One server's restart is seen when connecting; in a cluster the connection does not tell.
        // One that is gone has lost nothing yet; one that nobody knew may have.
        // Its client need not have noticed who took over, as long as nobody asks for those slots.
        let moved = !self.owners.is_empty() && !owners.is_subset(&self.owners);
        let replaced = !self.known.is_empty() && !ids.is_subset(&self.known);
        if link.server_clock.is_none() && (moved || replaced) {
            settle(link, Duration::ZERO);
            link.feed.tell(News::RolledBack);
        }
        if !owners.is_empty() {
            self.owners = owners;
        }
        // One that was replaced and takes over again is as new as any.
        if all {
            self.known = ids;
        } else {
            self.known.extend(ids);
        }
    }
}

/// Walks over all buckets, a few at a time.
struct Sweep {
    per_tick: usize,
    at: usize,
}

impl Sweep {
    fn new(every: Duration) -> Self {
        let ticks = (LOOK_AGAIN.as_millis() / every.as_millis().max(1)).max(1);
        let per_tick = usize::from(BUCKETS).div_ceil(usize::try_from(ticks).unwrap_or(1));
        Self { per_tick, at: 0 }
    }

    fn next(&mut self) -> impl Iterator<Item = Bucket> + use<> {
        let from = self.at;
        self.at = (self.at + self.per_tick) % usize::from(BUCKETS);
        Bucket::all().skip(from).take(self.per_tick)
    }
}
