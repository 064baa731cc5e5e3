//! The provider's sessions: token families, and what each presentation of a token does to them.
//! No I/O, no clock: every call is told the time.

mod family;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use self::family::{Family, Successor, Verdict};
use crate::model::{BootTime, Timestamp};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::reuse::ReuseBehaviour;
use crate::simulator::token::{Fingerprint, Minter, TokenId, TokenKind};
use crate::simulator::truth::{
    FamilyHistory, Outcome, Presentation, RevocationReason, TokenHistory,
};

/// One reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// For the record.
    pub wall: Timestamp,
    /// For lifetimes.
    pub boot: BootTime,
}

/// Tokens as they are handed out.
#[derive(Clone)]
pub(super) struct Pair {
    pub access: String,
    pub refresh: String,
    pub expires_in: Duration,
    pub family: u64,
}

/// What became of a refresh token.
pub(super) struct Ruling {
    pub outcome: Outcome,
    pub pair: Option<Pair>,
}

/// Who an access token speaks for.
#[derive(Debug, Clone)]
pub(super) struct Bearer {
    pub user: Arc<str>,
    pub scope: Arc<str>,
    pub family: u64,
    pub generation: u64,
}

/// Whose tokens to issue.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub user: Arc<str>,
    pub client_id: Arc<str>,
    pub scope: Arc<str>,
}

