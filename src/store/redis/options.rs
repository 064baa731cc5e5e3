//! Where Redis is and how it is used.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::model::Secret;
use crate::store::StoreError;

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// Where Redis is and how it is used. [`RedisOptions::new`] takes the address; the rest has defaults.
///
/// | address | for |
/// |---|---|
/// | `redis://[user:password@]host[:port][/database]` | one server; `rediss://` with TLS |
/// | `redis+sentinel://[user:password@]host[:port],host…/service[/database]` | the master that Sentinels name; `rediss+sentinel://` |
/// | `redis+cluster://[user:password@]host[:port],host…` | a cluster, found from any of its nodes; `rediss+cluster://` |
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) url: Secret,
    pub(super) prefix: String,
    pub(super) deadline: Duration,
    pub(super) confirm_within: Duration,
    pub(super) settle_for: Duration,
    pub(super) node_lease: Duration,
    pub(super) sentinel_password: Option<Secret>,
    pub(super) allow_data_loss: bool,
    pub(super) allow_eviction: bool,
}

impl RedisOptions {
    /// With every default. The address is looked at by [`RedisStore::connect_with`](super::RedisStore::connect_with).
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            prefix: "th:".to_owned(),
            deadline: Duration::from_millis(500),
            confirm_within: Duration::from_millis(50),
            settle_for: Duration::from_secs(5),
            node_lease: Duration::from_secs(15),
            sentinel_password: None,
            allow_data_loss: false,
            allow_eviction: false,
        }
    }

    /// What every key begins with: deployments that share a server differ in it. Default `th:`. Braces are
    /// refused, they would change where a cluster keeps the keys.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long one call may take. Default 500 ms.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long all replicas may take to confirm an exchange whose loss in a failover could end a session
    /// (`WAIT`). Default 50 ms.
    #[must_use]
    pub fn confirm_within(mut self, span: Duration) -> Self {
        self.confirm_within = span;
        self
    }

    /// After a restart or failover nothing begins for this long, while nodes put back what the server may
    /// have lost. Default 5 s.
    #[must_use]
    pub fn settle_for(mut self, span: Duration) -> Self {
        self.settle_for = span;
        self
    }

    /// A node that was not heard of for this long counts as dead, and others look after its share of due
    /// sessions. Default 15 s.
    #[must_use]
    pub fn node_lease(mut self, lease: Duration) -> Self {
        self.node_lease = lease;
        self
    }

    /// The password of the Sentinels themselves, where they have one.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<Secret>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// Accepts a server that forgets everything when it restarts (`appendonly no`). Sessions are lost then
    /// that no running node remembers.
    #[must_use]
    pub fn allow_data_loss(mut self) -> Self {
        self.allow_data_loss = true;
        self
    }

    /// Accepts a server that drops keys when its memory is full (any `maxmemory-policy` but `noeviction`).
    /// It drops sessions.
    #[must_use]
    pub fn allow_eviction(mut self) -> Self {
        self.allow_eviction = true;
        self
    }

    pub(super) fn target(&self) -> Result<Target, StoreError> {
        if self.prefix.contains(['{', '}']) || self.prefix.len() > 64 {
            let remedy = "give it at most 64 characters and no brace";
            return Err(refused("its key prefix is not usable", remedy));
        }
        Target::parse(self.url.expose())
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

pub(super) fn refused(problem: &str, remedy: &str) -> StoreError {
    StoreError::Refused { problem: problem.to_owned(), remedy: remedy.to_owned() }
}

/// An address that was understood.
#[derive(Clone)]
pub(super) enum Target {
    Single(ConnectionInfo),
    Sentinel {
        sentinels: Vec<(String, u16)>,
        service: String,
        tls: bool,
        login: RedisConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

impl Target {
    fn parse(url: &str) -> Result<Self, StoreError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(not_an_address());
        };
        match scheme {
            "redis" | "rediss" => single(url).map(Self::Single),
            "redis+cluster" | "rediss+cluster" => {
                let (login, hosts, path) = parts(rest);
                if !path.trim_matches('/').is_empty() {
                    let remedy = "leave the path away: a cluster has one database";
                    return Err(refused("the cluster's address has a path", remedy));
                }
                let scheme = scheme.trim_end_matches("+cluster");
                let nodes =
                    hosts.split(',').map(|host| single(&format!("{scheme}://{login}{host}")));
                nodes.collect::<Result<_, _>>().map(Self::Cluster)
            }
            "redis+sentinel" | "rediss+sentinel" => sentinel(scheme.starts_with("rediss"), rest),
            _ => Err(not_an_address()),
        }
    }
}

/// The login with its `@`, the hosts, and the path.
fn parts(rest: &str) -> (&str, &str, &str) {
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    (login, hosts, path)
}

fn single(url: &str) -> Result<ConnectionInfo, StoreError> {
    let info = url.into_connection_info().map_err(|_| not_an_address())?;
    let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(login))
}

