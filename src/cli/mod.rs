//! The `tokenhive` command: reads the arguments, runs one command, and says how it went.

mod demo;
mod duration;
mod interrupt;
mod keys;
mod node;
mod provider_sim;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Keep every user's OAuth session alive.
///
/// tokenhive is a library for servers that act on behalf of many users: it logs them in at an OAuth
/// provider, keeps their tokens encrypted, refreshes them before they expire, and hands out an access
/// token that works now. This command shows it at work and helps to set it up.
#[derive(Debug, Parser)]
#[command(name = "tokenhive", version, after_help = FIRST_THINGS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const FIRST_THINGS: &str = "\
First things to try:
  tokenhive demo                 watch 300 sessions being kept alive; takes 20 seconds, needs nothing
  tokenhive demo --keep          the same, and leaves it running for you to look around
  tokenhive provider-sim         a strict OAuth provider on this machine, for your own tests
  tokenhive keys generate        a key that encrypts tokens at rest

Environment:
  TOKENHIVE_LOG    what is logged to stderr: error, warn (default), info, debug, or by module,
                   for instance TOKENHIVE_LOG=warn,tokenhive::actors=debug

Exit status: 0 all is well, 1 a promise was broken or something failed, 2 the command line is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    ProviderSim(provider_sim::ProviderSimArgs),
    Keys(keys::KeysArgs),
    #[command(hide = true)]
    Node(node::NodeArgs),
}

/// How a command ended, if it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Well,
    BrokenPromise,
}

/// Runs the command line and returns its exit code.
#[expect(clippy::print_stderr, reason = "a command tells its user what went wrong")]
pub fn run() -> ExitCode {
    let command = match read_arguments() {
        Ok(command) => command,
        Err(error) => {
            // The stream may be closed; there is nobody left to tell then.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::Demo(args) => demo::run(args).await,
                Command::ProviderSim(args) => provider_sim::run(args).await,
                Command::Node(args) => node::run(args).await,
                Command::Keys(args) => {
                    keys::run(&args);
                    Ok(Ending::Well)
                }
            }
        })
    });
    match outcome {
        Ok(Ending::Well) => ExitCode::SUCCESS,
        Ok(Ending::BrokenPromise) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that can be wrong with the command line is found here, before anything is started.
fn read_arguments() -> Result<Command, clap::Error> {
    let Arguments { command } = Arguments::try_parse()?;
    let wrong = |message: String| {
        Arguments::command().error(clap::error::ErrorKind::ValueValidation, message)
    };
    if let Command::Demo(args) = &command {
        args.fit_together().map_err(wrong)?;
    }
    log_to_stderr().map_err(wrong)?;
    Ok(command)
}

fn log_to_stderr() -> Result<(), String> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var("TOKENHIVE_LOG")
        .from_env()
        .map_err(|error| format!("TOKENHIVE_LOG cannot be read: {error}; try warn or debug"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
