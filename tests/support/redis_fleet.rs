//! Several hives in one process that share a Redis and a strict provider.

use std::time::Duration;

use tempfile::TempDir;
use tokenhive::simulator::{Simulator, SimulatorOptions};
use tokenhive::store::{RedisOptions, RedisStore, SessionStore as _};
use tokenhive::{HiveBuilder, JournalOptions, Keyring, RestoreOptions, SessionKey, TokenHive};

use crate::redis_support::{DURABLE, RedisServer};
use crate::support::{HOUR, browser, eager, key, provider, saved};

/// Several nodes, one Redis, one strict provider.
pub struct Fleet {
    pub redis: RedisServer,
    pub simulator: Simulator,
    pub keyring: Keyring,
    pub folder: TempDir,
}

impl Fleet {
    pub async fn start(options: SimulatorOptions) -> Self {
        let (redis, simulator) = tokio::join!(RedisServer::own(DURABLE), Simulator::start(options));
        Self {
            redis,
            simulator: simulator.unwrap(),
            keyring: Keyring::generate(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn redis_options(&self) -> RedisOptions {
        RedisOptions::new(self.redis.url())
            .deadline(Duration::from_millis(400))
            .settle_for(Duration::from_millis(700))
            .node_lease(Duration::from_secs(2))
    }

    pub async fn store(&self) -> RedisStore {
        RedisStore::connect_with(self.redis_options()).await.unwrap()
    }

    pub async fn node(&self, name: &str) -> TokenHive {
        self.node_with(name, |builder| builder).await
    }

    pub async fn node_with(
        &self,
        name: &str,
        adjust: impl FnOnce(HiveBuilder) -> HiveBuilder,
    ) -> TokenHive {
        let builder = TokenHive::builder()
            .provider(provider(&self.simulator).timeout(Duration::from_secs(3)))
            .store(self.store().await)
            .keyring(self.keyring.clone())
            .journal(JournalOptions::in_directory(self.folder.path().join(name)))
            .dead_after(Duration::from_secs(5));
        adjust(eager(builder)).start().await.unwrap()
    }

    /// A session that was minted by the provider and restored by `hive`; its token lives an hour.
    pub async fn session(&self, hive: &TokenHive) -> SessionKey {
        let minted = self.simulator.mint(1, HOUR).remove(0);
        let key = key(&minted.user);
        let saved = saved(&minted, 3600);
        hive.restore(&key, "sim", &saved, RestoreOptions::default()).await.unwrap();
        key
    }

    /// How many refresh tokens the session has installed since its login, as Redis tells it.
    pub async fn generation(&self, key: &SessionKey) -> Option<u64> {
        let loaded = self.store().await.load(key).await.unwrap();
        loaded.reply.record.map(|record| record.generation + 1 - record.grant)
    }

    pub async fn accepted(&self, token: &str) -> bool {
        let url = format!("{}/api/echo", self.simulator.base_url());
        browser().get(url).bearer_auth(token).send().await.unwrap().status().is_success()
    }

    pub fn calls(&self) -> u64 {
        self.simulator.totals().refresh_requests
    }

    pub fn assert_nothing_used_twice(&self) {
        let totals = self.simulator.totals();
        assert_eq!(totals.reuse_detected, 0, "{totals:?}");
    }
}
