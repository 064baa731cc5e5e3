//! The `tokenhive` command.

/// Runs the command line and returns its exit code.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
