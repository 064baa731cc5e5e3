//! The provider as a whole: options, sessions, codes, faults and the log behind one lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::Clock;
use crate::simulator::codes::{AuthorizationRequest, Code, CodeStanding, Codes};
use crate::simulator::faults::{FaultAction, FaultDice, GrantFilter, Target};
use crate::simulator::log::Log;
use crate::simulator::options::SimulatorOptions;
use crate::simulator::state::{Moment, Owner, Pair, Ruling, Sessions};
use crate::simulator::token::{Fingerprint, challenge};
use crate::simulator::truth::{
    Answer, Event, EventKind, GroundTruth, Outcome, Presentation, RevocationReason,
};
use crate::simulator::users;

/// What every connection shares.
pub(super) struct Shared {
    world: Mutex<World>,
    clock: Arc<dyn Clock>,
    /// `http://address:port`.
    pub base_url: String,
    token_requests: AtomicU64,
}

impl Shared {
    pub(crate) fn new(options: SimulatorOptions, base_url: String) -> Self {
        let clock = Arc::clone(&options.clock.0);
        let world = Mutex::new(World::new(options));
        Self { world, clock, base_url, token_requests: AtomicU64::new(0) }
    }

    /// The world, locked; never held across an await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { wall: self.clock.now(), boot: self.clock.boot() }
    }

    /// Counts a token request as in progress until the last clone of the guard is dropped.
    pub(crate) fn enter_token_request(self: &Arc<Self>) -> Arc<InProgress> {
        let count = self.token_requests.fetch_add(1, Ordering::Relaxed) + 1;
        let totals = &mut self.world().log.totals;
        totals.max_concurrent_token_requests = totals.max_concurrent_token_requests.max(count);
        Arc::new(InProgress(Arc::clone(self)))
    }
}

/// A token request in progress.
pub(super) struct InProgress(Arc<Shared>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.token_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything behind the lock.
pub(super) struct World {
    pub options: Arc<SimulatorOptions>,
    pub dice: FaultDice,
    pub sessions: Sessions,
    pub codes: Codes,
    pub log: Log,
    last_user: u64,
}

/// A grant as it is presented to the token endpoint.
#[derive(Clone)]
pub(super) enum Grant {
    Code { code: String, redirect_uri: Option<String>, verifier: Option<String> },
    Refresh { token: String, scope: Option<String> },
}

/// The circumstances in which a grant is presented.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    /// The authenticated client.
    pub client: &'a str,
    /// Who presents it, where that is told.
    pub from: Option<&'a str>,
    pub fault: Option<&'a FaultAction>,
    pub now: Moment,
}

/// Tokens issued, with the scope they carry.
pub(super) struct Granted {
    pub pair: Pair,
    pub scope: String,
}

/// What is to happen to a token request.
pub(super) struct Plan {
    pub options: Arc<SimulatorOptions>,
    pub fault: Option<FaultAction>,
    pub latency: Duration,
}

impl World {
    fn new(options: SimulatorOptions) -> Self {
        Self {
            dice: FaultDice::new(options.seed),
            options: Arc::new(options),
            sessions: Sessions::new(),
            codes: Codes::new(),
            log: Log::default(),
            last_user: 0,
        }
    }

    /// Forgets sessions, codes, faults and history; the options stay.
    pub(crate) fn reset(&mut self) {
        let options = SimulatorOptions::clone(&self.options);
        *self = Self::new(options);
    }

    /// The user whose turn it is.
    pub(crate) fn next_user(&mut self) -> String {
        self.last_user += 1;
        users::name((self.last_user - 1) % u64::from(self.options.users.max(1)) + 1)
    }

    /// Counts a token request and decides which fault strikes it and how long it takes.
    pub(crate) fn plan(&mut self, grant: Option<&Grant>) -> Plan {
        let kind = match grant {
            Some(Grant::Code { .. }) => GrantFilter::Code,
            Some(Grant::Refresh { .. }) => GrantFilter::Refresh,
            None => GrantFilter::Any,
        };
        let (user, family) = match grant {
            Some(Grant::Code { code, .. }) => (self.codes.code(code).map(|code| &code.user), None),
            Some(Grant::Refresh { token, .. }) => {
                let family = self.sessions.recognise(token).map(|token| token.family);
                let owner = family.and_then(|family| self.sessions.owner(family));
                (owner.map(|owner| &owner.user), family)
            }
            None => (None, None),
        };
        let fault = self.dice.roll(Target { grant: kind, user: user.map(|user| &**user), family });
        self.log.count_request(kind, fault.as_ref());
        let options = Arc::clone(&self.options);
        let jitter = options.latency_jitter;
        let jitter = if jitter.is_zero() { jitter } else { jitter.mul_f64(self.dice.fraction()) };
        Plan { latency: options.latency + jitter, options, fault }
    }

    /// Issues a code and files it.
    pub(crate) fn approve(
        &mut self,
        request: AuthorizationRequest,
        user: &str,
        now: Moment,
    ) -> String {
        let mut event = self.log.event(EventKind::CodeIssued, now.wall);
        event.user = Some(user.to_owned());
        self.log.file(event, self.options.history);
        self.codes.issue(request, user.into(), self.options.code_lifetime, now.boot)
    }

