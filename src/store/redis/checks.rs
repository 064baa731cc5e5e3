//! Whether a server may be trusted with sessions, from what it says of itself.

use crate::store::StoreError;
use crate::store::redis::options::{RedisOptions, refused};

/// What a master says of itself (`INFO`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ServerInfo {
    /// Drawn anew at every start of the server.
    pub(super) run_id: String,
    version: (u32, u32),
    role: String,
    pub(super) replicas: u32,
    /// `None` where it does not say.
    append_only: Option<bool>,
    eviction: Option<String>,
}

impl ServerInfo {
    pub(super) fn parse(info: &str) -> Self {
        let mut seen = Self::default();
        for line in info.lines() {
            let Some((name, value)) = line.trim_end().split_once(':') else { continue };
            match name {
                "redis_version" => seen.version = version(value),
                "run_id" => value.clone_into(&mut seen.run_id),
                "role" => value.clone_into(&mut seen.role),
                // One that is still being filled confirms nothing.
                _ if name.starts_with("slave") && value.contains("state=online") => {
                    seen.replicas += 1;
                }
                "aof_enabled" => seen.append_only = Some(value == "1"),
                "maxmemory_policy" => seen.eviction = Some(value.to_owned()),
                _ => {}
            }
        }
        seen
    }

    pub(super) fn is_master(&self) -> bool {
        self.role == "master"
    }

    /// Refuses what cannot do what is needed.
    pub(super) fn check_version(&self) -> Result<(), StoreError> {
        let (major, minor) = self.version;
        if major < 7 {
            let problem = format!("the server is Redis {major}.{minor}");
            return Err(refused(
                &problem,
                "7.0 or newer is needed (sharded pub/sub, script effects)",
            ));
        }
        Ok(())
    }

    /// Refuses what would lose sessions in silence.
    pub(super) fn check_settings(&self, options: &RedisOptions) -> Result<(), StoreError> {
        if let Some(policy) = self.eviction.as_deref().filter(|policy| *policy != "noeviction")
            && !options.allow_eviction
        {
            let problem = format!(
                "the server drops keys when its memory is full (maxmemory-policy {policy})"
            );
            let remedy = "set maxmemory-policy noeviction (CONFIG SET maxmemory-policy noeviction, and in \
                          redis.conf), or accept losing sessions with allow_eviction";
            return Err(refused(&problem, remedy));
        }
        if self.append_only == Some(false) && !options.allow_data_loss {
            let remedy = "set appendonly yes (CONFIG SET appendonly yes, and in redis.conf), or accept \
                          losing sessions at its next restart with allow_data_loss";
            return Err(refused("the server does not write its data down (appendonly no)", remedy));
        }
        Ok(())
    }

    /// What an operator should know although it works.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.replicas == 0 {
            notes.push(
                "Redis has no replica: if its disk is lost, so are the sessions no running node remembers; \
                 add a replica and set min-replicas-to-write 1"
                    .to_owned(),
            );
        }
        if self.append_only == Some(false) {
            notes.push("Redis does not write its data down; set appendonly yes".to_owned());
        }
        if self.eviction.as_deref().is_some_and(|policy| policy != "noeviction") {
            notes.push(
                "Redis drops sessions when its memory is full; set maxmemory-policy noeviction"
                    .to_owned(),
            );
        }
        if self.append_only.is_none() || self.eviction.is_none() {
            notes.push(
                "Redis does not say whether it writes its data down and keeps every key; make sure of \
                 appendonly yes and maxmemory-policy noeviction"
                    .to_owned(),
            );
        }
        notes
    }
}

fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::ServerInfo;
    use crate::store::redis::RedisOptions;

    fn info(version: &str, append_only: &str, policy: &str, replicas: u32) -> ServerInfo {
        let online: String = (0..replicas)
            .map(|number| format!("slave{number}:ip=h,port=1,state=online,offset=1,lag=0\r\n"))
            .collect();
        ServerInfo::parse(&format!(
            "# Server\r\nredis_version:{version}\r\nrun_id:abc\r\n# Replication\r\nrole:master\r\n\
             connected_slaves:{replicas}\r\n{online}aof_enabled:{append_only}\r\nmaxmemory_policy:{policy}\r\n"
        ))
    }

    #[test]
    fn a_server_that_would_lose_sessions_is_refused_with_what_to_set() {
        let strict = RedisOptions::new("redis://h");
        let cases = [
            (info("6.2.7", "1", "noeviction", 1), "7.0 or newer"),
            (info("7.0.15", "0", "noeviction", 1), "appendonly yes"),
            (info("7.2.4", "1", "allkeys-lru", 1), "maxmemory-policy noeviction"),
        ];
        for (server, remedy) in cases {
            let checked = server.check_version().and_then(|()| server.check_settings(&strict));
            let error = checked.unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
        }
        assert!(info("7.0.15", "1", "noeviction", 0).check_settings(&strict).is_ok());
        assert!(info("10.1.0", "1", "noeviction", 1).check_version().is_ok());
    }

    #[test]
    fn what_was_accepted_is_still_told() {
        let lax = strict_but_for_everything();
        let server = info("7.0.15", "0", "volatile-ttl", 0);

        assert!(server.check_settings(&lax).is_ok());
        assert_eq!(server.notes().len(), 3);
        assert_eq!(info("7.0.15", "1", "noeviction", 2).notes(), Vec::<String>::new());
        assert_eq!(info("7.0.15", "1", "noeviction", 0).notes().len(), 1);
        let syncing = ServerInfo::parse("slave0:ip=h,port=1,state=wait_bgsave,offset=0,lag=0");
        assert_eq!(syncing.replicas, 0, "it confirms nothing yet");
        assert_eq!(
            ServerInfo::parse("redis_version:7.4.0\r\nslave0:state=online").notes().len(),
            1
        );
    }

    fn strict_but_for_everything() -> RedisOptions {
        RedisOptions::new("redis://h").allow_data_loss().allow_eviction()
    }
}
