//! Real time, and what many measurements of it come to.

use std::time::Instant;

/// The machine's clock. A bench measures real time, so nothing is injected here.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Several measurements of one thing.
#[derive(Default, Clone)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which `fraction` of all lie.
    pub fn quantile(&self, fraction: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a vector that is not that long"
        )]
        let index = (sorted.len() as f64 * fraction) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Median and range, as the tables show it.
    pub fn show(&self, decimals: usize) -> String {
        let (low, high) = (self.quantile(0.0), self.quantile(1.0));
        format!("{:.decimals$} ({low:.decimals$} – {high:.decimals$})", self.median())
    }
}
