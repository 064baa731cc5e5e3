//! For tests: a provider on loopback that answers with exactly the bytes it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::model::{ManualClock, Timestamp};
use crate::oauth::{HttpClient, HttpOptions};

/// What the server does with one connection, after it has read the request.
pub(crate) enum Step {
    /// Writes these bytes, then closes the connection.
    Say(String),
    /// Writes these bytes, then keeps the connection open and says no more.
    Stall(String),
}

impl Step {
    /// An answer with a status line, a JSON body and whatever headers are given.
    pub(crate) fn json(status: &str, headers: &[&str], body: &str) -> Self {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        Self::Say(format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n{headers}\r\n{body}"
        ))
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) line: String,
    head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The server: one step of its script for each connection, in the order they come.
pub(crate) struct ScriptedServer {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl ScriptedServer {
    pub(crate) async fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, script, Arc::clone(&received)));
        Self { address, received }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far; each came over a connection of its own.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// A client whose clock stands at 1 000 000 ms.
pub(crate) fn test_client() -> HttpClient {
    let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
    HttpClient::new(&HttpOptions::default(), Arc::new(clock)).unwrap()
}

/// An address where nobody listens.
pub(crate) async fn deserted_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn serve(listener: TcpListener, script: Vec<Step>, received: Arc<Mutex<Vec<Received>>>) {
    let mut hanging = Vec::new();
    let mut script = script.into_iter();
    while let Ok((mut connection, _)) = listener.accept().await {
        let Some(request) = read_request(&mut connection).await else { continue };
        received.lock().unwrap().push(request);
        match script.next() {
            // The client may have hung up already; that is for the test to notice.
            Some(Step::Say(text)) => drop(connection.write_all(text.as_bytes()).await),
            Some(Step::Stall(text)) => {
                drop(connection.write_all(text.as_bytes()).await);
                hanging.push(connection);
            }
            None => {}
        }
    }
}

async fn read_request(connection: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let line = head.lines().next()?.to_owned();
            let request = Received { line, head: head.to_owned(), body: body.to_owned() };
            let length = request.header("content-length").map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return Some(request);
            }
        }
        let mut chunk = [0; 4096];
        match connection.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
