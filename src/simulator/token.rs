//! Tokens that say what they are: family, generation and serial number, under the simulator's own seal.
//!
//! Because a token carries its place in its family, a replay is recognised as one however long ago
//! its record was forgotten, and memory stays bounded.

use std::fmt;

use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenId {
    pub kind: TokenKind,
    pub family: u64,
    pub generation: u64,
    pub serial: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TokenKind {
    Access,
    Refresh,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "at",
            Self::Refresh => "rt",
        }
    }
}

/// Writes and recognises tokens; every simulator has a key of its own.
pub(super) struct Minter {
    key: hmac::Key,
}

impl Minter {
    pub(crate) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .expect("the system provides random bytes");
        Self { key }
    }

    /// The token's text, padded to at least `bytes`.
    pub(crate) fn write(&self, id: TokenId, bytes: usize) -> String {
        let TokenId { kind, family, generation, serial } = id;
        let mut text = format!("{}-{family:x}.{generation:x}.{serial:x}.", kind.prefix());
        let length = text.len() + 1 + SEAL_CHARS;
        text.extend(std::iter::repeat_n('A', bytes.saturating_sub(length)));
        let seal = self.seal(&text);
        text.push('.');
        text.push_str(&seal);
        text
    }

    /// What `text` stands for; `None` unless this simulator wrote it.
    pub(crate) fn read(&self, text: &str) -> Option<TokenId> {
        let (body, seal) = text.rsplit_once('.')?;
        let (prefix, rest) = body.split_once('-')?;
        let kind = match prefix {
            "at" => TokenKind::Access,
            "rt" => TokenKind::Refresh,
            _ => return None,
        };
        let mut parts = rest.split('.');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let id = TokenId { kind, family: number()?, generation: number()?, serial: number()? };
        (self.seal(body) == seal).then_some(id)
    }

    fn seal(&self, body: &str) -> String {
        let tag = hmac::sign(&self.key, body.as_bytes());
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..SEAL_BYTES])
    }
}

const SEAL_BYTES: usize = 18;
const SEAL_CHARS: usize = 24;

/// A random authorization code or ticket.
pub(super) fn random_code() -> String {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes).expect("the system provides random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The S256 challenge of a PKCE verifier (RFC 7636 §4.2).
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// The short SHA-256 of a token, which stands for it in the ground truth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of `token`: the first eight bytes of its SHA-256.
    pub fn of(token: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        let first = hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NotAFingerprint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self).map_err(|_| NotAFingerprint)
    }
}

/// Text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 16 hexadecimal digits")]
pub struct NotAFingerprint;

#[cfg(test)]
mod tests {
    use super::{Fingerprint, Minter, TokenId, TokenKind, challenge};

    const ID: TokenId = TokenId { kind: TokenKind::Refresh, family: 300, generation: 2, serial: 9 };

    #[test]
    fn a_token_reads_back_and_is_as_long_as_asked() {
        let minter = Minter::new();

        for bytes in [0, 60, 2000] {
            let text = minter.write(ID, bytes);

            assert!(text.len() >= bytes && (bytes < 60 || text.len() == bytes), "{}", text.len());
            assert_eq!(minter.read(&text), Some(ID));
        }
    }

    #[test]
    fn an_altered_or_foreign_token_is_not_recognised() {
        let minter = Minter::new();
        let text = minter.write(ID, 0);

        assert_eq!(minter.read(&text.replacen("rt-12c", "rt-12d", 1)), None);
        assert_eq!(minter.read(&text.replacen("rt-", "at-", 1)), None);
        assert_eq!(minter.read(&text[..text.len() - 1]), None);
        assert_eq!(minter.read(&Minter::new().write(ID, 0)), None);
        assert_eq!(minter.read(""), None);
    }

    #[test]
    fn the_challenge_is_the_one_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_fingerprint_is_the_head_of_sha_256() {
        assert_eq!(Fingerprint::of("abc").to_string(), "ba7816bf8f01cfea");
    }
}
