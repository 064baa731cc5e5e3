//! What is remembered between an authorization URL and its callback, and its sealed form.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{ProviderId, Secret, SessionKey};

/// A login in progress.
#[derive(Debug, Clone)]
pub(crate) struct PendingLogin {
    pub(crate) key: SessionKey,
    pub(crate) provider: ProviderId,
    pub(crate) verifier: Secret,
    /// Sent when `openid` was asked for; `None` otherwise.
    pub(crate) nonce: Option<Secret>,
    /// What was asked for: granted unless the answer says otherwise (RFC 6749 §5.1).
    pub(crate) scope: Vec<String>,
    pub(crate) fetch_user: bool,
    pub(crate) fetch_groups: bool,
}

/// The written form. Its text is wiped after sealing.
#[derive(Serialize, Deserialize)]
struct Written {
    key: String,
    provider: ProviderId,
    verifier: String,
    nonce: Option<String>,
    scope: Vec<String>,
    fetch_user: bool,
    fetch_groups: bool,
}

impl PendingLogin {
    pub(crate) fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        let written = Written {
            key: self.key.joined().to_owned(),
            provider: self.provider.clone(),
            verifier: self.verifier.expose().to_owned(),
            nonce: self.nonce.as_ref().map(|nonce| nonce.expose().to_owned()),
            scope: self.scope.clone(),
            fetch_user: self.fetch_user,
            fetch_groups: self.fetch_groups,
        };
        let plain = serde_json::to_vec(&written).expect("strings and booleans always serialize");
        drop((Zeroizing::new(written.verifier), written.nonce.map(Zeroizing::new)));
        Zeroizing::new(plain)
    }

    /// `None` if it was written by a version that remembers other things.
    pub(crate) fn from_plain(plain: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(plain).ok()?;
        Some(Self {
            key: SessionKey::from_joined(&written.key).ok()?,
            provider: written.provider,
            verifier: Secret::from(written.verifier),
            nonce: written.nonce.map(Secret::from),
            scope: written.scope,
            fetch_user: written.fetch_user,
            fetch_groups: written.fetch_groups,
        })
    }
}
