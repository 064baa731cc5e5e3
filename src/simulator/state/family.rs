//! One family of tokens, and the rules of every reuse class.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Moment, Owner};
use crate::model::{BootTime, Timestamp};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::reuse::ReuseBehaviour;
use crate::simulator::token::{Fingerprint, TokenId};
use crate::simulator::truth::{
    FamilyHistory, Outcome, PRESENTATIONS_KEPT, Presentation, RevocationReason, TokenHistory,
};

/// The tokens that descend from one login.
pub(super) struct Family {
    pub owner: Owner,
    revoked: Option<RevocationReason>,
    newest_generation: u64,
    refresh: VecDeque<RefreshToken>,
    access: VecDeque<AccessToken>,
}

/// A refresh token's record.
pub(super) struct RefreshToken {
    serial: u64,
    generation: u64,
    fingerprint: Fingerprint,
    issued_at: Timestamp,
    expires: BootTime,
    standing: Standing,
    presented: u32,
    redeemed: u32,
    presentations: Vec<Presentation>,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    Live,
    /// Redeemed, first at `at`, last for `successor`.
    Spent {
        at: BootTime,
        successor: Successor,
    },
    /// Replaced by a later sibling (G-last).
    Superseded,
}

/// The pair a refresh token was last redeemed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Successor {
    pub generation: u64,
    pub refresh: u64,
    pub access: u64,
    pub access_expires: BootTime,
}

struct AccessToken {
    serial: u64,
    generation: u64,
    expires: BootTime,
}

/// What to do with a presented refresh token.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Issue a pair of this generation.
    Mint { generation: u64, outcome: Outcome },
    /// Send the same pair again.
    Repeat(Successor),
    /// Refuse, nothing else.
    Reject(Outcome),
    /// Refuse and revoke the family.
    Revoke,
}

impl Family {
    pub(crate) fn new(owner: Owner) -> Self {
        Self {
            owner,
            revoked: None,
            newest_generation: 0,
            refresh: VecDeque::new(),
            access: VecDeque::new(),
        }
    }

    /// Decides what presenting `token` leads to; changes nothing.
    pub(crate) fn judge(
        &self,
        token: TokenId,
        client: &str,
        reuse: ReuseBehaviour,
        now: BootTime,
    ) -> Verdict {
        if *self.owner.client_id != *client {
            return Verdict::Reject(Outcome::WrongClient);
        }
        if self.revoked.is_some() {
            return Verdict::Reject(Outcome::FamilyRevoked);
        }
        let Some(record) = self.refresh_token(token.serial) else {
            return self.judge_replay(token, None, reuse, now);
        };
        if record.expires <= now {
            return Verdict::Reject(Outcome::Expired);
        }
        match record.standing {
            Standing::Superseded => Verdict::Reject(Outcome::Superseded),
            Standing::Spent { at, successor } => {
                self.judge_replay(token, Some((at, successor)), reuse, now)
            }
            Standing::Live => {
                let generation = match reuse {
                    ReuseBehaviour::NonRotating => token.generation,
                    ReuseBehaviour::Multiple => self.newest_generation + 1,
                    _ => token.generation + 1,
                };
                Verdict::Mint { generation, outcome: Outcome::Redeemed }
            }
        }
    }

    /// A token redeemed before; `spent` is `None` where that was too long ago to remember.
    fn judge_replay(
        &self,
        token: TokenId,
        spent: Option<(BootTime, Successor)>,
        reuse: ReuseBehaviour,
        now: BootTime,
    ) -> Verdict {
        match (reuse, spent) {
            (ReuseBehaviour::NonRotating, _) => {
                Verdict::Mint { generation: token.generation, outcome: Outcome::Redeemed }
            }
            (ReuseBehaviour::Multiple, _) => Verdict::Mint {
                generation: self.newest_generation + 1,
                outcome: Outcome::ReplayAllowed,
            },
            (ReuseBehaviour::Idempotent, Some((_, successor))) if self.is_unused(successor) => {
                Verdict::Repeat(successor)
            }
            (ReuseBehaviour::Idempotent | ReuseBehaviour::SingleUse, _) => {
                Verdict::Reject(Outcome::ReplayRejected)
            }
            (
                ReuseBehaviour::GraceAll { seconds } | ReuseBehaviour::GraceLast { seconds },
                Some((at, _)),
            ) if token.generation + 1 == self.newest_generation
                && now.since(at) < Duration::from_secs(seconds) =>
            {
                Verdict::Mint {
                    generation: self.newest_generation,
                    outcome: Outcome::ReplayInGrace,
                }
            }
            (
                ReuseBehaviour::GraceAll { .. }
                | ReuseBehaviour::GraceLast { .. }
                | ReuseBehaviour::Revoking,
                _,
            ) => Verdict::Revoke,
        }
    }

