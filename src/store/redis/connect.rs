//! Makes connections to Redis: finds the master, looks at what it is, subscribes, and only then lets calls
//! through.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, ProtocolVersion,
    PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisResult, TlsMode, Value,
};

use crate::store::redis::checks::ServerInfo;
use crate::store::redis::error::{not_understood, translate, unavailable};
use crate::store::redis::keys::Bucket;
use crate::store::redis::link::{Link, Live, Wire};
use crate::store::redis::options::{Target, refused};
use crate::store::redis::reply;
use crate::store::redis::scripts::ENTER;
use crate::store::{News, Outage, StoreError};

/// How long one attempt to connect may take, look at the server included.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a cluster's client waits for one server, so that one that is nowhere leaves time for the others.
const DIAL_WITHIN: Duration = Duration::from_secs(1);
/// How long all masters of a cluster may take to say what they are; then one speaks for all.
pub(super) const LOOK_WITHIN: Duration = Duration::from_millis(500);
/// Masters asked where not all of them answer.
const ASKED_AT_RANDOM: usize = 8;
/// The pause between attempts, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, StoreError>;

/// The number of the first connection.
const FIRST: u32 = 1;

/// Connects for the first time.
pub(super) async fn first(link: &Arc<Link>, target: &Target) -> Outcome<()> {
    attempt(link, target, FIRST).await
}

