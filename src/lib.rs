//! tokenhive keeps every user's OAuth session alive.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod model;

pub mod ledger;
pub mod sealing;
pub mod timing;

pub mod oauth;
pub mod store;

pub(crate) mod actors;

pub mod hive;

#[cfg(feature = "test-support")]
pub mod simulator;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
