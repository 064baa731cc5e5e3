//! Stub.

#[cfg(feature = "flet-encrypted")]
pub mod flet;
