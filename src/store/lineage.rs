//! A refresh token together with marks of those before it, as it is sealed.
//!
//! The marks tell an old saved token of a session from a new one: presenting a refresh token that was
//! redeemed long ago would make a strict provider revoke the session.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::model::Secret;

/// Marks kept: that of the first token, and of the latest ones.
const KEPT: usize = 16;

/// A refresh token and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lineage {
    pub(crate) token: Secret,
    /// Marks of tokens redeemed before it, oldest first.
    spent: Vec<u32>,
}

impl Lineage {
    /// The first token of a grant.
    pub(crate) fn first(token: Secret) -> Self {
        Self { token, spent: Vec::new() }
    }

    /// The token that redeeming this one gave.
    pub(crate) fn followed_by(mut self, token: Secret) -> Self {
        if token != self.token {
            if self.spent.len() == KEPT {
                self.spent.remove(1); // The first one stays: it is what callers saved at the login.
            }
            self.spent.push(mark(&self.token));
        }
        Self { token, spent: self.spent }
    }

    /// True if `token` is this token, or was redeemed on the way to it.
    pub(crate) fn knows(&self, token: &Secret) -> bool {
        *token == self.token || self.spent.contains(&mark(token))
    }

    pub(crate) fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        let count = u8::try_from(self.spent.len()).expect("at most KEPT marks");
        let mut plain = Vec::with_capacity(1 + 4 * self.spent.len() + self.token.expose().len());
        plain.push(count);
        self.spent.iter().for_each(|mark| plain.extend_from_slice(&mark.to_be_bytes()));
        plain.extend_from_slice(self.token.expose().as_bytes());
        Zeroizing::new(plain)
    }

    /// `None` if it was written by a version that writes otherwise.
    pub(crate) fn from_plain(plain: &[u8]) -> Option<Self> {
        let (&count, rest) = plain.split_first()?;
        let (marks, token) = rest.split_at_checked(4 * usize::from(count))?;
        let (marks, _) = marks.as_chunks::<4>();
        let spent = marks.iter().copied().map(u32::from_be_bytes).collect();
        Some(Self { token: Secret::from(std::str::from_utf8(token).ok()?), spent })
    }
}

/// Too short to give anything away, long enough to tell a handful of tokens apart.
fn mark(token: &Secret) -> u32 {
    let digest = digest(&SHA256, token.expose().as_bytes());
    let first = digest.as_ref().first_chunk().expect("a digest has 32 bytes");
    u32::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Lineage};
    use crate::model::Secret;

    fn token(number: usize) -> Secret {
        Secret::from(format!("rt-{number}"))
    }

    #[test]
    fn the_first_and_the_latest_tokens_are_known_and_a_stranger_is_not() {
        let last = 3 * KEPT;
        let lineage = (1..=last).fold(Lineage::first(token(0)), |old, n| old.followed_by(token(n)));

        let known: Vec<usize> = (0..=last).filter(|&n| lineage.knows(&token(n))).collect();

        let mut wanted = vec![0];
        wanted.extend(last + 1 - KEPT..=last);
        assert_eq!(known, wanted);
        assert!(!lineage.knows(&token(last + 1)));
        assert_eq!(Lineage::from_plain(&lineage.to_plain()), Some(lineage));
    }

    #[test]
    fn a_token_that_never_changes_leaves_no_marks() {
        let lineage = Lineage::first(token(0)).followed_by(token(0));

        assert_eq!(lineage, Lineage::first(token(0)));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        assert_eq!(Lineage::from_plain(&[]), None);
        assert_eq!(Lineage::from_plain(&[2, 0, 0, 0, 1]), None);
        assert_eq!(Lineage::from_plain(&[0, 0xff]), None);
    }
}
