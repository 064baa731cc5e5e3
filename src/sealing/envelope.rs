//! The sealed form: version, key id, generation, nonce, ciphertext, tag.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::model::SessionKey;
use crate::sealing::Keyring;

const VERSION: u8 = 1;
/// version, key id, generation
const HEADER_LEN: usize = 1 + 4 + 8;
const TAG_LEN: usize = 16;
/// Where the content begins.
const CONTENT: usize = HEADER_LEN + NONCE_LEN;

/// Which part of a session's entry a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The access token and what was said about it.
    Access,
    /// The refresh token.
    Refresh,
    /// Further members of a token answer.
    Extra,
    /// User and groups.
    Profile,
    /// A login in progress.
    Login,
    /// A frame of the journal.
    Journal,
}

impl Field {
    fn tag(self) -> u8 {
        match self {
            Self::Access => b'a',
            Self::Refresh => b'r',
            Self::Extra => b'x',
            Self::Profile => b'p',
            Self::Login => b'l',
            Self::Journal => b'j',
        }
    }
}

/// Where a blob belongs; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    tenant: &'a str,
    session: &'a str,
    field: Field,
}

impl<'a> Label<'a> {
    /// A field of a session.
    pub fn of(key: &'a SessionKey, field: Field) -> Self {
        let (tenant, session) = key.parts();
        Self { tenant, session, field }
    }

    /// A login in progress, named by the digest of its state.
    pub fn login(digest: &'a str) -> Self {
        Self { tenant: "", session: digest, field: Field::Login }
    }

    /// A frame of the journal, in the segment of that name.
    pub fn journal(segment: &'a str) -> Self {
        Self { tenant: "", session: segment, field: Field::Journal }
    }

    /// What a blob is bound to: session, field and header.
    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let tenant_len = u32::try_from(self.tenant.len()).unwrap_or(u32::MAX);
        let mut data = Vec::with_capacity(self.session_len() + 1 + header.len());
        data.extend_from_slice(&tenant_len.to_be_bytes());
        data.extend_from_slice(self.tenant.as_bytes());
        data.extend_from_slice(self.session.as_bytes());
        data.push(self.field.tag());
        data.extend_from_slice(header);
        data
    }

    /// How much of that names the session, unambiguously: the tenant's length stands in front of it.
    fn session_len(&self) -> usize {
        4 + self.tenant.len() + self.session.len()
    }
}

impl Keyring {
    /// Seals `plain` for `label` at `generation`, under the first key.
    pub fn seal(&self, label: Label<'_>, generation: u64, plain: &[u8]) -> Vec<u8> {
        let (key_id, key) = self.active();
        let mut header = [0; HEADER_LEN];
        header[0] = VERSION;
        header[1..5].copy_from_slice(&key_id.to_be_bytes());
        header[5..].copy_from_slice(&generation.to_be_bytes());
        let mut sealed = Vec::with_capacity(CONTENT + plain.len() + TAG_LEN);
        sealed.extend_from_slice(&header);
        sealed.extend_from_slice(&[0; NONCE_LEN]);
        sealed.extend_from_slice(plain);
        let aad = label.associated_data(&header);
        let cipher = cipher(&key.derive(&aad[..label.session_len()]));
        let (nonce, tag) = cipher
            .seal_in_place_separate_tag(Aad::from(aad), &mut sealed[CONTENT..])
            .expect("token-sized input is far below the length limit of AES-GCM");
        sealed[HEADER_LEN..CONTENT].copy_from_slice(nonce.as_ref());
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what [`Keyring::seal`] made for the same label. The generation comes back with the content.
    ///
    /// # Errors
    ///
    /// [`SealError::Malformed`], [`SealError::NewerFormat`], [`SealError::UnknownKey`], or
    /// [`SealError::Broken`] for a wrong key, a changed byte or another label.
    pub fn open(
        &self,
        label: Label<'_>,
        sealed: &[u8],
    ) -> Result<(u64, Zeroizing<Vec<u8>>), SealError> {
        self.open_in_place(label, sealed.to_vec())
    }

    /// As [`Keyring::open`], with the content in the memory of what was sealed.
    ///
    /// # Errors
    ///
    /// As [`Keyring::open`].
    pub(crate) fn open_in_place(
        &self,
        label: Label<'_>,
        sealed: Vec<u8>,
    ) -> Result<(u64, Zeroizing<Vec<u8>>), SealError> {
        let mut sealed = Zeroizing::new(sealed);
        if sealed.len() < CONTENT + TAG_LEN {
            return Err(SealError::Malformed);
        }
        let (header, rest) = sealed.split_at_mut(HEADER_LEN);
        if header[0] != VERSION {
            return Err(SealError::NewerFormat { found: header[0] });
        }
        let key_id = u32::from_be_bytes(header[1..5].try_into().expect("four bytes"));
        let generation = u64::from_be_bytes(header[5..].try_into().expect("eight bytes"));
        let key = self.find(key_id).ok_or(SealError::UnknownKey { id: key_id })?;
        let (nonce, ciphertext) = rest.split_at_mut(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
        let aad = label.associated_data(header);
        let cipher = cipher(&key.derive(&aad[..label.session_len()]));
        let length = cipher
            .open_in_place(nonce, Aad::from(aad), ciphertext)
            .map_err(|_| SealError::Broken)?
            .len();
        sealed.copy_within(CONTENT..CONTENT + length, 0);
        sealed.truncate(length);
        Ok((generation, sealed))
    }
}

/// The id of the key that `sealed` says it was sealed under; `None` if it is too short to say.
pub(crate) fn key_id(sealed: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*sealed.get(1..)?.first_chunk()?))
}

