//! The threads that actors live on.
//!
//! `Arbiter::new()` and `Actor::start()` panic on a plain tokio runtime, so the actor system gets
//! threads of its own, and actors are only ever started through an arbiter's handle.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix::{Arbiter, System};
use actix_rt::ArbiterHandle;

use crate::model::SessionKey;

/// Owns the actor threads.
pub(crate) struct Host {
    arbiters: Vec<ArbiterHandle>,
    system: System,
    thread: Option<JoinHandle<()>>,
}

/// The actor threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the actor threads could not be started: {0}")]
pub(crate) struct HostError(String);

impl Host {
    /// Starts a system thread and `threads` actor threads.
    pub(crate) fn start(threads: usize) -> Result<Self, HostError> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("tokenhive-actors".to_owned())
            .spawn(move || run_system(threads.max(1), &sender))
            .map_err(|error| HostError(error.to_string()))?;
        let (system, arbiters) =
            receiver.recv().map_err(|_| HostError("the system thread ended".to_owned()))?;
        Ok(Self { arbiters, system, thread: Some(thread) })
    }

    /// The handles actors are started on.
    pub(crate) fn arbiters(&self) -> Arbiters {
        Arbiters(self.arbiters.clone().into())
    }

    /// Stops all actors and waits for their threads.
    pub(crate) fn stop(mut self) {
        self.system.stop();
        if let Some(thread) = self.thread.take() {
            // The thread only fails by panicking, and has reported that itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.system.stop();
    }
}

fn run_system(threads: usize, ready: &mpsc::Sender<(System, Vec<ArbiterHandle>)>) {
    let runner = System::new();
    let mut arbiters = Vec::with_capacity(threads);
    runner.block_on(async {
        arbiters.extend((0..threads).map(|_| Arbiter::new()));
    });
    let handles = arbiters.iter().map(Arbiter::handle).collect();
    if ready.send((System::current(), handles)).is_err() {
        return;
    }
    if let Err(error) = runner.run() {
        tracing::error!(%error, "the actor system ended with an error: {error}");
    }
    for arbiter in arbiters {
        arbiter.stop();
        let _ = arbiter.join();
    }
}

/// Where sessions' actors are started; each session always on the same thread.
#[derive(Clone)]
pub(crate) struct Arbiters(std::sync::Arc<[ArbiterHandle]>);

impl Arbiters {
    pub(crate) fn of(&self, key: &SessionKey) -> &ArbiterHandle {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let count = self.0.len() as u64;
        let index = usize::try_from(hash % count).expect("less than the number of threads");
        &self.0[index]
    }
}
