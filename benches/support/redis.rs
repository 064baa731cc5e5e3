//! A `redis-server` of a bench's own, on a free port of loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult};
use tempfile::TempDir;

/// Asked so often whether it is up, with a pause before each time.
const TRIES: usize = 500;
const PAUSE: Duration = Duration::from_millis(20);

/// As a deployment has it: every write is appended to a file.
pub const APPENDING: &[&str] = &["--appendonly", "yes"];

/// A server with its data in a folder of its own. Both go when it is dropped.
pub struct Server {
    child: Child,
    client: Client,
    url: String,
    #[expect(dead_code, reason = "held for its drop")]
    folder: TempDir,
}

impl Server {
    /// Starts one with further settings as on its command line.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder for the server");
        let port = free_port().to_string();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"])
            .arg(folder.path())
            .args(settings)
            .stdout(Stdio::null())
            .spawn()
            .expect("this bench needs redis-server 7 or newer on the PATH; install that package");
        let url = format!("redis://127.0.0.1:{port}");
        let client = Client::open(url.as_str()).expect("a plain address");
        let server = Self { child, client, url, folder };
        for _ in 0..TRIES {
            if server.connect().await.is_ok() {
                return server;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("redis-server does not answer on port {port}");
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection as the `redis` crate makes it by default.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.connect().await.expect("the server is up")
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection().await
    }

    /// Deletes everything.
    pub async fn empty(&self) {
        let emptied = redis::cmd("FLUSHALL").query_async(&mut self.connection().await).await;
        emptied.expect("the server is up")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}
