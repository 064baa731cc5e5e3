//! Counts many short spans in little memory, to within 6 %.

use std::time::Duration;

/// Parts each power of two is divided in, as a power of two.
const PART_BITS: u32 = 4;
const PARTS: usize = 1 << PART_BITS;

/// Spans counted in buckets that grow with their length.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 64 * PARTS] }
    }
}

impl Histogram {
    pub(super) fn note(&mut self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(PARTS as u64);
        let power = nanos.ilog2();
        let part = usize::try_from(nanos >> (power - PART_BITS)).unwrap_or(0) % PARTS;
        self.counts[power as usize * PARTS + part] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }

    /// The span that `percent` of all spans do not exceed; zero if there are none.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.counts.iter().sum::<u64>() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let Some(bucket) = reached else { return Duration::ZERO };
        let (power, part) = (bucket / PARTS, (bucket % PARTS) as u64);
        let end = u128::from(PARTS as u64 + part + 1) << power >> PART_BITS;
        Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Histogram;

    #[test]
    fn percentiles_are_right_to_within_a_sixteenth() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.note(Duration::from_micros(micros));
        }

        for (percent, exact) in [(50, 5000.0), (99, 9900.0), (100, 10_000.0)] {
            let found = histogram.percentile(percent).as_secs_f64() * 1e6;
            assert!((exact..=exact * 1.0625).contains(&found), "{percent} %: {found}");
        }
    }

    #[test]
    fn two_halves_make_a_whole() {
        let (mut fast, mut slow) = (Histogram::default(), Histogram::default());
        fast.note(Duration::from_nanos(100));
        slow.note(Duration::from_secs(1));

        fast.add(&slow);

        assert!(fast.percentile(50) < Duration::from_nanos(110));
        assert!(fast.percentile(99) >= Duration::from_secs(1));
    }

    #[test]
    fn any_span_is_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), Duration::ZERO);

        histogram.note(Duration::ZERO);
        histogram.note(Duration::MAX);

        assert!(histogram.percentile(50) <= Duration::from_nanos(17));
        assert!(histogram.percentile(100) > Duration::from_secs(1 << 33));
    }
}
