//! Obeys: hosts the state in actix, starts its I/O on the host runtime, and answers who waits.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler};

use crate::actors::scheduler::RefreshLimits;
use crate::actors::session::messages::{
    Exchanged, Freshness, GetToken, Learned, Loaded, Outdated, Passivate, Present, RefreshDue,
    TokenReply, Want,
};
use crate::actors::session::outcome::LoadOutcome;
use crate::actors::session::state::{Reason, State, Step, Work};
use crate::actors::session::{exchange, work};
use crate::actors::shared::Shared;
use crate::actors::supervisor::Supervisor;
use crate::actors::task_kind::TaskKind;
use crate::model::{BootTime, SessionKey, TokenError, Unavailable};

/// The wait before a due session is looked at again whose record could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Owns one session's tokens.
pub(crate) struct SessionActor {
    key: SessionKey,
    supervisor: Supervisor,
    state: State,
    waiters: Vec<Waiter>,
    /// Set while a background refresh is wanted; given back when it is dealt with.
    due: Option<Due>,
}

/// A caller who waits.
struct Waiter {
    want: Want,
    /// The first version the actor knew of since the caller came.
    baseline: Option<u64>,
    reply: TokenReply,
}

/// A background refresh that is wanted.
struct Due {
    #[expect(dead_code, reason = "held for its drop")]
    permit: Option<RefreshLimits>,
}

impl SessionActor {
    pub(crate) fn new(supervisor: Supervisor, key: SessionKey) -> Self {
        Self { key, supervisor, state: State::default(), waiters: Vec::new(), due: None }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.supervisor.shared()
    }

    fn now(&self) -> BootTime {
        self.shared().clock.boot()
    }

    fn start(&mut self, work: Work) {
        self.state.started(work);
        let supervisor = self.supervisor.clone();
        let key = self.key.clone();
        let shared = Arc::clone(self.shared());
        match work {
            Work::Load => shared.spawn(TaskKind::Load, async move {
                let _rescue = Rescue::of(&supervisor, &key);
                let outcome = work::load(supervisor.shared(), &key).await;
                supervisor.tell(&key, Loaded(outcome));
            }),
            Work::Resolve => {
                let known = self.state.known().cloned();
                shared.spawn(TaskKind::Load, async move {
                    let _rescue = Rescue::of(&supervisor, &key);
                    let outcome = work::resolve(supervisor.shared(), &key, known).await;
                    supervisor.tell(&key, Loaded(outcome));
                });
            }
            Work::Exchange(reason) => {
                let known = self.state.known().cloned();
                shared.spawn(TaskKind::Exchange, async move {
                    let _rescue = Rescue::of(&supervisor, &key);
                    let outcome = work::run(&supervisor, &key, known, reason).await;
                    supervisor.tell(&key, Exchanged(outcome));
                });
            }
        }
    }

    /// Looks at everybody who waits once more, after something has changed.
    fn settle_waiters(&mut self, refusal: Option<&TokenError>) {
        let now = self.now();
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.reply.is_closed() {
                continue; // The caller gave up; that never cancels anything.
            }
            match refusal {
                Some(error) => drop(waiter.reply.send(Err(error.clone()))),
                None => self.serve(now, waiter),
            }
        }
        if let Some(due) = self.due.take() {
            match self.state.on_due(now, &self.shared().options.policy) {
                Some(work) if refusal.is_none() => {
                    self.start(work);
                    self.due = Some(due);
                }
                // The store did not say how things stand: the due index hides the session for longer.
                _ if matches!(refusal, Some(TokenError::Unavailable { .. })) => {
                    self.shared().scheduler.schedule(&self.key, STORE_PAUSE);
                }
                _ => self.remind(now),
            }
        }
        if !self.waiters.is_empty() {
            self.remind(now);
        }
    }

    /// Has itself woken when a wait is over that keeps a refresh from beginning.
    fn remind(&self, now: BootTime) {
        if let Some(wait) = self.state.waits(now) {
            self.shared().scheduler.schedule(&self.key, wait + exchange::TIMER_SLACK);
        }
    }

    fn serve(&mut self, now: BootTime, mut waiter: Waiter) {
        // For a caller who came before anything was known, what is learned first is what stood.
        waiter.baseline = waiter.baseline.or(self.state.version());
        if let (Freshness::Newest, Some(version)) = (waiter.want.freshness, self.state.version()) {
            waiter.want.freshness = Freshness::NewerThan(version);
        }
        match self.state.on_get(now, &waiter.want, waiter.baseline) {
            Step::Answer(snapshot) => drop(waiter.reply.send(Ok(snapshot))),
            Step::AnswerAndRefresh(snapshot) => {
                drop(waiter.reply.send(Ok(snapshot)));
                self.start(Work::Exchange(Reason::Wanted));
            }
            Step::Refuse(error) => drop(waiter.reply.send(Err(error))),
            Step::Await => self.waiters.push(waiter),
            Step::AwaitAfter(work) => {
                self.waiters.push(waiter);
                self.start(work);
            }
        }
    }
}

