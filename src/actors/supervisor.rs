//! Routes messages to sessions' actors by key; starts and restarts actors as needed.

use std::sync::Arc;

use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Addr, Handler, MailboxError, Message};
use tokio::sync::oneshot;

use crate::actors::host::Arbiters;
use crate::actors::session::{GetToken, Known, Learned, Outdated, Present, SessionActor, Want};
use crate::actors::shared::Shared;
use crate::model::{SessionKey, Snapshot, TokenError, Unavailable};

/// How many actors a question is put to: an idle one may leave just as it comes in.
const ATTEMPTS: usize = 4;

/// Routes by session key.
#[derive(Clone)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    arbiters: Arbiters,
}

impl Supervisor {
    pub(crate) fn new(shared: Arc<Shared>, arbiters: Arbiters) -> Self {
        Self { shared, arbiters }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn actor(&self, key: &SessionKey) -> Addr<SessionActor> {
        let now = self.shared.clock.boot();
        self.shared.registry.actor(key, now, || {
            let actor = SessionActor::new(self.clone(), key.clone());
            SessionActor::start_in_arbiter(self.arbiters.of(key), |_| actor)
        })
    }

    /// Asks the session's actor for a token. An actor that leaves or dies meanwhile is replaced.
    pub(crate) async fn ask(
        &self,
        key: &SessionKey,
        want: Want,
    ) -> Result<Arc<Snapshot>, TokenError> {
        for _ in 0..ATTEMPTS {
            let (reply, answer) = oneshot::channel();
            let delivered = self.deliver(key, GetToken { want, reply }).await;
            if delivered.is_ok()
                && let Ok(result) = answer.await
            {
                return result;
            }
            if self.shared.closing.is_cancelled() {
                return Err(TokenError::unavailable(Unavailable::Closing, None));
            }
        }
        Err(TokenError::unavailable(Unavailable::ActorFailed, None))
    }

    /// Delivers a message to the session's actor, waiting for room in its mailbox.
    pub(crate) async fn deliver<M>(&self, key: &SessionKey, message: M) -> Result<(), MailboxError>
    where
        M: Message<Result = ()> + Send + 'static,
        SessionActor: Handler<M>,
        <SessionActor as Actor>::Context: ToEnvelope<SessionActor, M>,
        (): MessageResponse<SessionActor, M>,
    {
        self.actor(key).send(message).await
    }

    /// Tells the session's actor, starting one if none runs. Never waits.
    pub(crate) fn tell<M>(&self, key: &SessionKey, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        SessionActor: Handler<M>,
        <SessionActor as Actor>::Context: ToEnvelope<SessionActor, M>,
    {
        self.actor(key).do_send(message);
    }

    /// Tells the session's actor, if one runs, what the record says.
    pub(crate) fn learned(&self, key: &SessionKey, known: Box<Known>) {
        if let Some(actor) = self.shared.registry.running(key) {
            actor.do_send(Learned(known));
        }
    }

    /// Tells the session's actor, if one runs, that another node gave the session that version.
    pub(crate) fn outdated(&self, key: &SessionKey, version: u64) {
        if let Some(actor) = self.shared.registry.running(key) {
            actor.do_send(Outdated(version));
        }
    }

    /// Tells the session's actor, if one runs, that the session was changed from outside.
    pub(crate) fn replaced(&self, key: &SessionKey, known: Option<Known>) {
        if let Some(actor) = self.shared.registry.running(key) {
            actor.do_send(Present(known.map(Box::new)));
        }
    }
}
