//! Routes messages to sessions' actors by key; starts and restarts actors as needed.

use std::sync::Arc;

use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Addr, Handler, MailboxError, Message};
use tokio::sync::oneshot;

use crate::actors::host::Arbiters;
use crate::actors::session::{GetToken, SessionActor, Want};
use crate::actors::shared::Shared;
use crate::model::{SessionKey, Snapshot, TokenError, Unavailable};

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

    /// Asks the session's actor for a token. An actor that dies on it is replaced, once.
    pub(crate) async fn ask(
        &self,
        key: &SessionKey,
        want: Want,
    ) -> Result<Arc<Snapshot>, TokenError> {
        for _ in 0..2 {
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

    /// Tells the session's actor, if one runs.
    pub(crate) fn tell_running<M>(&self, key: &SessionKey, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        SessionActor: Handler<M>,
        <SessionActor as Actor>::Context: ToEnvelope<SessionActor, M>,
    {
        if let Some(actor) = self.shared.registry.running(key) {
            actor.do_send(message);
        }
    }
}
