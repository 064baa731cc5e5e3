//! What a server is to be, and the command line that makes it so.

use std::path::Path;

const DEFAULTS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--maxmemory-policy",
    "noeviction",
    "--save",
    "",
];

/// The sentinel's configuration, in its folder.
pub const SENTINEL_FILE: &str = "sentinel.conf";

/// What a server is to be.
#[derive(Debug, Clone)]
pub struct Launch {
    pub role: Role,
    args: Vec<String>,
}

#[derive(Debug, Clone)]
pub enum Role {
    /// Only clients look for it.
    Alone,
    /// Other servers have to find it where clients do.
    Peer,
    /// A sentinel that begins with this configuration and rewrites it.
    Sentinel(String),
}

impl Launch {
    pub fn alone(args: &[&str]) -> Self {
        Self { role: Role::Alone, args: words(&[DEFAULTS, args].concat()) }
    }

    pub fn peer(args: &[&str]) -> Self {
        Self { role: Role::Peer, args: words(&[DEFAULTS, args].concat()) }
    }

    pub fn sentinel(configuration: String) -> Self {
        Self { role: Role::Sentinel(configuration), args: words(&["--sentinel"]) }
    }

    /// The arguments of a server on `port` of 127.0.0.1 that keeps its data in `folder`.
    pub fn on_loopback(&self, port: u16, folder: &Path) -> Vec<String> {
        let (port, folder) = (port.to_string(), folder.to_str().expect("a plain path"));
        self.listening(&["--port", &port, "--bind", "127.0.0.1", "--dir", folder])
    }

    /// The arguments of a server that has a network of its own.
    pub fn behind_a_forward(&self, port: u16) -> Vec<String> {
        let port = port.to_string();
        self.listening(&["--port", &port, "--bind", "0.0.0.0", "--protected-mode", "no"])
    }

    fn listening(&self, listen: &[&str]) -> Vec<String> {
        let file = matches!(self.role, Role::Sentinel(_)).then(|| SENTINEL_FILE.to_owned());
        file.into_iter().chain(words(listen)).chain(self.args.iter().cloned()).collect()
    }
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|&word| word.to_owned()).collect()
}
