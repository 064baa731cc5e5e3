//! A node process: started, asked, killed, halted, and started again with the same journal.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use crate::fleet::eventually;

/// How long a node may take to start, to reply, or to stop.
const PATIENCE: Duration = Duration::from_secs(40);

/// What nodes log to their files, unless the environment says otherwise.
const LOG: &str = "TOKENHIVE_FLEET_LOG";
const LOG_LEVEL: &str = "warn,tokenhive::actors=info";

/// The keyring every node of every fleet has.
const KEYS: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How a node is started, each time in the same way.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub name: String,
    pub arguments: Vec<String>,
    pub log: PathBuf,
}

/// A node that runs, is halted, or has ended. Dropping it kills it.
pub struct Node {
    recipe: Recipe,
    running: Option<Running>,
}

/// What went wrong, in the node's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: String,
    pub message: String,
}

struct Running {
    child: Child,
    stdin: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    waiting: Waiting,
}

/// Who waits for which reply; `None` once the node has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

impl Node {
    pub async fn start(recipe: Recipe) -> Self {
        Self::start_with(recipe, &[]).await
    }

    /// Starts it with more in its environment.
    pub async fn start_with(recipe: Recipe, environment: &[(&str, &str)]) -> Self {
        let running = Running::start(&recipe, environment).await;
        Self { recipe, running: Some(running) }
    }

    pub fn name(&self) -> &str {
        &self.recipe.name
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Sends a request and waits for the reply.
    pub async fn ask(&self, request: Value) -> Result<Value, Refusal> {
        let asked = self.running().ask(request.clone());
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(reply)) => reply,
            Ok(None) => Err(Refusal { kind: "ended".into(), message: "the node ended".into() }),
            Err(_) => panic!("{} does not reply to {request}", self.name()),
        }
    }

    /// Asks until the node has done it: on a busy machine its store may not answer in time.
    pub async fn insist(&self, request: Value) -> Value {
        let what = format!("{} has done {}", self.name(), request["op"]);
        eventually(&what, async || self.ask(request.clone()).await.ok()).await.0
    }

    pub async fn token(&self, session: &str) -> Result<Value, Refusal> {
        self.ask(json!({"op": "token", "session": session})).await
    }

    /// Asks for a token that is newer than the one that stands.
    pub async fn refresh(&self, session: &str) -> Result<Value, Refusal> {
        self.ask(json!({"op": "token", "session": session, "force": true})).await
    }

    /// Asks for a newer token and gives up waiting at once; an exchange that it began goes on.
    pub async fn begin_to_refresh(&self, session: &str) {
        let request = json!({"op": "token", "session": session, "force": true, "deadline_ms": 50});
        let _ = self.ask(request).await;
    }

    /// How the session stands in the store; null if there is none.
    pub async fn describe(&self, session: &str) -> Result<Value, Refusal> {
        self.ask(json!({"op": "describe", "session": session})).await
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().await.unwrap();
        }
    }

    /// Waits until it ends by itself, by the signal it sent itself.
    pub async fn until_killed(&mut self) {
        let mut running = self.running.take().expect("the node was started");
        let status = tokio::time::timeout(PATIENCE, running.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} is not killed", self.name())).unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(9), "{} ended otherwise: {status}\n{}", self.name(), self.tail());
    }

    /// Halts it where it is (SIGSTOP).
    pub fn halt(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Starts it again, as it was started before.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.running = Some(Running::start(&self.recipe, &[]).await);
    }

    /// Has it stop in good order: exchanges in flight finish.
    pub async fn shut_down(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let stopped = async {
            let _ = running.ask(json!({"op": "shutdown"})).await;
            running.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, stopped).await;
        let status = status.unwrap_or_else(|_| panic!("{} does not stop", self.name()));
        assert!(status.success(), "{}: {status}\n{}", self.name(), self.tail());
    }

    /// The last of what it logged.
    pub fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.recipe.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap_or_else(|| panic!("{} was killed", self.name()))
    }
}

impl Running {
    async fn start(recipe: &Recipe, environment: &[(&str, &str)]) -> Self {
        let log = File::options().create(true).append(true).open(&recipe.log).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tokenhive"))
            .arg("node")
            .args(&recipe.arguments)
            .env("TOKENHIVE_KEYS", KEYS)
            .env("TOKENHIVE_LOG", std::env::var(LOG).unwrap_or_else(|_| LOG_LEVEL.into()))
            .env_remove("TOKENHIVE_FAULT")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = tokio::sync::Mutex::new(child.stdin.take().expect("piped"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let first = first.unwrap_or_else(|_| panic!("{} does not start", recipe.name)).unwrap();
        let ready = first.as_deref().and_then(|line| serde_json::from_str::<Value>(line).ok());
        if ready.is_none_or(|line| line.get("ready").is_none()) {
            let log = std::fs::read_to_string(&recipe.log).unwrap_or_default();
            panic!("{} does not start: {first:?}\n{log}", recipe.name);
        }
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let replies = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                deliver(&replies, &line);
            }
            replies.lock().unwrap().take();
        });
        Self { child, stdin, next: AtomicU64::new(1), waiting }
    }

    /// `None` if the node ended before it replied.
    async fn ask(&self, mut request: Value) -> Option<Result<Value, Refusal>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        request["id"] = json!(id);
        let (sender, reply) = oneshot::channel();
        self.waiting.lock().unwrap().as_mut()?.insert(id, sender);
        let line = format!("{request}\n");
        self.stdin.lock().await.write_all(line.as_bytes()).await.ok()?;
        let mut reply = reply.await.ok()?;
        if let Some(error) = reply.get("error") {
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            return Some(Err(Refusal { kind: text("kind"), message: text("message") }));
        }
        Some(Ok(reply["ok"].take()))
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it was not waited for");
        let id = Pid::from_raw(i32::try_from(id).expect("a process id")).expect("not zero");
        kill_process(id, signal).unwrap();
    }
}

fn deliver(waiting: &Waiting, line: &str) {
    let reply: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("a reply: {line}"));
    let id = reply["id"].as_u64().unwrap_or_else(|| panic!("not understood: {line}"));
    let sender = waiting.lock().unwrap().as_mut().and_then(|waiting| waiting.remove(&id));
    // Whoever asked may have given up.
    let _ = sender.map(|sender| sender.send(reply));
}
