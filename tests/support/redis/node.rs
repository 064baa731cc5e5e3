//! One server of ours, whichever way it runs: given a port, started, seen to answer.

use super::container::{Container, FOLDER, INNER_PID, INNER_PORT, Network};
use super::launch::{Launch, Role, SENTINEL_FILE};
use super::port::Port;
use super::process::{self, Folder, Process};
use super::way::Way;
use super::{PATIENCE, PAUSE, connect, fields, until};

/// How many ports are tried before something else must be wrong.
const TRIES: usize = 5;

/// A server that runs or has ended.
pub struct Node {
    way: Way,
    launch: Launch,
    // Before the port, which is given back when nobody listens there any more.
    body: Body,
    port: Port,
}

enum Body {
    Container(Box<Container>),
    // The server before its folder, which it may still be writing to.
    Process { running: Option<Process>, folder: Folder },
}

impl Node {
    /// Starts a server and waits until it answers.
    pub async fn start(way: Way, launch: Launch) -> Self {
        let mut reasons = Vec::new();
        for _ in 0..TRIES {
            let port = Port::free();
            match Body::begin(way, &launch, port.number()).await {
                Ok(body) => return Self { way, launch, body, port },
                // Somebody may have taken the port in between; there are others.
                Err(reason) => reasons.push(reason),
            }
        }
        panic!("no Redis starts ({way:?}): {}", reasons.join("\n"));
    }

    pub fn url(&self) -> String {
        url(self.port())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn container(&self) -> Option<&str> {
        match &self.body {
            Body::Container(container) => Some(container.name()),
            Body::Process { .. } => None,
        }
    }

    pub async fn pause(&self) {
        match &self.body {
            Body::Container(container) => container.pause().await,
            Body::Process { running, .. } => running.as_ref().expect(ENDED).pause(),
        }
    }

    pub async fn resume(&self) {
        match &self.body {
            Body::Container(container) => container.resume().await,
            Body::Process { running, .. } => running.as_ref().expect(ENDED).resume(),
        }
    }

    /// Kills it, if it still runs.
    pub async fn kill(&mut self) {
        match &mut self.body {
            Body::Container(container) => container.kill().await,
            Body::Process { running, .. } => drop(running.take()),
        }
    }

    /// Has it end in order, if it still runs.
    pub async fn end(&mut self) {
        match &mut self.body {
            Body::Container(container) => container.end().await,
            Body::Process { running, .. } => {
                let Some(mut process) = running.take() else { return };
                process.resume();
                process.end();
                until("Redis has ended", async || (!process.is_alive()).then_some(())).await;
            }
        }
    }

    /// Starts it after it has ended, on the same port.
    pub async fn start_again(&mut self) {
        let port = self.port();
        match &mut self.body {
            Body::Container(container) => container.start_again().await,
            Body::Process { folder, running } => {
                let args = self.launch.on_loopback(port, folder.path());
                *running = Some(Process::start(folder.path(), &args).unwrap());
            }
        }
        self.body.until_ready(port).await.unwrap();
    }

    /// Starts another one in its place after it has ended.
    pub async fn start_afresh(&mut self) {
        self.body = Body::begin(self.way, &self.launch, self.port()).await.unwrap();
    }
}

const ENDED: &str = "the server was not ended before";

impl Body {
    async fn begin(way: Way, launch: &Launch, port: u16) -> Result<Self, String> {
        let mut body = match way {
            Way::Container => Self::Container(Box::new(in_container(launch, port).await?)),
            Way::Process => as_process(launch, port).map_err(|error| error.to_string())?,
        };
        body.until_ready(port).await?;
        Ok(body)
    }

    /// Waits until this very server answers, not another one on its port.
    async fn until_ready(&mut self, port: u16) -> Result<(), String> {
        let own = self.process_id();
        let ready = async {
            while self.is_alive().await {
                if own.is_some() && answering(port).await == own {
                    return true;
                }
                tokio::time::sleep(PAUSE).await;
            }
            false
        };
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("it ended on its own:\n{}", self.log().await)),
            Err(_) => panic!("Redis runs and does not answer:\n{}", self.log().await),
        }
    }

    async fn is_alive(&mut self) -> bool {
        match self {
            Self::Container(container) => container.is_alive().await,
            Self::Process { running, .. } => running.as_mut().is_some_and(Process::is_alive),
        }
    }

    /// As the server itself sees it.
    fn process_id(&self) -> Option<u32> {
        match self {
            Self::Container(_) => Some(INNER_PID),
            Self::Process { running, .. } => running.as_ref().map(Process::id),
        }
    }

    async fn log(&self) -> String {
        match self {
            Self::Container(container) => container.log().await,
            Self::Process { folder, .. } => process::log(folder.path()),
        }
    }
}

async fn in_container(launch: &Launch, port: u16) -> Result<Container, String> {
    let network = match launch.role {
        Role::Alone => Network::Forwarded,
        Role::Peer | Role::Sentinel(_) => Network::Host,
    };
    let args = match network {
        Network::Forwarded => launch.behind_a_forward(INNER_PORT),
        Network::Host => launch.on_loopback(port, FOLDER.as_ref()),
    };
    let file = match &launch.role {
        Role::Sentinel(text) => Some((SENTINEL_FILE, text.as_str())),
        Role::Alone | Role::Peer => None,
    };
    Container::start(network, port, args, file).await
}

fn as_process(launch: &Launch, port: u16) -> std::io::Result<Body> {
    let folder = Folder::new()?;
    if let Role::Sentinel(text) = &launch.role {
        std::fs::write(folder.path().join(SENTINEL_FILE), text)?;
    }
    let process = Process::start(folder.path(), &launch.on_loopback(port, folder.path()))?;
    Ok(Body::Process { folder, running: Some(process) })
}

/// The id of the process that answers there, once it has loaded its data.
async fn answering(port: u16) -> Option<u32> {
    let mut connection = connect(&url(port)).await.ok()?;
    redis::cmd("PING").query_async::<()>(&mut connection).await.ok()?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
    fields(&info).get("process_id")?.parse().ok()
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}