    fn is_unused(&self, successor: Successor) -> bool {
        self.refresh_token(successor.refresh)
            .is_some_and(|token| matches!(token.standing, Standing::Live))
    }

    /// Ends what a pair of `generation` replaces, before it is issued.
    pub(crate) fn prepare_rotation(&mut self, generation: u64, options: &SimulatorOptions) {
        if matches!(options.reuse, ReuseBehaviour::GraceLast { .. }) {
            for sibling in self.refresh.iter_mut().filter(|token| token.generation == generation) {
                if matches!(sibling.standing, Standing::Live) {
                    sibling.standing = Standing::Superseded;
                }
            }
        }
        if options.kill_old_access_tokens {
            let siblings_live = matches!(options.reuse, ReuseBehaviour::GraceAll { .. });
            self.access.retain(|token| siblings_live && token.generation >= generation);
        }
    }

    /// Marks a refresh token as redeemed for `successor`; the first time counts for the grace period.
    pub(crate) fn spend(&mut self, serial: u64, successor: Successor, now: BootTime) {
        if let Some(token) = self.refresh_token_mut(serial) {
            let at = match token.standing {
                Standing::Spent { at, .. } => at,
                Standing::Live | Standing::Superseded => now,
            };
            token.standing = Standing::Spent { at, successor };
        }
    }

    pub(crate) fn add_refresh(
        &mut self,
        token: TokenId,
        fingerprint: Fingerprint,
        options: &SimulatorOptions,
        now: Moment,
    ) {
        if self.refresh.len() >= options.tokens_per_family.max(2) {
            self.refresh.pop_front();
        }
        self.newest_generation = self.newest_generation.max(token.generation);
        self.refresh.push_back(RefreshToken {
            serial: token.serial,
            generation: token.generation,
            fingerprint,
            issued_at: now.wall,
            expires: options.refresh_token_lifetime.map_or(BootTime::NEVER, |span| now.boot + span),
            standing: Standing::Live,
            presented: 0,
            redeemed: 0,
            presentations: Vec::new(),
        });
    }

    pub(crate) fn add_access(&mut self, token: TokenId, options: &SimulatorOptions, now: BootTime) {
        while self.access.front().is_some_and(|oldest| oldest.expires <= now)
            || self.access.len() >= options.tokens_per_family.max(2)
        {
            self.access.pop_front();
        }
        self.access.push_back(AccessToken {
            serial: token.serial,
            generation: token.generation,
            expires: now + options.access_token_lifetime,
        });
    }

    /// True if the access token is alive. A revoked family has none.
    pub(crate) fn accepts(&self, serial: u64, now: BootTime) -> bool {
        self.access.iter().rev().any(|token| token.serial == serial && token.expires > now)
    }

    pub(crate) fn end_access(&mut self, serial: u64) -> bool {
        let before = self.access.len();
        self.access.retain(|token| token.serial != serial);
        self.access.len() < before
    }

    pub(crate) fn revoke(&mut self, reason: RevocationReason) -> bool {
        let alive = self.revoked.is_none();
        if alive {
            self.revoked = Some(reason);
            self.access.clear();
        }
        alive
    }

    fn refresh_token(&self, serial: u64) -> Option<&RefreshToken> {
        self.refresh.iter().rev().find(|token| token.serial == serial)
    }

    pub(crate) fn refresh_token_mut(&mut self, serial: u64) -> Option<&mut RefreshToken> {
        self.refresh.iter_mut().rev().find(|token| token.serial == serial)
    }

    pub(crate) fn history(&self, id: u64, now: BootTime) -> FamilyHistory {
        let alive = |token: &&RefreshToken| {
            self.revoked.is_none()
                && matches!(token.standing, Standing::Live)
                && token.expires > now
        };
        FamilyHistory {
            family: id,
            user: self.owner.user.to_string(),
            client_id: self.owner.client_id.to_string(),
            newest_generation: self.newest_generation,
            live_access_tokens: self.access.iter().filter(|token| token.expires > now).count(),
            live_refresh_tokens: self.refresh.iter().filter(alive).count(),
            revoked: self.revoked,
        }
    }

    pub(crate) fn token_histories(&self, id: u64) -> impl Iterator<Item = TokenHistory> {
        self.refresh.iter().map(move |token| TokenHistory {
            fingerprint: token.fingerprint,
            family: id,
            generation: token.generation,
            issued_at_ms: token.issued_at.as_millis(),
            presented: token.presented,
            redeemed: token.redeemed,
            presentations: token.presentations.clone(),
        })
    }
}

impl RefreshToken {
    /// Writes down a presentation. Returns how often it had been presented before.
    pub(crate) fn note(&mut self, presentation: Presentation) -> u32 {
        let before = self.presented;
        self.presented += 1;
        if self.presentations.len() < PRESENTATIONS_KEPT {
            self.presentations.push(presentation);
        }
        self.redeemed += u32::from(presentation.outcome.is_success());
        before
    }
}
