//! Passivates actors nobody talks to, and evicts what nobody reads.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::session::Passivate;
use crate::actors::shared::Shared;

/// Sweeps the registry until shutdown.
pub(crate) async fn run(shared: Arc<Shared>) {
    let idle = shared.options.idle;
    let pause = (idle / 4).clamp(Duration::from_millis(20), Duration::from_secs(60));
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.closing.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for actor in shared.registry.sweep(shared.clock.boot(), idle) {
            actor.do_send(Passivate);
        }
    }
}
