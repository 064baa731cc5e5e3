//! The actor that owns one session's tokens: what it can be asked, what it decides, how it obeys.

mod actor;
mod exchange;
mod known;
mod messages;
mod outcome;
mod state;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use self::actor::SessionActor;
pub(crate) use self::known::Known;
#[cfg(test)]
pub(crate) use self::messages::Panic;
pub(crate) use self::messages::{Freshness, GetToken, Passivate, Present, RefreshDue, Want};
pub(crate) use self::outcome::store_failure;
