//! The `tokenhive` binary: everything happens in [`tokenhive::cli`].

fn main() -> std::process::ExitCode {
    tokenhive::cli::run()
}