    /// Files a login that was denied.
    pub(crate) fn deny(&mut self, now: Moment) {
        let event = self.log.event(EventKind::LoginDenied, now.wall);
        self.log.file(event, self.options.history);
    }

    /// Opens a session for the next user without a login, its access token lasting `lifetime`.
    pub(crate) fn mint(&mut self, scope: &str, lifetime: Duration, now: Moment) -> (String, Pair) {
        self.last_user += 1;
        let user = users::name(self.last_user);
        let client = self.options.clients.keys().next().map_or("", String::as_str);
        let owner =
            Owner { user: user.as_str().into(), client_id: client.into(), scope: scope.into() };
        let options = SimulatorOptions {
            access_token_lifetime: lifetime,
            ..SimulatorOptions::clone(&self.options)
        };
        let pair = self.sessions.open(owner, &options, now);
        let mut event = self.log.event(EventKind::SessionMinted, now.wall);
        event.user = Some(user.clone());
        event.family = Some(pair.family);
        event.issued = Some(Fingerprint::of(&pair.refresh));
        self.log.file(event, self.options.history);
        (user, pair)
    }

    /// Presents a grant: the commit. `Err` tells why there are no tokens.
    pub(crate) fn present(
        &mut self,
        grant: &Grant,
        attempt: Attempt<'_>,
    ) -> Result<Granted, Outcome> {
        match grant {
            Grant::Code { code, redirect_uri, verifier } => {
                let proof = CodeProof { client: attempt.client, redirect_uri, verifier };
                self.present_code(code, proof, attempt)
            }
            Grant::Refresh { token, scope } => {
                self.present_refresh(token, scope.as_deref(), attempt)
            }
        }
    }

    /// Files a grant that a fault keeps from being consumed.
    pub(crate) fn turn_away(&mut self, grant: &Grant, attempt: Attempt<'_>) {
        match grant {
            Grant::Code { code, .. } => {
                let user = self.codes.code(code).map(|code| code.user.to_string());
                let event = self.code_event(user, Outcome::NotConsumed, attempt);
                self.log.file(event, self.options.history);
            }
            Grant::Refresh { token, .. } => {
                self.file_refresh(token, Outcome::NotConsumed, None, attempt);
            }
        }
    }

    fn present_code(
        &mut self,
        code: &str,
        proof: CodeProof<'_>,
        attempt: Attempt<'_>,
    ) -> Result<Granted, Outcome> {
        let now = attempt.now;
        let record = self.codes.code(code).cloned();
        let outcome = record.as_ref().map_or(Outcome::Unknown, |code| proof.judge(code, now));
        let user = record.as_ref().map(|code| code.user.to_string());
        let mut event = self.code_event(user, outcome, attempt);
        let mut granted = Err(outcome);
        if let Some(record) = record {
            match (outcome, record.standing) {
                (Outcome::Redeemed, _) => {
                    let pair = self.open(&record, now);
                    self.codes.set_standing(code, CodeStanding::Exchanged(pair.family));
                    event.family = Some(pair.family);
                    event.issued = Some(Fingerprint::of(&pair.refresh));
                    granted = Ok(Granted { pair, scope: record.request.scope.to_string() });
                }
                (Outcome::VerifierMismatch | Outcome::RedirectMismatch, _) => {
                    self.codes.set_standing(code, CodeStanding::Spoiled);
                }
                (Outcome::ReplayRevoked, CodeStanding::Exchanged(family)) => {
                    event.family = Some(family);
                    self.log.file(event, self.options.history);
                    self.revoke(family, RevocationReason::CodeReplay, now);
                    return granted;
                }
                _ => {}
            }
        }
        self.log.file(event, self.options.history);
        granted
    }

    fn open(&mut self, code: &Code, now: Moment) -> Pair {
        let owner = Owner {
            user: Arc::clone(&code.user),
            client_id: Arc::clone(&code.request.client_id),
            scope: Arc::clone(&code.request.scope),
        };
        let options = Arc::clone(&self.options);
        self.sessions.open(owner, &options, now)
    }

    fn present_refresh(
        &mut self,
        text: &str,
        scope: Option<&str>,
        attempt: Attempt<'_>,
    ) -> Result<Granted, Outcome> {
        let Some(token) = self.sessions.recognise(text) else {
            self.file_refresh(text, Outcome::Unknown, None, attempt);
            return Err(Outcome::Unknown);
        };
        let whole = self.sessions.owner(token.family).map(|owner| Arc::clone(&owner.scope));
        let whole = whole.unwrap_or_else(|| "".into());
        if scope.is_some_and(|scope| !is_within(scope, &whole)) {
            self.file_refresh(text, Outcome::ScopeRefused, None, attempt);
            return Err(Outcome::ScopeRefused);
        }
        let options = Arc::clone(&self.options);
        let Ruling { outcome, pair } =
            self.sessions.present(token, attempt.client, &options, attempt.now);
        let issued = pair.as_ref().map(|pair| Fingerprint::of(&pair.refresh));
        self.file_refresh(text, outcome, issued, attempt);
        if outcome == Outcome::ReplayRevoked {
            self.file_revocation(token.family, RevocationReason::RefreshTokenReplay, attempt.now);
        }
        let scope = scope.unwrap_or(&whole).to_owned();
        pair.map(|pair| Granted { pair, scope }).ok_or(outcome)
    }

