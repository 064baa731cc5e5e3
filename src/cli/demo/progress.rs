//! Shows what goes on: a live line on a terminal, a line every few seconds anywhere else.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::model::{BootTime, Clock, SystemClock};

/// How often a line is printed where nothing can be redrawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The demo's progress, on stderr.
pub(super) struct Progress {
    /// `None` where stderr is not a terminal.
    bar: Option<ProgressBar>,
    phase: Cell<String>,
    /// When the last line was printed.
    printed: Cell<BootTime>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, phase: Cell::default(), printed: Cell::new(SystemClock.boot()) }
    }

    /// Begins a phase of `steps` steps; 0 if it cannot be told how many there are.
    pub(super) fn phase(&self, name: &str, steps: u64) {
        self.phase.set(name.to_owned());
        self.printed.set(SystemClock.boot());
        let Some(bar) = &self.bar else { return line(name) };
        bar.set_prefix(name.to_owned());
        let template = match steps {
            0 => "{spinner:.yellow} {prefix}",
            _ => "{spinner:.yellow} {prefix} {bar:12.yellow} {pos}/{len} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
        bar.set_length(steps);
        bar.set_position(0);
        bar.set_message("");
    }

    /// Tells how far the phase has come.
    pub(super) fn at(&self, step: u64, news: String) {
        let Some(bar) = &self.bar else { return self.line_now_and_then(step, &news) };
        bar.set_position(step);
        bar.set_message(news);
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line_now_and_then(&self, step: u64, news: &str) {
        let now = SystemClock.boot();
        if now.since(self.printed.get()) < LINE_EVERY {
            return;
        }
        self.printed.set(now);
        let phase = self.phase.take();
        line(format!("{phase}: {step} {news}").trim_end());
        self.phase.set(phase);
    }
}

#[expect(clippy::print_stderr, reason = "progress is for whoever waits, not part of the result")]
fn line(text: &str) {
    eprintln!("{text}");
}
