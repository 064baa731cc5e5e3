//! What a session's actor can be asked, and the news it tells itself.

use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use tokio::sync::oneshot;

use crate::actors::scheduler::RefreshLimits;
use crate::actors::session::Known;
use crate::actors::session::outcome::{ExchangeOutcome, LoadOutcome};
use crate::model::{BootTime, Snapshot, TokenError};

/// What a caller wants of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    /// It must live at least this long.
    pub(crate) min_validity: Duration,
    /// How new it must be.
    pub(crate) freshness: Freshness,
    /// The caller waits until then.
    pub(crate) deadline: BootTime,
}

/// How new a token must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Any valid one.
    Any,
    /// Newer than the one that stands when the request arrives.
    Newest,
    /// Newer than this version.
    NewerThan(u64),
    /// Newer than this version, which the provider's API refuses. One that was received a moment ago is
    /// not the reason why.
    InsteadOf(u64),
}

/// What a waiting caller gets.
pub(crate) type TokenReply = oneshot::Sender<Result<Arc<Snapshot>, TokenError>>;

/// A caller wants a token.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct GetToken {
    pub(crate) want: Want,
    pub(crate) reply: TokenReply,
}

/// The scheduler says the session is due. The permit is given back when that is dealt with.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RefreshDue {
    pub(crate) permit: Option<RefreshLimits>,
}

/// A login, a restore or a deletion changed the session from outside: `None` if it is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Present(pub(crate) Option<Box<Known>>);

/// The record was read behind the actor's back, and this is what it says.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Learned(pub(crate) Box<Known>);

/// Another node gave the session this version.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Outdated(pub(crate) u64);

/// Go, if nothing is in progress: the record stays, the next message brings the actor back.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Passivate;

/// A read of the record finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Loaded(pub(crate) LoadOutcome);

/// An exchange finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Exchanged(pub(crate) ExchangeOutcome);

/// Fails on purpose, to show that a panic stays within its session.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Panic;
