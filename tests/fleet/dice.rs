//! Chance that can be repeated.

/// Repeats a run: every random choice follows from this number.
pub const SEED: &str = "TOKENHIVE_SEED";

/// The seed the environment names, or a new one. It is printed, so that a failure can be repeated.
#[expect(clippy::print_stdout, reason = "what a run did is told to who reads its output")]
pub fn seed(what: &str) -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED} is not a number: {text:?}")),
        Err(_) => u64::from(std::process::id()) ^ u64::from(tokenhive_entropy()),
    };
    println!("{what}: {SEED}={seed}");
    seed
}

/// Thirty bits of the clock.
fn tokenhive_entropy() -> u32 {
    use tokenhive::model::Clock as _;
    let nanos = tokenhive::model::SystemClock.boot().as_nanos();
    u32::try_from((nanos >> 10) & 0x3fff_ffff).expect("thirty bits")
}

/// The SplitMix64 generator.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("smaller than a usize")
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
