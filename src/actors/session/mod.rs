//! The actor that owns one session's tokens: what it can be asked, what it decides, how it obeys.

mod actor;
mod exchange;
mod failure;
mod homecoming;
mod known;
mod messages;
mod outcome;
mod state;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use self::actor::SessionActor;
pub(crate) use self::exchange::fresh_attempt;
pub(crate) use self::homecoming::Errand;
pub(crate) use self::known::Known;
#[cfg(test)]
pub(crate) use self::messages::Panic;
pub(crate) use self::messages::{
    Freshness, GetToken, Learned, Outdated, Passivate, Present, RefreshDue, Want,
};
pub(crate) use self::outcome::{LoadOutcome, store_failure};
pub(crate) use self::work::{load, load_during, recheck, resolve};
