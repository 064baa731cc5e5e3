//! What the demo can be told, within bounds it can keep.

use std::time::Duration;

use clap::Args;

use crate::cli::duration::duration;

/// Exchanges the hive has in flight at a provider at the same time.
pub(super) const CONCURRENT_EXCHANGES: u32 = 32;

/// Watch sessions being kept alive, and check every promise.
///
/// Starts an OAuth provider simulator and a hive on a store file in a temporary folder, logs users in
/// over HTTP as a browser would, and lets readers ask for tokens of a few seconds' life as fast as they
/// can. The provider is the strictest there is: a refresh ends the old access token at once, and a
/// refresh token used twice ends the session. What is printed at the end comes from the provider's own
/// log. Nothing is configured, nothing leaves this machine, and nothing is left behind.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// How many users log in (1 to 10000).
    #[arg(long, default_value_t = 300, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) sessions: u32,
    /// How long their tokens are kept fresh, in seconds (1 to 3600).
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(super) seconds: u32,
    /// Lifetime of an access token: whole seconds, 1s to 1h.
    #[arg(long, default_value = "4s", value_name = "TIME", value_parser = lifetime)]
    pub(super) lifetime: Duration,
    /// How many tasks read tokens without a pause (1 to 64).
    #[arg(long, default_value_t = 4, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) readers: u32,
    /// Time the provider takes for each token request (0ms to 5s).
    #[arg(long, default_value = "20ms", value_name = "TIME", value_parser = latency)]
    pub(super) latency: Duration,
    /// Leave everything running afterwards, until Ctrl-C.
    #[arg(long)]
    pub(super) keep: bool,
    /// Print the result as JSON instead of a table.
    #[arg(long)]
    pub(super) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  tokenhive demo                                           300 sessions, tokens of 4 s, for 15 s
  tokenhive demo --sessions 20 --seconds 3 --lifetime 1s   a quick look
  tokenhive demo --sessions 1000 --latency 50ms            more users, a slower provider
  tokenhive demo --keep                                    look around afterwards
  tokenhive demo --json                                    the numbers for a program

Exit status: 0 if every promise held, 1 if one did not, 2 if the options are wrong.";

impl DemoArgs {
    /// Refuses options that are fine one by one and cannot be kept together.
    pub(crate) fn fit_together(&self) -> Result<(), String> {
        let Self { sessions, seconds, lifetime, latency, .. } = self;
        if Duration::from_secs(u64::from(*seconds)) < *lifetime {
            return Err(format!(
                "--seconds {seconds} is shorter than --lifetime {}s, so not every session would be \
                 refreshed; raise --seconds or lower --lifetime",
                lifetime.as_secs()
            ));
        }
        // A token is due between 60 and 75 % of its life: what is left must hold a request.
        if *latency * 8 > *lifetime {
            return Err(format!(
                "--latency {}ms is too long for --lifetime {}s: tokens would expire while they are \
                 refreshed; keep it below an eighth of the lifetime",
                latency.as_millis(),
                lifetime.as_secs()
            ));
        }
        // All sessions, at so many at a time, within half a lifetime.
        if *latency * *sessions / CONCURRENT_EXCHANGES > *lifetime / 2 {
            return Err(format!(
                "{sessions} sessions do not get through a provider that takes {}ms for each request, \
                 {CONCURRENT_EXCHANGES} at a time, in a lifetime of {}s; lower --sessions or \
                 --latency, or raise --lifetime",
                latency.as_millis(),
                lifetime.as_secs()
            ));
        }
        Ok(())
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    let whole = span.subsec_nanos() == 0;
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    // `expires_in` is whole seconds (RFC 6749 §5.1).
    (whole && range.contains(&span))
        .then_some(span)
        .ok_or_else(|| "it must be whole seconds from 1s to 1h".to_owned())
}

fn latency(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    (span <= Duration::from_secs(5))
        .then_some(span)
        .ok_or_else(|| "it must be at most 5s".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DemoArgs, latency, lifetime};

    fn args(sessions: u32, seconds: u32, lifetime: u64, latency: u64) -> DemoArgs {
        let (lifetime, latency) = (Duration::from_secs(lifetime), Duration::from_millis(latency));
        DemoArgs { sessions, seconds, lifetime, readers: 4, latency, keep: false, json: false }
    }

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(args(300, 15, 4, 20).fit_together(), Ok(()));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_option_to_change() {
        for (case, expected) in [
            (args(300, 3, 4, 20), "raise --seconds"),
            (args(1, 15, 1, 200), "too long for --lifetime 1s"),
            (args(10_000, 15, 4, 20), "lower --sessions"),
        ] {
            let message = case.fit_together().unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn lifetimes_and_latencies_have_bounds() {
        assert_eq!(lifetime("1s"), Ok(Duration::from_secs(1)));
        for text in ["0s", "1500ms", "2h", "x"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
        assert_eq!(latency("0ms"), Ok(Duration::ZERO));
        assert!(latency("6s").is_err());
    }
}
