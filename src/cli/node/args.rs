//! What a node is told when it is started.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::model::{ReuseClass, Secret};

/// Run one node of a fleet, steered by JSON lines. For tests of several processes; not for use.
///
/// Each line on stdin is a request with an `id`, each line on stdout the reply to one, in any order. The
/// first line says that the node is ready. Tokens are told as fingerprints only. Everything that is not set
/// is as in a hive of its own. The keyring is read from `TOKENHIVE_KEYS`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Told to the simulator with every token request.
    #[arg(long)]
    pub(super) name: String,
    /// Address of Redis: one server, Sentinels or a cluster.
    #[arg(long)]
    pub(super) redis: Secret,
    /// What its keys begin with.
    #[arg(long)]
    pub(super) prefix: String,
    /// A provider simulator, as ID=CLASS@URL, the class being N, M, I, G:SECONDS, S or R. Those of class S
    /// and R end an access token when it is refreshed. May be repeated.
    #[arg(long = "provider", required = true)]
    pub(super) providers: Vec<Simulated>,
    /// Folder of the journal, or `off`.
    #[arg(long)]
    pub(super) journal: Journal,
    /// How often the due index is asked.
    #[arg(long)]
    pub(super) poll_ms: Option<u64>,
    /// After this long without an answer a request counts as dead.
    #[arg(long)]
    pub(super) dead_after_ms: Option<u64>,
    /// How long nothing begins on a Redis that may have lost writes.
    #[arg(long)]
    pub(super) settle_ms: Option<u64>,
    /// How long a node counts as alive after it was last heard of.
    #[arg(long)]
    pub(super) node_lease_ms: Option<u64>,
    /// How long the provider may take.
    #[arg(long)]
    pub(super) provider_timeout_ms: Option<u64>,
    /// Waits after failures, as FLOOR,CEILING.
    #[arg(long)]
    pub(super) backoff_ms: Option<Between>,
    /// How long one call to the store may take.
    #[arg(long)]
    pub(super) store_deadline_ms: Option<u64>,
    /// How long an unverified token is handed out.
    #[arg(long)]
    pub(super) max_unverified_ms: Option<u64>,
}

/// A provider simulator somewhere else.
#[derive(Debug, Clone)]
pub(super) struct Simulated {
    pub(super) id: String,
    pub(super) class: ReuseClass,
    pub(super) url: String,
}

impl FromStr for Simulated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=').and_then(|(id, rest)| {
            let (class, url) = rest.split_once('@')?;
            Some((id.to_owned(), class.parse::<ReuseClass>(), url.to_owned()))
        });
        let (id, class, url) = parts.ok_or("write it like sim=R@http://127.0.0.1:9400")?;
        Ok(Self { id, class: class.map_err(|error| error.to_string())?, url })
    }
}

/// Where answers are written down before they reach the store.
#[derive(Debug, Clone)]
pub(super) enum Journal {
    Off,
    Folder(PathBuf),
}

impl FromStr for Journal {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "off" { Self::Off } else { Self::Folder(text.into()) })
    }
}

/// Two numbers of milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Between {
    pub(super) floor: u64,
    pub(super) ceiling: u64,
}

impl FromStr for Between {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once(',').and_then(|(floor, ceiling)| {
            Some(Self { floor: floor.parse().ok()?, ceiling: ceiling.parse().ok()? })
        });
        numbers.ok_or("write it like 50,400")
    }
}
