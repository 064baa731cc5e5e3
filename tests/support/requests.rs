//! What a store is asked by a test that has no hive.

use std::time::Duration;

use tokenhive::ledger::{AttemptId, Begin, NewTokens, NodeId, Put, Sealed, Urgency};
use tokenhive::model::ProviderId;

/// Tokens of an hour.
pub fn login(generation: u64) -> Put {
    Put {
        generation,
        provider: ProviderId::new("sample").unwrap(),
        tokens: NewTokens {
            access: Sealed::new(*b"access"),
            refresh: Some(Sealed::new(*b"refresh")),
            extra: None,
            expires_in: Some(Duration::from_secs(3600)),
            refresh_expires_in: None,
            due_in: Some(Duration::from_secs(1800)),
        },
    }
}

/// Leave to redeem the first generation.
pub fn begin(attempt: u128) -> Begin {
    Begin {
        attempt: AttemptId(attempt),
        node: NodeId { name: "node".into(), incarnation: 1 },
        minimum_generation: 1,
        expected_generation: 1,
        takeover_of: None,
        patience: Duration::from_secs(60),
        max_tries: 2,
        urgency: Urgency::Hard,
        confirmed: false,
    }
}
