//! What the demo starts, and stops again: a provider simulator, a store file and a hive.

use std::path::PathBuf;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::cli::demo::app::{App, PROVIDER};
use crate::cli::demo::args::{CONCURRENT_EXCHANGES, DemoArgs};
use crate::hive::TokenHive;
use crate::oauth::catalogue;
use crate::sealing::Keyring;
use crate::simulator::{Simulator, SimulatorOptions};
use crate::store::FileStore;

/// The client the simulator knows; its secret opens nothing else.
const CLIENT: (&str, &str) = ("tokenhive", "simulator-secret");

/// Everything that runs during the demo.
pub(super) struct World {
    pub(super) simulator: Simulator,
    pub(super) app: App,
    pub(super) store_path: PathBuf,
    folder: TempDir,
}

impl World {
    pub(super) async fn start(args: &DemoArgs) -> anyhow::Result<Self> {
        let options = SimulatorOptions {
            access_token_lifetime: args.lifetime,
            latency: args.latency,
            users: args.sessions,
            ..SimulatorOptions::strict()
        };
        let simulator = Simulator::start(options).await.context("cannot listen on 127.0.0.1")?;
        let folder = tempfile::Builder::new()
            .prefix("tokenhive-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let store_path = folder.path().join("tokens.redb");
        let provider = catalogue::generic(
            PROVIDER,
            CLIENT.0,
            simulator.authorization_endpoint(),
            simulator.token_endpoint(),
        )
        .client_secret(CLIENT.1)
        .redirect_url("http://127.0.0.1:9/callback");
        let hive = TokenHive::builder()
            .provider(provider)
            .store(FileStore::open(&store_path)?)
            .keyring(Keyring::generate())
            .concurrent_exchanges(CONCURRENT_EXCHANGES as usize)
            .start()
            .await?;
        let app = App::new(hive, &simulator)?;
        Ok(Self { simulator, app, store_path, folder })
    }

    /// Stops everything and removes the folder.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.app.hive.shutdown().await;
        self.simulator.shutdown().await;
        let folder = self.folder.path().display().to_string();
        self.folder.close().with_context(|| format!("cannot remove {folder}; delete it by hand"))
    }
}
