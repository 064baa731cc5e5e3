//! `tokenhive provider-sim`: runs the provider simulator by itself, until interrupted.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::Ending;
use crate::cli::duration::duration;
use crate::cli::interrupt::Interrupts;
use crate::simulator::{Approval, ClientOptions, ReuseBehaviour, Simulator, SimulatorOptions};

/// Run a strict OAuth provider for demos and tests, on loopback.
///
/// It plays every refresh-token reuse class, breaks answers on demand, and keeps a ground-truth log
/// of what it did. Everything can be changed while it runs; GET / lists how.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProviderSimArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9400")]
    listen: SocketAddr,
    /// Allow an address other machines can reach. Anyone there can then control the simulator.
    #[arg(long)]
    allow_remote: bool,
    /// What happens to a refresh token presented twice: N, M, I, G-all:30, G-last:30, S or R.
    ///
    /// N: it never changes. M: old ones stay valid. I: the same pair again. G-all, G-last: another
    /// pair for so many seconds, earlier siblings staying live or not. S: refused. R: refused, and
    /// the whole family is revoked.
    #[arg(long, default_value = "R")]
    reuse: ReuseBehaviour,
    /// A refresh ends the access tokens issued before it. On by default with --reuse S or R.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    kill_old_access_tokens: Option<bool>,
    /// Lifetime of access tokens: 1h, 30m, 5s, 500ms, or seconds.
    #[arg(long, default_value = "1h", value_parser = duration)]
    lifetime: Duration,
    /// Time each token request takes.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    latency: Duration,
    /// Whether logins are approved at once or on a page.
    #[arg(long, value_enum, default_value_t = Approve::Auto)]
    approve: Approve,
    /// Seed of its random choices; tokens are always fresh.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A client, as id:secret, or id alone for a public client. May be repeated.
    #[arg(
        long = "client",
        value_name = "ID[:SECRET]",
        default_value = "tokenhive:simulator-secret"
    )]
    clients: Vec<Client>,
}

const EXAMPLES: &str = "\
Examples:
  tokenhive provider-sim                                 revokes a session whose refresh token is replayed
  tokenhive provider-sim --lifetime 10s --latency 50ms   short tokens, a slow provider
  tokenhive provider-sim --reuse G-all:30                forgives a replay within 30 seconds
  tokenhive provider-sim --approve page                  asks who logs in, for a try in the browser";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Approve {
    Auto,
    Page,
}

#[derive(Clone)]
struct Client {
    id: String,
    secret: Option<String>,
}

impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, secret) = match text.split_once(':') {
            Some((id, secret)) => (id, Some(secret.to_owned())),
            None => (text, None),
        };
        if id.is_empty() || secret.as_ref().is_some_and(String::is_empty) {
            return Err("write it as id:secret, or id alone for a public client".to_owned());
        }
        Ok(Self { id: id.to_owned(), secret })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Runs the simulator until Ctrl-C.
///
/// # Errors
///
/// The address is not loopback and `--allow-remote` is missing, or cannot be listened on.
#[expect(clippy::print_stdout, reason = "the endpoints are what the command is run for")]
pub(crate) async fn run(args: ProviderSimArgs) -> anyhow::Result<Ending> {
    let listen = args.listen;
    if !listen.ip().is_loopback() && !args.allow_remote {
        anyhow::bail!(
            "{listen} can be reached from other machines, and the simulator obeys anyone; \
             listen on 127.0.0.1, or add --allow-remote"
        );
    }
    let mut interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
    let example = example_client(&args.clients);
    let reuse = args.reuse;
    let simulator = Simulator::start(options(args))
        .await
        .with_context(|| format!("cannot listen on {listen}; choose another --listen address"))?;
    println!("{}", greeting(&simulator, reuse, &example));
    interrupts.next().await;
    let totals = simulator.totals();
    simulator.shutdown().await;
    println!(
        "stopped after {} token requests, {} sessions, {} replays refused",
        totals.token_requests, totals.families, totals.reuse_detected
    );
    Ok(Ending::Well)
}

fn options(args: ProviderSimArgs) -> SimulatorOptions {
    let strict = matches!(args.reuse, ReuseBehaviour::SingleUse | ReuseBehaviour::Revoking);
    let client = |Client { id, secret }| (id, ClientOptions { secret, ..ClientOptions::default() });
    SimulatorOptions {
        bind: args.listen,
        clients: args.clients.into_iter().map(client).collect::<BTreeMap<_, _>>(),
        reuse: args.reuse,
        kill_old_access_tokens: args.kill_old_access_tokens.unwrap_or(strict),
        access_token_lifetime: args.lifetime,
        latency: args.latency,
        approve: match args.approve {
            Approve::Auto => Approval::Auto,
            Approve::Page => Approval::Page,
        },
        seed: args.seed,
        ..SimulatorOptions::strict()
    }
}

fn example_client(clients: &[Client]) -> String {
    let client = clients.iter().find(|client| client.secret.is_some()).or(clients.first());
    client.map_or_else(String::new, |client| match client.secret {
        Some(_) => format!("-u {}:CLIENT_SECRET", client.id),
        None => format!("-d client_id={}", client.id),
    })
}

fn greeting(simulator: &Simulator, reuse: ReuseBehaviour, client: &str) -> String {
    let base = simulator.base_url();
    format!(
        "\
provider simulator at {base} (reuse {reuse}); Ctrl-C stops it

  authorization  {authorize}
  token          {token}
  revocation     {revoke}
  user info      {user}
  GitHub-like    {api}
  ground truth   {base}/_sim/log?summary=1

Make a session, then refresh it with the refresh token it prints:
  curl -s {base}/_sim/mint -d '{{\"count\": 1}}'
  curl -s {token} {client} -d grant_type=refresh_token -d refresh_token=REFRESH_TOKEN

Break the next refresh after its commit:
  curl -s {base}/_sim/faults -d '{{\"rules\": [{{\"grant\": \"refresh\", \"when\": {{\"next\": 1}}, \"action\": {{\"kind\": \"drop_after_commit\"}}}}]}}'",
        authorize = simulator.authorization_endpoint(),
        token = simulator.token_endpoint(),
        revoke = simulator.revocation_endpoint(),
        user = simulator.user_endpoint(),
        api = simulator.api_base(),
    )
}

#[cfg(test)]
mod tests {
    use super::Client;

    #[test]
    fn a_client_is_an_id_with_or_without_a_secret() {
        let client: Client = "id:se:cret".parse().unwrap();

        assert_eq!((client.id.as_str(), client.secret.as_deref()), ("id", Some("se:cret")));
        assert_eq!("id".parse::<Client>().unwrap().secret, None);
        assert!(":secret".parse::<Client>().is_err());
        assert!("id:".parse::<Client>().is_err());
    }
}
