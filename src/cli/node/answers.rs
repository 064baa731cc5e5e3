//! Does what a node is asked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::node::protocol::{Ask, Refusal};
use crate::cli::node::readers::Readers;
use crate::cli::node::told;
use crate::hive::{LoginRequest, Origin, Readiness, RestoreOptions, TokenHive, TokenRequest};
use crate::model::SessionKey;
use crate::oauth::CallbackQuery;

/// Who every session of a fleet belongs to.
pub(super) const TENANT: &str = "fleet";

/// A hive and its readers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Node {
    hive: TokenHive,
    readers: Arc<Readers>,
}

type Answer = Result<Value, Refusal>;

impl Node {
    pub(super) fn new(hive: TokenHive) -> Self {
        Self { readers: Arc::new(Readers::new(hive.clone())), hive }
    }

    /// Stops in good order.
    pub(super) async fn stop(&self) {
        self.readers.stop().await;
        self.hive.shutdown().await;
    }

    pub(super) async fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Restore { session, provider, saved } => {
                self.restore(&session, &provider, &saved).await
            }
            Ask::BeginLogin { session, provider, user } => {
                self.begin_login(&session, &provider, user).await
            }
            Ask::Complete { query } => self.complete(&query).await,
            Ask::Token { session, min_validity_ms, force, deadline_ms } => {
                let mut request = TokenRequest::new();
                if let Some(span) = min_validity_ms {
                    request = request.min_validity(Duration::from_millis(span));
                }
                if let Some(span) = deadline_ms {
                    request = request.deadline(Duration::from_millis(span));
                }
                let request = if force { request.force() } else { request };
                let token = self.hive.token_with(&key(&session)?, request).await?;
                Ok(told::token(&token))
            }
            Ask::Report { session, version } => self.report(&session, version).await,
            Ask::Delete { session } => Ok(json!(self.hive.delete(&key(&session)?).await?)),
            Ask::Describe { session } => {
                let info = self.hive.describe(&key(&session)?).await?;
                Ok(info.as_ref().map_or(Value::Null, told::session))
            }
            Ask::Readers(asked) => {
                self.readers.start(&asked)?;
                Ok(Value::Null)
            }
            Ask::Stats { reset } => Ok(self.stats(reset)),
            Ask::Readiness {} => Ok(self.readiness()),
            Ask::Shutdown {} => Ok(Value::Null),
        }
    }

    async fn restore(&self, session: &str, provider: &str, saved: &str) -> Answer {
        let options = RestoreOptions::default();
        let restored = self.hive.restore(&key(session)?, provider, saved, options).await?;
        let mut told = told::token(&restored.token);
        told["live"] = json!(restored.origin == Origin::Live);
        Ok(told)
    }

    async fn begin_login(&self, session: &str, provider: &str, user: Option<String>) -> Answer {
        let mut request = LoginRequest::provider(provider);
        if let Some(user) = user {
            request = request.param("user", user);
        }
        let login = self.hive.begin_login(&key(session)?, request).await?;
        Ok(json!(login.authorization_url))
    }

    async fn complete(&self, query: &str) -> Answer {
        let query =
            CallbackQuery::parse(query).map_err(|error| Refusal::new("login.callback", &error))?;
        let logged_in = self.hive.complete_login(&query).await?;
        let mut told = told::token(&logged_in.token);
        told["session"] = json!(logged_in.key.session());
        Ok(told)
    }

    async fn report(&self, session: &str, version: u64) -> Answer {
        let token = self.hive.report_unauthorized(&key(session)?, version).await?;
        Ok(told::token(&token))
    }

    fn stats(&self, reset: bool) -> Value {
        let (sessions, actors) = self.hive.resident();
        json!({"readers": self.readers.met(reset), "resident": sessions, "actors": actors})
    }

    fn readiness(&self) -> Value {
        let Readiness { ready, notes } = self.hive.readiness();
        json!({"ready": ready, "notes": notes})
    }
}

pub(super) fn key(session: &str) -> Result<SessionKey, Refusal> {
    SessionKey::new(TENANT, session).map_err(|error| Refusal::new("not_understood", &error))
}
