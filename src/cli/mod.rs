//! The `tokenhive` command.

mod provider_sim;

use clap::{Parser, Subcommand};

/// Keeps every user's OAuth session alive.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    ProviderSim(provider_sim::ProviderSimArgs),
}

/// Runs the command line and returns its exit code.
#[expect(clippy::print_stderr, reason = "a command tells its user what went wrong")]
pub fn run() -> std::process::ExitCode {
    let Arguments { command } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::ProviderSim(args) => provider_sim::run(args).await,
            }
        })
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