fn sentinel(tls: bool, rest: &str) -> Result<Target, StoreError> {
    let (login, hosts, path) = parts(rest);
    let mut segments = path.trim_start_matches('/').split('/');
    let service = segments.next().unwrap_or_default().to_owned();
    if service.is_empty() {
        let remedy = "write redis+sentinel://host:port,host:port/service";
        return Err(refused("the Sentinels' address names no service", remedy));
    }
    let database = segments.next().unwrap_or_default();
    // The login and the database are read as those of any other server.
    let master = single(&format!("redis://{login}master/{database}"))?;
    let sentinels = hosts
        .split(',')
        .map(|host| {
            let info = single(&format!("redis://{host}"))?;
            match info.addr() {
                redis::ConnectionAddr::Tcp(name, DEFAULT_PORT) if !host.contains(':') => {
                    Ok((name.clone(), DEFAULT_SENTINEL_PORT))
                }
                redis::ConnectionAddr::Tcp(name, port) => Ok((name.clone(), *port)),
                _ => Err(not_an_address()),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Target::Sentinel { sentinels, service, tls, login: master.redis_settings().clone() })
}

/// Never quotes the address: it may hold a password.
fn not_an_address() -> StoreError {
    let remedy = "write redis://host:port, redis+sentinel://host:port,host:port/service or \
                  redis+cluster://host:port,host:port; rediss for TLS";
    refused("its address is not one of Redis", remedy)
}

#[cfg(test)]
mod tests {
    use super::{RedisOptions, Target};
    use crate::store::StoreError;

    fn target(url: &str) -> Result<Target, StoreError> {
        RedisOptions::new(url).target()
    }

    #[test]
    fn every_kind_of_address_is_understood() {
        let Ok(Target::Single(info)) = target("rediss://u:p%40ss@db.example:7000/3") else {
            panic!("one server");
        };
        assert_eq!(info.addr().to_string(), "db.example:7000");
        assert_eq!(info.redis_settings().db(), 3);
        let url = "redis+sentinel://:secret@a,b:7,[::1]:8/main/2";
        let Ok(Target::Sentinel { sentinels, service, tls, login }) = target(url) else {
            panic!("Sentinels");
        };
        let expected = [("a".to_owned(), 26379), ("b".to_owned(), 7), ("::1".to_owned(), 8)];
        assert_eq!((sentinels.as_slice(), service.as_str(), tls), (&expected[..], "main", false));
        assert_eq!(login.db(), 2);
        assert!(
            matches!(target("redis+cluster://u:p@a:1,b:2"), Ok(Target::Cluster(nodes)) if nodes.len() == 2)
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_quoting_it() {
        for url in [
            "",
            "hunter2",
            "http://hunter2@host",
            "redis://",
            "redis+sentinel://:hunter2@host",
            "redis+cluster://:hunter2@host/3",
            "redis://:hunter2@host:notaport",
        ] {
            let error = target(url).map(|_| ()).unwrap_err();
            assert!(matches!(error, StoreError::Refused { .. }), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(RedisOptions::new("redis://h").prefix("a{b").target().is_err());
        assert!(!format!("{:?}", RedisOptions::new("redis://:hunter2@h")).contains("hunter2"));
    }
}
