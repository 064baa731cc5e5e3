//! Waits until the user, or the system, asks the command to stop.

use std::io;

/// Returns at Ctrl-C, and on Unix at SIGTERM as well. Must be polled before the signal comes.
///
/// # Errors
///
/// The operating system refuses to tell of signals.
pub(crate) async fn interrupted() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
