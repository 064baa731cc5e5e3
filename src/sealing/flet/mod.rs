//! What Flet's `flet.security` encrypted, read back with its passphrase.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use aes_gcm::aead::consts::U32;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::model::Secret;

/// Largest encrypted text that is read: the largest saved token, grown twice by base64, with room.
const MAX_BYTES: usize = 512 * 1024;

/// Rounds of PBKDF2, as Flet has them.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("600,000 is not zero");

const SALT_BYTES: usize = 16;
const IV_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;
const GCM_NONCE_BYTES: usize = 32;
const GCM_TAG_BYTES: usize = 16;

/// Marker and time stamp stand before the IV of a Fernet token.
const FERNET_MARKER: u8 = 0x80;
const FERNET_HEAD_BYTES: usize = 9;
const FERNET_MAC_BYTES: usize = 32;

/// Python writes the padding; people lose it when they copy.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type DerivedKey = Zeroizing<[u8; 32]>;

/// Why a text could not be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FletDecryptError {
    /// The text is longer than 512 KiB.
    #[error(
        "encrypted text has {bytes} bytes; at most {MAX_BYTES} are read, so check what was saved"
    )]
    TooLarge {
        /// Its length as given.
        bytes: usize,
    },
    /// The text is not base64 with the URL-safe alphabet.
    #[error("encrypted text is not URL-safe base64; pass what Flet's `encrypt` returned")]
    NotBase64,
    /// The text ends before what both forms hold at least.
    #[error("encrypted text is cut short; pass all that Flet's `encrypt` returned")]
    Truncated,
    /// The authentication tag does not fit.
    #[error("the passphrase is wrong, or the encrypted text was altered; check both")]
    WrongPassphrase,
    /// The text is authentic and yet not what Flet writes.
    #[error("encrypted text holds no text Flet could have saved; encrypt it again with Flet")]
    NotFlets,
}

/// Decrypts what Flet's `encrypt` (Fernet) or `encrypt_aes_gcm_256` returned.
///
/// Flet writes base64url(16-byte salt ‖ body), and derives a key from the passphrase with
/// PBKDF2-HMAC-SHA256, 600,000 rounds. The body is either a [Fernet token] as ASCII, or a 32-byte
/// nonce, the AES-256-GCM ciphertext and its tag. Nothing is decrypted before its tag was verified.
///
/// Takes about a tenth of a second of processor time, nearly all of it for the key: call it from a
/// thread that may block.
///
/// # Errors
///
/// [`FletDecryptError`] tells a wrong passphrase from a text that is too large, cut short or not base64.
///
/// [Fernet token]: https://github.com/fernet/spec/blob/master/Spec.md
pub fn decrypt(encrypted: &str, passphrase: &Secret) -> Result<Secret, FletDecryptError> {
    if encrypted.len() > MAX_BYTES {
        return Err(FletDecryptError::TooLarge { bytes: encrypted.len() });
    }
    let bytes = BASE64.decode(encrypted.trim()).map_err(|_| FletDecryptError::NotBase64)?;
    let (salt, body) =
        bytes.split_first_chunk::<SALT_BYTES>().ok_or(FletDecryptError::Truncated)?;
    if let Some(token) = fernet_token(body) {
        if token.len() < FERNET_HEAD_BYTES + IV_BYTES + BLOCK_BYTES + FERNET_MAC_BYTES {
            return Err(FletDecryptError::Truncated);
        }
        return open_fernet(&token, &derive_key(passphrase, salt));
    }
    let (nonce, sealed) =
        body.split_first_chunk::<GCM_NONCE_BYTES>().ok_or(FletDecryptError::Truncated)?;
    if sealed.len() < GCM_TAG_BYTES {
        return Err(FletDecryptError::Truncated);
    }
    open_gcm(nonce, sealed, &derive_key(passphrase, salt))
}

/// The bytes of a Fernet token, if `body` is one.
///
/// The marker and the time stamp's leading zeros make every Fernet token begin with these letters;
/// the other form begins with a random nonce, which does so once in 2^32 times and then is not
/// base64 to its end.
fn fernet_token(body: &[u8]) -> Option<Vec<u8>> {
    if !body.starts_with(b"gAAA") {
        return None;
    }
    // A token cut in the middle of a base64 group is still a token: it is reported as altered.
    let whole_groups = body.trim_ascii_end().len() / 4 * 4;
    let token = BASE64.decode(&body[..whole_groups]).ok()?;
    (token.first() == Some(&FERNET_MARKER)).then_some(token)
}

fn derive_key(passphrase: &Secret, salt: &[u8]) -> DerivedKey {
    let mut key = DerivedKey::default();
    let passphrase = passphrase.expose().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, passphrase, key.as_mut());
    key
}

/// Opens a token of at least head, IV, one block and MAC. The first half of `key` signs, the second encrypts.
fn open_fernet(token: &[u8], key: &DerivedKey) -> Result<Secret, FletDecryptError> {
    let (signing, encryption) = key.split_at(16);
    let (signed, mac) = token.split_at(token.len() - FERNET_MAC_BYTES);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, signing), signed, mac)
        .map_err(|_| FletDecryptError::WrongPassphrase)?;
    let (iv, ciphertext) = signed[FERNET_HEAD_BYTES..].split_at(IV_BYTES);
    let iv = FixedLength::<IV_BYTES>::try_from(iv).expect("split at the length of an IV");
    let key = UnboundCipherKey::new(&AES_128, encryption)
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .expect("16 bytes are an AES-128 key");
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let plain = key
        .decrypt(&mut buffer, DecryptionContext::Iv128(iv))
        .map_err(|_| FletDecryptError::NotFlets)?;
    into_text(plain)
}

/// Opens the GCM form. Its key is, as Flet has it, the first half of the *hexadecimal digits* of
/// SHA-256 over the base64 form of the derived key.
fn open_gcm(nonce: &[u8; 32], sealed: &[u8], key: &DerivedKey) -> Result<Secret, FletDecryptError> {
    let encoded = Zeroizing::new(BASE64.encode(key));
    let hash = digest::digest(&digest::SHA256, encoded.as_bytes());
    let mut digits = DerivedKey::default();
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash.as_ref()) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 0xf)]);
    }
    let cipher = AesGcm::<aes_gcm::aes::Aes256, U32>::new((&*digits).into());
    let mut buffer = Zeroizing::new(sealed.to_vec());
    cipher
        .decrypt_in_place(nonce.into(), b"", &mut *buffer)
        .map_err(|_| FletDecryptError::WrongPassphrase)?;
    into_text(&buffer)
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

fn into_text(plain: &[u8]) -> Result<Secret, FletDecryptError> {
    std::str::from_utf8(plain).map(Secret::from).map_err(|_| FletDecryptError::NotFlets)
}
