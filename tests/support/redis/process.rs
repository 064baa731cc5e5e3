//! A `redis-server` as a child process, and what ends it when the test cannot.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A running `redis-server`. Dropping it kills it.
pub struct Process {
    child: Child,
    watchdog: Option<Watchdog>,
}

impl Process {
    /// Starts one in `folder`, where its log goes too.
    pub fn start(folder: &Path, args: &[String]) -> std::io::Result<Self> {
        let log = || File::options().create(true).append(true).open(log_file(folder));
        let child = Command::new("redis-server")
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .spawn()?;
        let id = child.id().to_string();
        Ok(Self { child, watchdog: Some(Watchdog::over(&["kill", "-KILL", &id])) })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Tells it to write what it has to and end.
    pub fn end(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Before the process is waited for, so that its number belongs to nobody else yet.
        drop(self.watchdog.take());
        let _ = self.child.wait();
    }
}

/// Where a server keeps its data. Dropping it deletes it.
pub struct Folder {
    temporary: TempDir,
    _watchdog: Watchdog,
}

impl Folder {
    pub fn new() -> std::io::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("tokenhive-redis-").tempdir()?;
        let watchdog = Watchdog::over(&["rm", "-rf", temporary.path().to_str().expect("plain")]);
        Ok(Self { temporary, _watchdog: watchdog })
    }

    pub fn path(&self) -> &Path {
        self.temporary.path()
    }
}

/// What the servers in `folder` have said so far.
pub fn log(folder: &Path) -> String {
    std::fs::read_to_string(log_file(folder)).unwrap_or_default()
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("redis.log")
}

/// A shell that runs a command once this value is dropped, or its process ends in any way at all.
pub struct Watchdog {
    shell: Child,
    held_open: Option<ChildStdin>,
}

impl Watchdog {
    pub fn over(command: &[&str]) -> Self {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "read -r _; \"$@\"", "watchdog"])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C ends the tests, not what cleans up after them.
            .process_group(0)
            .spawn()
            .expect("every Unix has /bin/sh");
        let held_open = shell.stdin.take();
        Self { shell, held_open }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.held_open.take());
        let _ = self.shell.wait();
    }
}
