//! The master keys, from where they are configured.

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

const KEY_LEN: usize = 32;

/// The master keys. The first one seals; all of them open, so that a key can be changed without downtime.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<(u32, MasterKey)>,
}

/// 256 secret bits.
#[derive(Clone)]
pub(crate) struct MasterKey {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    /// What all sessions' keys are expanded from (RFC 5869 §2.2), ready for use.
    extracted: hmac::Key,
}

impl MasterKey {
    fn new(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        let salt = hmac::Key::new(HMAC_SHA256, b"tokenhive session key v1");
        let extracted = hmac::Key::new(HMAC_SHA256, hmac::sign(&salt, &*bytes).as_ref());
        Self { bytes, extracted }
    }

    /// The key for one session: the first and only block of HKDF-SHA256 (RFC 5869 §2.3). The HMAC is made
    /// ready once and not for every key, which halves the hashing.
    pub(crate) fn derive(&self, info: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        let block = [info, &[1]].concat();
        let mut derived = Zeroizing::new([0; KEY_LEN]);
        hmac::sign_to_buffer(&self.extracted, &block, &mut *derived)
            .expect("a SHA-256 is as long as a key");
        derived
    }
}

impl Keyring {
    /// One fresh random key with id 1. What it seals is lost with the process unless
    /// [`Keyring::to_text`] is kept.
    pub fn generate() -> Self {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        aws_lc_rs::rand::fill(&mut *key).expect("the operating system gives random bytes");
        Self { keys: vec![(1, MasterKey::new(key))] }
    }

    /// Reads `id:base64key[,id:base64key…]`: 32 bytes each, standard or URL-safe base64. The first key seals.
    ///
    /// # Errors
    ///
    /// [`KeyringError`] tells which part is wrong, without quoting it.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys: Vec<(u32, MasterKey)> = Vec::new();
        for (index, part) in text.split(',').map(str::trim).enumerate() {
            let position = index + 1;
            let (id, encoded) = part.split_once(':').ok_or(KeyringError::NotAPair { position })?;
            let id: u32 = id.trim().parse().map_err(|_| KeyringError::BadId { position })?;
            if keys.iter().any(|(known, _)| *known == id) {
                return Err(KeyringError::Twice { id });
            }
            keys.push((
                id,
                MasterKey::new(decode(encoded.trim()).ok_or(KeyringError::BadKey { id })?),
            ));
        }
        Ok(Self { keys })
    }

    /// Reads the keyring from the environment variable `name`, in the form of [`Keyring::parse`].
    ///
    /// # Errors
    ///
    /// [`KeyringError::Absent`] if the variable is not set, else as [`Keyring::parse`].
    pub fn from_env(name: &str) -> Result<Self, KeyringError> {
        match std::env::var(name) {
            Ok(text) => Self::parse(&Zeroizing::new(text)),
            Err(_) => Err(KeyringError::Absent { name: name.to_owned() }),
        }
    }

    /// The form [`Keyring::parse`] reads. It holds the keys themselves: keep it as a secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let parts: Vec<String> = self
            .keys
            .iter()
            .map(|(id, key)| format!("{id}:{}", STANDARD.encode(*key.bytes)))
            .collect();
        Zeroizing::new(parts.join(","))
    }

    pub(crate) fn active(&self) -> (u32, &MasterKey) {
        let (id, key) = self.keys.first().expect("a keyring holds at least one key");
        (*id, key)
    }

    pub(crate) fn find(&self, id: u32) -> Option<&MasterKey> {
        self.keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }
}

fn decode(encoded: &str) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let bytes = STANDARD
        .decode(encoded)
        .or_else(|_| URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')))
        .ok()
        .map(Zeroizing::new)?;
    let key: [u8; KEY_LEN] = bytes.as_slice().try_into().ok()?;
    Some(Zeroizing::new(key))
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u32> = self.keys.iter().map(|(id, _)| *id).collect();
        f.debug_struct("Keyring").field("ids", &ids).finish_non_exhaustive()
    }
}

/// Why a keyring could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The environment variable is not set.
    #[error("environment variable {name} is not set; set it to id:base64key with 32 random bytes")]
    Absent {
        /// The variable.
        name: String,
    },
    /// A part is not `id:key`.
    #[error("part {position} of the keyring is not id:base64key")]
    NotAPair {
        /// Which part, from 1.
        position: usize,
    },
    /// An id is not a number.
    #[error("part {position} of the keyring has an id that is not a number from 0 to 4294967295")]
    BadId {
        /// Which part, from 1.
        position: usize,
    },
    /// A key is not 32 bytes of base64.
    #[error("key {id} of the keyring is not base64 of exactly 32 bytes")]
    BadKey {
        /// The key's id.
        id: u32,
    },
    /// An id stands twice.
    #[error("key {id} stands twice in the keyring; give each key its own id")]
    Twice {
        /// The key's id.
        id: u32,
    },
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

    use super::{Keyring, KeyringError};
    use crate::model::SessionKey;
    use crate::sealing::{Field, Label, SealError};

    #[test]
    fn a_rotated_keyring_opens_what_the_old_key_sealed() {
        let old = Keyring::parse(&format!("1:{}", "A".repeat(43) + "=")).unwrap();
        let both = Keyring::parse(&format!("2:{}8=, {}", "_".repeat(42), &**old.to_text()));
        let both = both.unwrap();
        let new_only = Keyring::parse(&format!("2:{}8=", "_".repeat(42))).unwrap();
        let key = SessionKey::new("t", "s").unwrap();
        let label = Label::of(&key, Field::Refresh);

        let by_old = old.seal(label, 1, b"x");

        assert!(both.open(label, &by_old).is_ok());
        assert!(new_only.open(label, &both.seal(label, 2, b"y")).is_ok());
        assert_eq!(new_only.open(label, &by_old), Err(SealError::UnknownKey { id: 1 }));
    }

    #[test]
    fn session_keys_are_those_of_hkdf() {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let keyring = Keyring::generate();
        let (_, key) = keyring.active();
        let salt = Salt::new(HKDF_SHA256, b"tokenhive session key v1");

        for info in [&b""[..], b"session", &[7; 600]] {
            let mut expected = [0; 32];
            let expanded = salt.extract(&*key.bytes);
            expanded.expand(&[info], Length).unwrap().fill(&mut expected).unwrap();

            assert_eq!(*key.derive(info), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_quoting_it() {
        let key = "A".repeat(43) + "=";

        assert_eq!(Keyring::parse("").unwrap_err(), KeyringError::NotAPair { position: 1 });
        assert_eq!(
            Keyring::parse(&format!("x:{key}")).unwrap_err(),
            KeyringError::BadId { position: 1 }
        );
        assert_eq!(Keyring::parse("7:short").unwrap_err(), KeyringError::BadKey { id: 7 });
        assert_eq!(
            Keyring::parse(&format!("1:{key},1:{key}")).unwrap_err(),
            KeyringError::Twice { id: 1 }
        );
        assert!(!format!("{:?}", Keyring::parse(&format!("1:{key}")).unwrap()).contains("AAAA"));
    }
}