fn cipher(key: &[u8; 32]) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM, key).expect("the key has the algorithm's length")
}

/// Why a sealed blob did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or not made by this program.
    #[error("sealed data is malformed; restore the store from a backup")]
    Malformed,
    /// Made by a later version of this program.
    #[error("sealed data has format {found}, newer than this program reads; upgrade tokenhive")]
    NewerFormat {
        /// The format found.
        found: u8,
    },
    /// Sealed under a key that is not on the keyring.
    #[error("sealed under key {id}, which is not on the keyring; add that key")]
    UnknownKey {
        /// The key's id.
        id: u32,
    },
    /// The key is wrong, a byte was changed, or the data belongs elsewhere.
    #[error("sealed data does not open: wrong key for its id, or the data was changed or moved")]
    Broken,
}

#[cfg(test)]
mod tests {
    use super::{Field, Label, SealError};
    use crate::model::SessionKey;
    use crate::sealing::Keyring;

    fn key() -> SessionKey {
        SessionKey::new("acme", "user").unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_generation() {
        let keyring = Keyring::generate();
        let key = key();
        let label = Label::of(&key, Field::Access);

        let sealed = keyring.seal(label, 7, b"token");
        let (generation, plain) = keyring.open(label, &sealed).unwrap();

        assert_eq!((generation, plain.as_slice()), (7, b"token".as_slice()));
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_ne!(sealed, keyring.seal(label, 7, b"token"), "each seal draws its own nonce");
    }

    #[test]
    fn a_blob_opens_nowhere_else() {
        let keyring = Keyring::generate();
        let key = key();
        let sealed = keyring.seal(Label::of(&key, Field::Access), 7, b"token");
        let shifted = SessionKey::new("acm", "euser").unwrap();
        let other_session = SessionKey::new("acme", "other").unwrap();

        for label in [
            Label::of(&key, Field::Refresh),
            Label::of(&shifted, Field::Access),
            Label::of(&other_session, Field::Access),
            Label::login("user"),
            Label::journal("user"),
        ] {
            assert_eq!(keyring.open(label, &sealed), Err(SealError::Broken));
        }
        assert_eq!(
            Keyring::generate().open(Label::of(&key, Field::Access), &sealed),
            Err(SealError::Broken)
        );
    }

    #[test]
    fn frame_of_the_journal_opens_in_its_segment_only() {
        let keyring = Keyring::generate();
        let sealed = keyring.seal(Label::journal("node/1"), 3, b"frame");

        assert_eq!(keyring.open(Label::journal("node/1"), &sealed).unwrap().0, 3);
        assert_eq!(super::key_id(&sealed), Some(1));
        for label in [Label::journal("node/2"), Label::login("node/1")] {
            assert_eq!(keyring.open(label, &sealed), Err(SealError::Broken));
        }
    }

    #[test]
    fn no_byte_can_be_changed() {
        let keyring = Keyring::generate();
        let key = key();
        let label = Label::of(&key, Field::Access);
        let sealed = keyring.seal(label, 7, b"token");

        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(keyring.open(label, &changed).is_err(), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert!(keyring.open(label, &sealed[..length]).is_err(), "length {length}");
        }
    }
}