/// All families of the provider.
pub(super) struct Sessions {
    minter: Minter,
    families: HashMap<u64, Family>,
    by_user: HashMap<Arc<str>, Vec<u64>>,
    last_family: u64,
    last_serial: u64,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            minter: Minter::new(),
            families: HashMap::new(),
            by_user: HashMap::new(),
            last_family: 0,
            last_serial: 0,
        }
    }

    /// Opens a family for `owner` and issues its first pair.
    pub(crate) fn open(&mut self, owner: Owner, options: &SimulatorOptions, now: Moment) -> Pair {
        self.last_family += 1;
        let id = self.last_family;
        self.by_user.entry(Arc::clone(&owner.user)).or_default().push(id);
        self.families.insert(id, Family::new(owner));
        self.issue(id, 0, options, now).0
    }

    /// The token behind `text`, if it is a refresh token of a family known here.
    pub(crate) fn recognise(&self, text: &str) -> Option<TokenId> {
        let token = self.minter.read(text)?;
        let known = token.kind == TokenKind::Refresh && self.families.contains_key(&token.family);
        known.then_some(token)
    }

    /// Whose family this is.
    pub(crate) fn owner(&self, family: u64) -> Option<&Owner> {
        self.families.get(&family).map(|family| &family.owner)
    }

    /// Presents a recognised refresh token: decides, and does what follows from it.
    pub(crate) fn present(
        &mut self,
        token: TokenId,
        client: &str,
        options: &SimulatorOptions,
        now: Moment,
    ) -> Ruling {
        let Some(family) = self.families.get(&token.family) else {
            return Ruling { outcome: Outcome::Unknown, pair: None };
        };
        match family.judge(token, client, options.reuse, now.boot) {
            Verdict::Reject(outcome) => Ruling { outcome, pair: None },
            Verdict::Revoke => {
                self.revoke(token.family, RevocationReason::RefreshTokenReplay);
                Ruling { outcome: Outcome::ReplayRevoked, pair: None }
            }
            Verdict::Repeat(successor) => Ruling {
                outcome: Outcome::ReplaySamePair,
                pair: Some(self.rewrite(token.family, successor, options, now)),
            },
            Verdict::Mint { generation, outcome } => {
                Ruling { outcome, pair: Some(self.mint_after(token, generation, options, now)) }
            }
        }
    }

    /// Writes a presentation into the token's history. Returns how often it had been presented
    /// before; `None` for a forgotten token.
    pub(crate) fn note(&mut self, token: TokenId, presentation: Presentation) -> Option<u32> {
        let record = self.families.get_mut(&token.family)?.refresh_token_mut(token.serial)?;
        Some(record.note(presentation))
    }

    /// Who the access token speaks for, if it is accepted now.
    pub(crate) fn bearer(&self, text: &str, now: BootTime) -> Option<Bearer> {
        let token = self.minter.read(text)?;
        let family = self.families.get(&token.family)?;
        let accepted = token.kind == TokenKind::Access && family.accepts(token.serial, now);
        accepted.then(|| Bearer {
            user: Arc::clone(&family.owner.user),
            scope: Arc::clone(&family.owner.scope),
            family: token.family,
            generation: token.generation,
        })
    }

    /// The token behind `text`, of either kind, if its family is known.
    pub(crate) fn any_token(&self, text: &str) -> Option<TokenId> {
        self.minter.read(text).filter(|token| self.families.contains_key(&token.family))
    }

    /// Ends one access token. Returns whether it was alive.
    pub(crate) fn end_access_token(&mut self, token: TokenId) -> bool {
        self.families.get_mut(&token.family).is_some_and(|family| family.end_access(token.serial))
    }

    /// Revokes a family and everything issued from it. Returns whether it was alive.
    pub(crate) fn revoke(&mut self, family: u64, reason: RevocationReason) -> bool {
        self.families.get_mut(&family).is_some_and(|family| family.revoke(reason))
    }

    /// The families of `user`.
    pub(crate) fn families_of(&self, user: &str) -> Vec<u64> {
        self.by_user.get(user).cloned().unwrap_or_default()
    }

    /// Every family and every remembered refresh token, in order of issue.
    pub(crate) fn histories(&self, now: BootTime) -> (Vec<FamilyHistory>, Vec<TokenHistory>) {
        let mut ids: Vec<_> = self.families.keys().copied().collect();
        ids.sort_unstable();
        let families = ids.iter().map(|id| self.families[id].history(*id, now)).collect();
        let tokens = ids.iter().flat_map(|id| self.families[id].token_histories(*id)).collect();
        (families, tokens)
    }

    fn mint_after(
        &mut self,
        token: TokenId,
        generation: u64,
        options: &SimulatorOptions,
        now: Moment,
    ) -> Pair {
        let family = self.families.get_mut(&token.family).expect("the caller judged this family");
        family.prepare_rotation(generation, options);
        if options.reuse == ReuseBehaviour::NonRotating {
            let access = self.issue_access(token.family, generation, options, now);
            return Pair {
                access: self.minter.write(access, options.token_bytes),
                refresh: self.minter.write(token, options.token_bytes),
                expires_in: options.access_token_lifetime,
                family: token.family,
            };
        }
        let (pair, successor) = self.issue(token.family, generation, options, now);
        let family = self.families.get_mut(&token.family).expect("the caller judged this family");
        family.spend(token.serial, successor, now.boot);
        pair
    }

    /// The same pair once more; its access token has aged meanwhile.
    fn rewrite(
        &self,
        family: u64,
        successor: Successor,
        options: &SimulatorOptions,
        now: Moment,
    ) -> Pair {
        let Successor { generation, refresh, access, access_expires } = successor;
        let write = |kind, serial| {
            let id = TokenId { kind, family, generation, serial };
            self.minter.write(id, options.token_bytes)
        };
        Pair {
            access: write(TokenKind::Access, access),
            refresh: write(TokenKind::Refresh, refresh),
            expires_in: access_expires.since(now.boot),
            family,
        }
    }

    fn issue(
        &mut self,
        family: u64,
        generation: u64,
        options: &SimulatorOptions,
        now: Moment,
    ) -> (Pair, Successor) {
        let access = self.issue_access(family, generation, options, now);
        self.last_serial += 1;
        let refresh =
            TokenId { kind: TokenKind::Refresh, family, generation, serial: self.last_serial };
        let pair = Pair {
            access: self.minter.write(access, options.token_bytes),
            refresh: self.minter.write(refresh, options.token_bytes),
            expires_in: options.access_token_lifetime,
            family,
        };
        let fingerprint = Fingerprint::of(&pair.refresh);
        let record = self.families.get_mut(&family).expect("tokens are issued to known families");
        record.add_refresh(refresh, fingerprint, options, now);
        let successor = Successor {
            generation,
            refresh: refresh.serial,
            access: access.serial,
            access_expires: now.boot + options.access_token_lifetime,
        };
        (pair, successor)
    }

    fn issue_access(
        &mut self,
        family: u64,
        generation: u64,
        options: &SimulatorOptions,
        now: Moment,
    ) -> TokenId {
        self.last_serial += 1;
        let token =
            TokenId { kind: TokenKind::Access, family, generation, serial: self.last_serial };
        let record = self.families.get_mut(&family).expect("tokens are issued to known families");
        record.add_access(token, options, now.boot);
        token
    }
}
