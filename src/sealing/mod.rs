//! Sealing: what leaves the process is encrypted and bound to where it belongs.
//!
//! AES-256-GCM. Each session's blobs are sealed under a key derived from the master key with
//! HKDF-SHA256 (RFC 5869), so that the limit of 2^32 random nonces a key (NIST SP 800-38D §8.3) counts
//! per session. Tenant, session, generation and the name of the field are associated data: a blob moved
//! elsewhere does not open.

mod envelope;
#[cfg(feature = "flet-encrypted")]
pub mod flet;
mod keyring;

pub(crate) use self::envelope::key_id;
pub use self::envelope::{Field, Label, SealError};
pub use self::keyring::{Keyring, KeyringError};