/// Tells the actor of work that ended by a panic, which would otherwise be waited for without end.
struct Rescue {
    supervisor: Supervisor,
    key: SessionKey,
}

impl Rescue {
    fn of(supervisor: &Supervisor, key: &SessionKey) -> Self {
        Self { supervisor: supervisor.clone(), key: key.clone() }
    }
}

impl Drop for Rescue {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(session = %self.key, "work for {} ended by a panic", self.key);
            let failed = TokenError::unavailable(Unavailable::ActorFailed, Some(STORE_PAUSE));
            self.supervisor.tell(&self.key, Loaded(LoadOutcome::Failed(failed)));
        }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;
}

impl Handler<GetToken> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: GetToken, _: &mut Self::Context) {
        let GetToken { want, reply } = message;
        let now = self.now();
        self.shared().registry.note_read(&self.key, now);
        if self.waiters.len() >= self.shared().options.max_waiters {
            self.waiters.retain(|waiter| !waiter.reply.is_closed());
        }
        if self.waiters.len() >= self.shared().options.max_waiters {
            let wait = Some(Duration::from_millis(500));
            let error = TokenError::unavailable(Unavailable::Overloaded, wait);
            return drop(reply.send(Err(error)));
        }
        let alone = self.waiters.is_empty();
        self.serve(now, Waiter { want, baseline: None, reply });
        if alone && !self.waiters.is_empty() {
            self.remind(now);
        }
    }
}

impl Handler<RefreshDue> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: RefreshDue, _: &mut Self::Context) {
        let due = Due { permit: message.permit };
        match self.state.on_due(self.now(), &self.shared().options.policy) {
            Some(work) => {
                self.start(work);
                // A load is followed by the decision whether to refresh; an exchange ends the matter.
                self.due = Some(due);
            }
            // Decided once the work in progress is done.
            None if !self.state.is_idle() => self.due = Some(due),
            None => {
                self.due = Some(due);
                self.settle_waiters(None);
            }
        }
    }
}

impl Handler<Loaded> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: Loaded, context: &mut Self::Context) {
        let absent = matches!(message.0, LoadOutcome::Absent);
        let refusal = self.state.loaded(message.0);
        self.settle_waiters(refusal.as_ref());
        if absent && self.state.is_idle() && self.waiters.is_empty() {
            // Keys nobody ever logged in under leave nothing behind. Who asked meanwhile comes first.
            context.address().do_send(Passivate);
        }
    }
}

impl Handler<Exchanged> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: Exchanged, _: &mut Self::Context) {
        self.due = None;
        let refusal = self.state.exchanged(message.0);
        self.settle_waiters(refusal.as_ref());
    }
}

impl Handler<Present> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: Present, _: &mut Self::Context) {
        // A read that was under way may have taken away what the login just published, or the other way.
        match &message.0 {
            Some(known) => {
                self.shared().registry.publish(&self.key, &known.snapshot, known.learned);
            }
            None => self.shared().registry.retract(&self.key, 0),
        }
        self.state.replaced(message.0);
        self.settle_waiters(None);
    }
}

impl Handler<Learned> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: Learned, _: &mut Self::Context) {
        self.state.learned(message.0);
        self.settle_waiters(None);
    }
}

impl Handler<Outdated> for SessionActor {
    type Result = ();

    fn handle(&mut self, message: Outdated, _: &mut Self::Context) {
        if self.state.outdated(message.0) {
            self.settle_waiters(None);
        }
    }
}

impl Handler<Passivate> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Passivate, context: &mut Self::Context) {
        if self.state.is_idle() && self.waiters.is_empty() {
            self.leave(context);
        }
    }
}

#[cfg(test)]
impl Handler<crate::actors::session::messages::Panic> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: crate::actors::session::messages::Panic, _: &mut Self::Context) {
        panic!("asked to");
    }
}

impl SessionActor {
    /// Stops. Messages that are already in the mailbox are answered with a closed channel, and their
    /// senders ask again.
    fn leave(&mut self, context: &mut Context<Self>) {
        self.shared().registry.actor_stopped(&self.key, &context.address());
        context.stop();
    }
}
