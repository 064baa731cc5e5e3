//! The rules of who may begin, commit or fail an exchange, as pure functions over one session's entry.
//!
//! An *exchange* is one attempt to redeem a refresh token. Every store applies these functions in one
//! transaction; a store that cannot run Rust (Redis) must behave exactly as they do. Nothing here
//! reads a clock, opens a seal or knows a network: the caller passes the store's own time, and
//! tokens are opaque [`Sealed`] bytes.
//!
//! Read in this order: [`Record`] (what is remembered), [`begin`], [`commit`], [`fail`], then the rest.

mod begin;
mod commit;
mod fail;
mod install;
mod login;
mod reassert;
mod record;
mod retire;
#[cfg(any(test, feature = "test-support"))]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use self::begin::{Begin, BeginReply, Grant, Urgency, begin};
pub use self::commit::{Commit, CommitReply, Installed, Origin, commit};
pub use self::fail::{Fail, FailKind, FailReply, fail};
pub use self::install::{NewTokens, Put, PutReply, put};
pub use self::login::{LoginEntry, TakenLogin, take_login};
pub use self::reassert::{Buried, Reassert, ReassertReply, bury, reassert};
pub use self::record::{
    AttemptId, Entry, ErrorNote, NodeId, Record, Sealed, Slot, Status, Tombstone,
};
pub(crate) use self::retire::TOMBSTONE;
pub use self::retire::{
    Claim, Deleted, Settled, delete, postpone, set_profile, settle, visible_again,
};