/// Makes a new connection whenever the one in use is lost, until the store is closed.
pub(super) async fn keep(link: Arc<Link>, target: Target) {
    let mut serial = FIRST;
    loop {
        tokio::select! {
            () = link.closing.cancelled() => return,
            () = link.broken.notified() => {}
        }
        tracing::warn!("the connection to Redis is lost");
        let mut pause = FIRST_PAUSE;
        while link.live.load().is_none() {
            serial = next(serial);
            match attempt(&link, &target, serial).await {
                Ok(()) => {
                    tracing::info!("connected to Redis again");
                    // A cluster's masters may be others now.
                    link.silent.notify_one();
                }
                Err(error) => {
                    link.set_outage(Some(error));
                    tokio::select! {
                        () = link.closing.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Neither 0 nor the largest: [`Link`] gives both a meaning.
fn next(serial: u32) -> u32 {
    if serial >= u32::MAX - 1 { FIRST + 1 } else { serial + 1 }
}

async fn attempt(link: &Arc<Link>, target: &Target, serial: u32) -> Outcome<()> {
    let attempt = establish(link, target, serial);
    tokio::time::timeout(CONNECT_WITHIN, attempt).await.unwrap_or_else(|_| {
        let detail = format!("no connection within {} ms", CONNECT_WITHIN.as_millis());
        Err(unavailable(Outage::Disconnected, detail))
    })
}

async fn establish(link: &Arc<Link>, target: &Target, serial: u32) -> Outcome<()> {
    let (mut wire, confirming) = dial(link, target, serial).await?;
    let seen = look(link, &mut wire).await?;
    for server in &seen.masters {
        if !server.is_master() {
            return Err(unavailable(Outage::ReadOnly, "it is a replica"));
        }
        server.check_version()?;
        // A node that starts is not to start there. One that runs must not stop for it.
        if serial == FIRST {
            server.check_settings(&link.options)?;
        }
    }
    may_read_and_listen(link, &mut wire, serial).await?;
    take_note(link, &seen);
    let settling = match &link.server_clock {
        Some(_) => greet(link, &mut wire, &seen.masters).await?,
        None => false,
    };
    // In a cluster a shard may be gone while the others answer: each bucket's next reader subscribes.
    if link.server_clock.is_some() {
        let wanted = link.feed.wanted();
        let subscribed = wire.clone().subscribe(&link.names, &wanted).await;
        subscribed.map_err(|error| explain(link, &error))?;
        link.feed.set_subscribed(&wanted, serial);
    }
    link.live.store(Some(Arc::new(Live { wire, confirming, serial })));
    link.set_outage(None);
    link.feed.missed();
    if settling {
        link.feed.tell(News::RolledBack);
    }
    Ok(())
}

/// What its user may not do is said at the start, not by the first reader. In a cluster a shard may be gone,
/// and nobody is to wait for it.
async fn may_read_and_listen(link: &Link, wire: &mut Wire, serial: u32) -> Outcome<()> {
    if link.server_clock.is_none() {
        return Ok(());
    }
    let mut read = redis::cmd("MGET");
    read.arg(link.names.server());
    wire.command(&read).await.map_err(|error| explain(link, &error))?;
    let any: Vec<Bucket> = Bucket::all().take(1).collect();
    let subscribed = wire.clone().subscribe(&link.names, &any).await;
    subscribed.map_err(|error| explain(link, &error))?;
    link.feed.set_subscribed(&any, serial);
    Ok(())
}

/// What to do about a server that lets nobody in, or this user do nothing: waiting does not help.
fn explain(link: &Link, error: &RedisError) -> StoreError {
    let code = error.code().unwrap_or_default();
    if error.kind() == ErrorKind::AuthenticationFailed || matches!(code, "WRONGPASS" | "NOAUTH") {
        return refused(
            "the server does not accept this user and password",
            "write those it knows into the address: redis://user:password@host:port",
        );
    }
    if code == "NOPERM" {
        let prefix = &link.options.prefix;
        let problem = format!("its user may not do what is needed ({})", translate(error));
        let remedy = format!(
            "ACL SETUSER <user> ~{prefix}* &{prefix}* +@all -@admin, and ACL SAVE to keep it"
        );
        return refused(&problem, &remedy);
    }
    translate(error)
}

/// Tells operators what they should know, once.
pub(super) fn take_note(link: &Link, seen: &Seen) {
    let replicas = seen.masters.iter().map(|server| server.replicas).max().unwrap_or(0);
    link.replicas.seen(replicas, seen.all);
    let mut notes: Vec<String> = seen.masters.iter().flat_map(ServerInfo::notes).collect();
    notes.sort();
    notes.dedup();
    if link.set_notes(notes.clone()) {
        for note in notes {
            tracing::warn!("{note}");
        }
    }
}

/// True if this server may have lost writes: it was restarted, or was a replica until a moment ago.
async fn greet(link: &Link, wire: &mut Wire, servers: &[ServerInfo]) -> Outcome<bool> {
    let Some(server) = servers.first() else { return Err(not_understood()) };
    let mut enter = redis::cmd("EVAL");
    let replaced = link.is_another(&server.run_id);
    enter.arg(&ENTER.code).arg(1).arg(link.names.server()).arg(&server.run_id);
    enter.arg(if replaced { "1" } else { "0" });
    let age = match wire.command(&enter).await.map_err(|error| explain(link, &error)) {
        Ok(answer) => Duration::from_millis(reply::number(answer)?),
        // It can be read all the same, and nothing begins there. What others noted nobody knows.
        Err(StoreError::Unavailable { outage: Outage::Full, .. }) => Duration::ZERO,
        Err(error) => return Err(error),
    };
    // Only now: an attempt that fails before this must not make the next one believe that all is as before.
    link.meet(&server.run_id);
    // A node that comes late has its own things to put back, and begins nothing before.
    Ok(settle(link, if replaced { Duration::ZERO } else { age }))
}

/// The servers were seen to be others than before so long ago. True if that is a matter of now.
pub(super) fn settle(link: &Link, age: Duration) -> bool {
    let left = link.options.settle_for.saturating_sub(age);
    if !left.is_zero() {
        link.settle_for(left);
        let wait_ms = left.as_millis();
        tracing::warn!(
            wait_ms,
            "Redis was restarted or failed over: nothing begins for {wait_ms} ms"
        );
    }
    !left.is_zero()
}

/// What masters say of themselves.
pub(super) struct Seen {
    pub(super) masters: Vec<ServerInfo>,
    /// The ids of all that have slots, in a cluster.
    pub(super) owners: BTreeSet<String>,
    /// True if each of them answered.
    pub(super) all: bool,
}

/// Asks every master what it is.
pub(super) async fn look(link: &Link, wire: &mut Wire) -> Outcome<Seen> {
    let info = redis::cmd("INFO");
    let mut all = true;
    let answer = match wire {
        Wire::Single(_) => wire.command(&info).await,
        Wire::Cluster(connection) => {
            let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
            let asked = connection.route_command(info.clone(), everywhere);
            match tokio::time::timeout(LOOK_WITHIN, asked).await {
                Ok(Ok(answer)) => Ok(answer),
                // One of them may be gone while the others answer.
                Ok(Err(_)) | Err(_) => {
                    all = false;
                    any(connection, &info).await
                }
            }
        }
    };
    let texts = match answer.map_err(|error| explain(link, &error))? {
        Value::Map(each) => each.into_iter().map(|(_, text)| text).collect(),
        one => vec![one],
    };
    let masters = texts.into_iter().map(server_info).collect::<Outcome<Vec<_>>>()?;
    let mut owners = BTreeSet::new();
    if let Wire::Cluster(connection) = wire {
        owners = owners_as_told(connection, all).await;
        // Its client asks those it is connected to, and says nothing of the others.
        all = all && !owners.is_empty() && masters.len() >= owners.len();
    }
    Ok(Seen { masters, owners, all })
}

/// The ids of the masters that have slots, as one of them knows; none where nobody says. One is asked if all
/// of them answer, since the list of a large cluster is long.
async fn owners_as_told(connection: &mut ClusterConnection, all: bool) -> BTreeSet<String> {
    let mut nodes = redis::cmd("CLUSTER");
    nodes.arg("NODES");
    let told = if all {
        let one = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
        connection.route_command(nodes, one).await
    } else {
        any(connection, &nodes).await
    };
    match told {
        Ok(Value::VerbatimString { text, .. }) => owners_in(&text),
        Ok(Value::BulkString(bytes)) => owners_in(&String::from_utf8_lossy(&bytes)),
        _ => BTreeSet::new(),
    }
}

/// A line is: id, address, flags, master, ping, pong, epoch, link, slots.
fn owners_in(nodes: &str) -> BTreeSet<String> {
    let is_owner = |fields: &Vec<&str>| {
        let is_master =
            fields.get(2).is_some_and(|flags| flags.split(',').any(|it| it == "master"));
        is_master && fields.get(8).is_some_and(|slots| !slots.starts_with('['))
    };
    let lines = nodes.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.filter(is_owner).map(|fields| fields[0].to_owned()).collect()
}

/// Asks masters at random until one answers.
async fn any(connection: &ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    let asked = (0..ASKED_AT_RANDOM).map(|_| {
        let mut connection = connection.clone();
        async move {
            let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
            connection.route_command(command.clone(), any).await
        }
        .boxed()
    });
    futures_util::future::select_ok(asked).await.map(|(answer, _)| answer)
}

fn server_info(text: Value) -> Outcome<ServerInfo> {
    match text {
        Value::VerbatimString { text, .. } => Ok(ServerInfo::parse(&text)),
        other => {
            let text = reply::bytes(other)?;
            Ok(ServerInfo::parse(&String::from_utf8_lossy(&text)))
        }
    }
}

/// The connection for calls and news, and the one that waits for replicas.
async fn dial(link: &Arc<Link>, target: &Target, serial: u32) -> Outcome<(Wire, Wire)> {
    let pushes = pushes(link, serial);
    let failed = |error: RedisError| explain(link, &error);
    match target {
        Target::Single(info) => {
            let client = Client::open(info.clone()).map_err(failed)?;
            pair(&client, pushes).await.map_err(failed)
        }
        Target::Sentinel { sentinels, service, tls, login } => {
            let client = master(link, sentinels, (service, *tls), login).await?;
            pair(&client, pushes).await.map_err(failed)
        }
        Target::Cluster(nodes) => {
            let cluster = |nodes: &[ConnectionInfo]| {
                ClusterClientBuilder::new(nodes.to_vec())
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(DIAL_WITHIN)
                    .response_timeout(CONNECT_WITHIN)
                    .retries(3)
            };
            let news = cluster(nodes).push_sender(pushes).build().map_err(failed)?;
            let confirming = cluster(nodes).build().map_err(failed)?;
            let (news, confirming) =
                tokio::try_join!(news.get_async_connection(), confirming.get_async_connection())
                    .map_err(failed)?;
            Ok((Wire::Cluster(news), Wire::Cluster(confirming)))
        }
    }
}

async fn pair(
    client: &Client,
    pushes: impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync + 'static,
) -> Result<(Wire, Wire), RedisError> {
    let plain = || {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(None)
    };
    let open = async |config: AsyncConnectionConfig| -> Result<MultiplexedConnection, RedisError> {
        client.get_multiplexed_async_connection_with_config(&config).await
    };
    let (news, confirming) =
        tokio::try_join!(open(plain().set_push_sender(pushes)), open(plain()))?;
    Ok((Wire::Single(news), Wire::Single(confirming)))
}

/// Asks the Sentinels for the master, and the master whether it knows that it is one.
async fn master(
    link: &Link,
    sentinels: &[(String, u16)],
    (service, tls): (&str, bool),
    login: &RedisConnectionInfo,
) -> Outcome<Client> {
    let nodes = sentinels.iter().map(|(host, port)| {
        let mut to_sentinel = RedisConnectionInfo::default();
        if let Some(password) = &link.options.sentinel_password {
            to_sentinel = to_sentinel.set_password(password.expose());
        }
        let (host, port) = (host.clone(), *port);
        let address = if tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        redis::IntoConnectionInfo::into_connection_info(address)
            .map(|info| info.set_redis_settings(to_sentinel))
    });
    let nodes: Vec<ConnectionInfo> =
        nodes.collect::<Result<_, _>>().map_err(|error| translate(&error))?;
    let mut to_master =
        SentinelNodeConnectionInfo::default().set_redis_connection_info(login.clone());
    if tls {
        to_master = to_master.set_tls_mode(TlsMode::Secure);
    }
    let mut sentinel = Sentinel::build(nodes).map_err(|error| translate(&error))?;
    match sentinel.async_master_for(service, Some(&to_master)).await {
        Ok(client) => Ok(client),
        Err(error) if error.kind() == redis::ErrorKind::MasterNameNotFoundBySentinel => {
            let problem = format!("the Sentinels know no service {service:?}");
            Err(refused(&problem, "write the name that `sentinel monitor` has in sentinel.conf"))
        }
        Err(error) => Err(translate(&error)),
    }
}

/// Runs on the connection's own task: must not wait.
fn pushes(
    link: &Arc<Link>,
    serial: u32,
) -> impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync + 'static + use<> {
    let link: Weak<Link> = Arc::downgrade(link);
    let is_cluster = link.upgrade().is_some_and(|link| link.server_clock.is_none());
    move |push| {
        let Some(link) = link.upgrade() else { return Ok(()) };
        if push.kind != PushKind::Disconnection {
            link.feed.hear(push);
        } else if is_cluster {
            // The cluster's client connects and subscribes again by itself. Its shard may be another now.
            link.feed.missed();
            link.silent.notify_one();
        } else {
            link.lost(
                serial,
                unavailable(Outage::Disconnected, "the server closed the connection"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::owners_in;

    #[test]
    fn who_has_slots_is_read_off_the_list_of_nodes() {
        let nodes = "aa 127.0.0.1:1@11,, myself,master - 0 0 3 connected 10923-16383\n\
                     bb 127.0.0.1:2@12,, master,fail - 1 1 1 disconnected 0-5460 [93->-aa]\n\
                     cc 127.0.0.1:3@13,, slave aa 0 0 3 connected\n\
                     dd 127.0.0.1:4@14,, master - 0 0 4 connected\n";

        assert_eq!(owners_in(nodes).into_iter().collect::<Vec<_>>(), ["aa", "bb"]);
        assert!(owners_in("").is_empty());
    }
}
