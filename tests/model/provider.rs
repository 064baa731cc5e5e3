//! The provider: which refresh tokens it accepts, and what presenting one does, for every reuse class.

use crate::state::Token;

/// A reuse class. Class G comes in two kinds, and the model needs both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// R: single use; a replay revokes the family.
    Revoking,
    /// S: single use; a replay is rejected.
    SingleUse,
    /// G-all: a replay in the grace gives a sibling, and siblings live side by side.
    GraceAll,
    /// G-last: a replay in the grace gives a new token, and only the newest lives.
    GraceLast,
    /// I: a replay gives the same new token, until that one is used.
    Idempotent,
    /// M: old tokens stay valid.
    Multiple,
    /// N: the token never changes.
    NonRotating,
}

/// What the provider remembers about the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provider {
    /// The newest token.
    pub(crate) current: Token,
    /// The one before it.
    pub(crate) previous: Option<Token>,
    /// The one that came of an earlier use of `previous`.
    pub(crate) sibling: Option<Token>,
    /// Whether `previous` may be presented again.
    pub(crate) grace: bool,
    pub(crate) revoked: bool,
    /// The number of the next new token.
    pub(crate) next: u8,
    /// How many requests it has worked on.
    pub(crate) calls: u8,
}

impl Provider {
    pub(crate) fn new() -> Self {
        Self {
            current: Token(0),
            previous: None,
            sibling: None,
            grace: false,
            revoked: false,
            next: 1,
            calls: 0,
        }
    }

    /// True if presenting `token` now gives tokens.
    pub(crate) fn accepts(&self, class: Class, token: Token) -> bool {
        if self.revoked {
            return false;
        }
        let newest = token == self.current;
        let in_grace = self.grace && self.previous == Some(token);
        match class {
            Class::NonRotating | Class::Multiple => true,
            Class::Revoking | Class::SingleUse => newest,
            Class::Idempotent | Class::GraceLast => newest || in_grace,
            Class::GraceAll => newest || in_grace || self.sibling == Some(token),
        }
    }

    /// Works on a request: the refresh token it gives, or `None` for `invalid_grant`.
    pub(crate) fn exchange(&mut self, class: Class, token: Token) -> Option<Token> {
        self.calls += 1;
        if !self.accepts(class, token) {
            let revokes = matches!(class, Class::Revoking | Class::GraceAll | Class::GraceLast);
            self.revoked |= revokes;
            return None;
        }
        let replay = self.grace && self.previous == Some(token);
        match class {
            Class::NonRotating => return Some(token),
            Class::Idempotent if replay => return Some(self.current),
            Class::GraceAll | Class::GraceLast if replay => self.sibling = Some(self.current),
            Class::Multiple => {}
            Class::Revoking | Class::SingleUse => self.previous = Some(token),
            Class::GraceAll | Class::GraceLast | Class::Idempotent => {
                self.previous = Some(token);
                self.sibling = None;
                self.grace = true;
            }
        }
        self.current = Token(self.next);
        self.next += 1;
        Some(self.current)
    }
}

impl Class {
    /// In the order of the table's columns.
    pub(crate) const ALL: [Self; 7] = [
        Self::Revoking,
        Self::SingleUse,
        Self::GraceAll,
        Self::GraceLast,
        Self::Idempotent,
        Self::Multiple,
        Self::NonRotating,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Revoking => "R",
            Self::SingleUse => "S",
            Self::GraceAll => "G-all",
            Self::GraceLast => "G-last",
            Self::Idempotent => "I",
            Self::Multiple => "M",
            Self::NonRotating => "N",
        }
    }
}