    fn code_event(
        &mut self,
        user: Option<String>,
        outcome: Outcome,
        Attempt { from, fault, now, .. }: Attempt<'_>,
    ) -> Event {
        let mut event = self.log.event(EventKind::CodePresented, now.wall);
        event.user = user;
        event.outcome = Some(outcome);
        event.answer = Some(answer_under(fault));
        event.from = from.map(str::to_owned);
        event.fault = fault.map(|fault| fault.name().to_owned());
        event
    }

    fn file_refresh(
        &mut self,
        text: &str,
        outcome: Outcome,
        issued: Option<Fingerprint>,
        Attempt { from, fault, now, .. }: Attempt<'_>,
    ) {
        let answer = answer_under(fault);
        let mut event = self.log.event(EventKind::RefreshPresented, now.wall);
        event.presented = Some(Fingerprint::of(text));
        event.issued = issued;
        event.outcome = Some(outcome);
        event.answer = Some(answer);
        event.from = from.map(str::to_owned);
        event.fault = fault.map(|fault| fault.name().to_owned());
        if let Some(token) = self.sessions.recognise(text) {
            event.user = self.sessions.owner(token.family).map(|owner| owner.user.to_string());
            event.family = Some(token.family);
            event.generation = Some(token.generation);
            let Event { sequence, at_ms, .. } = event;
            let noted = Presentation { sequence, at_ms, outcome, answer };
            if let Some(before) = self.sessions.note(token, noted) {
                self.log.count_presentation(before);
            }
        }
        self.log.file(event, self.options.history);
    }

    /// Revokes a family; returns whether it was alive.
    pub(crate) fn revoke(&mut self, family: u64, reason: RevocationReason, now: Moment) -> bool {
        let alive = self.sessions.revoke(family, reason);
        if alive {
            self.file_revocation(family, reason, now);
        }
        alive
    }

    /// Revokes every family of `user`; returns how many were alive.
    pub(crate) fn revoke_user(&mut self, user: &str, now: Moment) -> usize {
        let families = self.sessions.families_of(user);
        let revoked = families.into_iter().map(|id| self.revoke(id, RevocationReason::User, now));
        revoked.filter(|alive| *alive).count()
    }

    fn file_revocation(&mut self, family: u64, reason: RevocationReason, now: Moment) {
        let mut event = self.log.event(EventKind::FamilyRevoked, now.wall);
        event.user = self.sessions.owner(family).map(|owner| owner.user.to_string());
        event.family = Some(family);
        event.reason = Some(reason);
        self.log.file(event, self.options.history);
    }

    /// Totals only.
    pub(crate) fn summary(&self) -> GroundTruth {
        GroundTruth { totals: self.log.totals(), ..GroundTruth::default() }
    }

    /// Everything that is remembered.
    pub(crate) fn ground_truth(&self, now: Moment) -> GroundTruth {
        let (families, tokens) = self.sessions.histories(now.boot);
        let (events, events_forgotten) = self.log.events();
        GroundTruth { totals: self.log.totals(), families, tokens, events, events_forgotten }
    }
}

/// What comes with an authorization code.
struct CodeProof<'a> {
    client: &'a str,
    redirect_uri: &'a Option<String>,
    verifier: &'a Option<String>,
}

impl CodeProof<'_> {
    fn judge(&self, code: &Code, now: Moment) -> Outcome {
        if *code.request.client_id != *self.client {
            return Outcome::WrongClient;
        }
        match code.standing {
            CodeStanding::Exchanged(_) => return Outcome::ReplayRevoked,
            CodeStanding::Spoiled => return Outcome::ReplayRejected,
            CodeStanding::Fresh => {}
        }
        if code.expires <= now.boot {
            Outcome::Expired
        } else if self.redirect_uri.as_ref() != Some(&code.request.redirect_uri) {
            Outcome::RedirectMismatch
        } else if self.verifier.as_deref().map(challenge) != code.request.challenge {
            Outcome::VerifierMismatch
        } else {
            Outcome::Redeemed
        }
    }
}

fn is_within(asked: &str, granted: &str) -> bool {
    asked.split_whitespace().all(|scope| granted.split_whitespace().any(|one| one == scope))
}

fn answer_under(fault: Option<&FaultAction>) -> Answer {
    match fault {
        Some(
            FaultAction::DropBeforeCommit
            | FaultAction::DropAfterCommit
            | FaultAction::Hang
            | FaultAction::HangAfterCommit,
        ) => Answer::Withheld,
        Some(
            FaultAction::StatusAfterCommit { .. }
            | FaultAction::Malformed { .. }
            | FaultAction::MissingRefreshToken
            | FaultAction::TruncatedBody,
        ) => Answer::Spoiled,
        _ => Answer::Sent,
    }
}
