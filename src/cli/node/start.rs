//! Makes the hive of a node from what it was told.

use std::time::Duration;

use anyhow::Context as _;

use crate::cli::node::args::{Journal, NodeArgs, Simulated};
use crate::hive::TokenHive;
use crate::journal::JournalOptions;
use crate::model::ReuseClass;
use crate::oauth::{ProviderBuilder, UserId, catalogue};
use crate::sealing::Keyring;
use crate::store::{RedisOptions, RedisStore};
use crate::timing::Backoff;

/// The client the simulator knows; its secret opens nothing else.
const CLIENT: (&str, &str) = ("tokenhive", "simulator-secret");

const KEYS: &str = "TOKENHIVE_KEYS";

pub(super) async fn hive(args: &NodeArgs) -> anyhow::Result<TokenHive> {
    let keyring = Keyring::from_env(KEYS).context("the keyring cannot be read")?;
    let store = RedisStore::connect_with(redis(args)).await.context("no Redis")?;
    let mut builder = TokenHive::builder().store(store).keyring(keyring);
    for simulated in &args.providers {
        builder = builder.provider(provider(args, simulated));
    }
    if let Some(span) = args.poll_ms {
        builder = builder.poll_every(Duration::from_millis(span));
    }
    if let Some(span) = args.store_deadline_ms {
        builder = builder.store_deadline(Duration::from_millis(span));
    }
    if let Some(span) = args.max_unverified_ms {
        builder = builder.max_unverified(Duration::from_millis(span));
    }
    if let Some(spans) = args.backoff_ms {
        let floor = Duration::from_millis(spans.floor);
        let ceiling = Duration::from_millis(spans.ceiling);
        builder = builder.backoff(Backoff { floor, ceiling });
    }
    if let Some(span) = args.dead_after_ms {
        builder = builder.dead_after(Duration::from_millis(span));
    }
    builder = match &args.journal {
        Journal::Off => builder.without_journal(),
        Journal::Folder(folder) => builder.journal(JournalOptions::in_directory(folder)),
    };
    Ok(builder.start().await?)
}

fn redis(args: &NodeArgs) -> RedisOptions {
    let mut options = RedisOptions::new(args.redis.clone()).prefix(&args.prefix);
    if let Some(span) = args.store_deadline_ms {
        options = options.deadline(Duration::from_millis(span));
    }
    if let Some(span) = args.settle_ms {
        options = options.settle_for(Duration::from_millis(span));
    }
    if let Some(span) = args.node_lease_ms {
        options = options.node_lease(Duration::from_millis(span));
    }
    options
}

fn provider(args: &NodeArgs, simulated: &Simulated) -> ProviderBuilder {
    let Simulated { id, class, url } = simulated;
    let at = |path: &str| format!("{url}{path}");
    let token_endpoint = at(&format!("/token?from={}", args.name));
    let mut provider = catalogue::generic(id, CLIENT.0, at("/authorize"), token_endpoint)
        .client_secret(CLIENT.1)
        .redirect_url("http://127.0.0.1:9/callback")
        .revocation_endpoint(at("/revoke"))
        .user_endpoint(at("/userinfo"), UserId::pointer("/sub"))
        .reuse_class(*class);
    if let Some(span) = args.provider_timeout_ms {
        provider = provider.timeout(Duration::from_millis(span));
    }
    match class {
        ReuseClass::SingleUse | ReuseClass::Revoking => provider.kills_old_access_token(),
        _ => provider.keeps_old_access_token(),
    }
}
