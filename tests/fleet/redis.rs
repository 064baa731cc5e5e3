//! A `redis-server` of a test's own.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub struct RedisServer {
    folder: TempDir,
    port: u16,
    url: String,
    child: Option<Child>,
}

impl RedisServer {
    pub async fn own(_args: &[&str]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let url = format!("redis://127.0.0.1:{port}");
        let mut server = Self { folder, port, url, child: None };
        server.launch().await;
        server
    }
    async fn launch(&mut self) {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..1000 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no redis");
    }
    pub fn url(&self) -> &str {
        &self.url
    }
    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id().unwrap();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }
    pub async fn pause(&self) {
        self.signal(Signal::STOP);
    }
    pub async fn resume(&self) {
        self.signal(Signal::CONT);
    }
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }
    pub async fn restart(&mut self) {
        self.kill().await;
        self.launch().await;
    }
}
