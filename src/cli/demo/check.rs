//! What is looked at when the readers have stopped: every session, and the bytes of the store file.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cli::demo::app::App;
use crate::cli::demo::readers::Tally;
use crate::hive::SessionState;
use crate::model::{Secret, SessionKey};

/// Sessions looked at at the same time.
const AT_ONCE: usize = 16;

/// How many sessions' tokens are searched for in the file.
const SAMPLE: usize = 20;

/// A session as it was after its login.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) key: SessionKey,
    pub(super) generation: u64,
    pub(super) access_token: Secret,
}

/// What was found of all sessions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Survey {
    /// Active, with a token the provider accepts.
    pub(super) alive: u64,
    /// Refreshed at least once since their login.
    pub(super) refreshed: u64,
}

/// What was found in the store file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FileSearch {
    /// Tokens searched for.
    pub(super) tokens: u64,
    /// How many of them were found in plain text.
    pub(super) plain: u64,
    /// Session names found, which are not encrypted: without them the search would prove nothing.
    pub(super) names: u64,
    /// Session names searched for.
    pub(super) names_wanted: u64,
    /// The size of the file.
    pub(super) bytes: u64,
}

/// Looks at every session once.
pub(super) async fn survey(
    app: &App,
    sessions: &[Begun],
    tally: &Arc<Tally>,
    progress: impl Fn(u64),
) -> anyhow::Result<Survey> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for session in sessions {
        let (app, tally, permits) = (app.clone(), Arc::clone(tally), Arc::clone(&permits));
        let session = session.clone();
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            look_at(&app, &session, &tally).await
        });
    }
    let (mut found, mut done) = (Survey::default(), 0);
    while let Some(looked) = tasks.join_next().await {
        let (alive, refreshed) = looked.context("looking at a session panicked")?;
        found.alive += u64::from(alive);
        found.refreshed += u64::from(refreshed);
        done += 1;
        progress(done);
    }
    Ok(found)
}

async fn look_at(app: &App, session: &Begun, tally: &Tally) -> (bool, bool) {
    let accepted = tally.prove(app, &session.key).await;
    let state = match app.hive.describe(&session.key).await {
        Ok(info) => info.map(|info| info.state),
        Err(error) => {
            tally.fail(&session.key, &error.into());
            None
        }
    };
    let active = matches!(state, Some(SessionState::Active | SessionState::Refreshing));
    let refreshed = accepted.is_some_and(|generation| generation > session.generation);
    (active && accepted.is_some(), refreshed)
}

/// Some of the tokens that are, or were, in the store: of each sampled session its first access token
/// and what a saved session holds now. A session that has none any more was counted by [`survey`].
pub(super) async fn sample(app: &App, sessions: &[Begun]) -> Vec<Secret> {
    let mut tokens = Vec::new();
    for session in sessions.iter().take(SAMPLE) {
        tokens.push(session.access_token.clone());
        if let Ok(saved) = app.hive.saved_token(&session.key).await {
            tokens.push(saved.access_token);
            tokens.extend(saved.refresh_token);
        }
    }
    tokens
}

/// Searches the file for tokens.
pub(super) fn search(
    path: &Path,
    sessions: &[Begun],
    tokens: &[Secret],
) -> anyhow::Result<FileSearch> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(search_in(&content, sessions, tokens))
}

fn search_in(content: &[u8], sessions: &[Begun], tokens: &[Secret]) -> FileSearch {
    // Tokens are ASCII: what else is lost or replaced here hides none of them.
    let text = String::from_utf8_lossy(content);
    let plain = tokens.iter().filter(|token| text.contains(token.expose())).count();
    let sampled = &sessions[..sessions.len().min(SAMPLE)];
    let names = sampled.iter().filter(|session| text.contains(session.key.session())).count();
    FileSearch {
        tokens: tokens.len() as u64,
        plain: plain as u64,
        names: names as u64,
        names_wanted: sampled.len() as u64,
        bytes: content.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::{Begun, search_in};
    use crate::model::{Secret, SessionKey};

    #[test]
    fn a_plain_token_is_found_among_bytes_that_are_no_text() {
        let key = SessionKey::new("demo", "user-0001").unwrap();
        let begun = Begun { key, generation: 1, access_token: Secret::from("at-0") };
        let tokens = [Secret::from("rt-secret-1"), Secret::from("rt-secret-2")];
        let content = b"\xff\x00user-0001\x1f\xc3rt-secret-2\xe2\x82";

        let found = search_in(content, &[begun], &tokens);

        assert_eq!((found.tokens, found.plain, found.names, found.names_wanted), (2, 1, 1, 1));
        assert_eq!(found.bytes, content.len() as u64);
    }
}
