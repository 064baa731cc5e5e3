//! The gate in front of a provider: bounded concurrency, its `Retry-After`, and a circuit breaker.

mod breaker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::breaker::Breaker;
use crate::model::{BootTime, Clock};

/// How a gate behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateOptions {
    /// Requests in flight at one provider at the same time.
    pub(crate) concurrency: usize,
}

/// Admits requests to one provider.
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
}

/// Leave to send one request. Say how it went by [`Gate::report`].
#[must_use]
pub(crate) struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// How a request went, as far as the provider's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answered, yes or no.
    Answered,
    /// It did not, or failed.
    Failed,
    /// It asked for patience.
    Busy { retry_after: Option<Duration> },
}

impl Gate {
    pub(crate) fn new(options: GateOptions) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(options.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            breaker: Mutex::new(Breaker::default()),
        }
    }

    /// Waits for a place, then asks the breaker.
    ///
    /// # Errors
    ///
    /// How long to wait before asking again, where the provider is resting.
    pub(crate) async fn admit(&self, clock: &dyn Clock) -> Result<Permit, Duration> {
        self.with_breaker(|breaker| breaker.check(clock.boot()))?;
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        self.with_breaker(|breaker| breaker.admit(clock.boot()))?;
        Ok(Permit(permit))
    }

    /// Takes note of how a request went.
    pub(crate) fn report(&self, health: Health, now: BootTime) {
        self.with_breaker(|breaker| breaker.report(health, now));
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        act(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
