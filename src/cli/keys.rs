//! `tokenhive keys`: the master keys that seal tokens at rest.

use clap::{Args, Subcommand};

use crate::sealing::Keyring;

/// Make keys that encrypt tokens at rest.
///
/// A keyring is one line, `id:base64key[,id:base64key…]`, that the server reads from its environment,
/// usually from TOKENHIVE_KEYS. The first key seals, all of them open.
#[derive(Debug, Args)]
#[command(after_help = KEYS_EXAMPLE)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

const KEYS_EXAMPLE: &str = "\
Example:
  export TOKENHIVE_KEYS=\"$(tokenhive keys generate)\"

To change a key, put a new one with another id before the old one and restart the server:
  TOKENHIVE_KEYS=2:NEWKEY,1:OLDKEY";

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Print a fresh keyring of one random 256-bit key.
    ///
    /// Whoever has it can read every token it seals, and without it nobody can: keep it as a secret,
    /// and keep a copy.
    #[command(after_help = GENERATE_EXAMPLE)]
    Generate,
}

const GENERATE_EXAMPLE: &str = "\
Example:
  export TOKENHIVE_KEYS=\"$(tokenhive keys generate)\"";

/// Runs `tokenhive keys`.
#[expect(clippy::print_stdout, reason = "the key is what the command is run for")]
pub(crate) fn run(args: &KeysArgs) {
    match args.command {
        KeysCommand::Generate => println!("{}", *Keyring::generate().to_text()),
    }
}
