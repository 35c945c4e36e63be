//! How long things took, in a fixed few kilobytes however many there are.

use std::time::Duration;

/// Buckets for each doubling: a value is known to an eighth of itself.
const PARTS: u64 = 8;
/// Doublings from one microsecond: up to weeks.
const DOUBLINGS: usize = 42;
const BUCKETS: usize = DOUBLINGS * 8;

/// A histogram with buckets that grow with their values.
pub struct Latencies {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let doubling = micros.ilog2();
        // The three bits below the highest one.
        let part = ((u128::from(micros) * u128::from(PARTS)) >> doubling) % u128::from(PARTS);
        let part = usize::try_from(part).unwrap_or_default();
        let bucket = doubling as usize * 8 + part;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.total += 1;
    }

    /// The value that so many of a hundred are not above.
    pub fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (bucket, count) in (0_u64..).zip(self.counts.iter()) {
            below += count;
            if below >= rank {
                let upper = u128::from(PARTS + bucket % PARTS + 1) << (bucket / PARTS);
                let micros = u64::try_from(upper / u128::from(PARTS)).unwrap_or(u64::MAX);
                return Duration::from_micros(micros);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_an_eighth() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), Duration::ZERO);
        for millis in 1..=1000 {
            latencies.add(Duration::from_millis(millis));
        }
        for (percent, millis) in [(50, 500), (99, 990), (100, 1000)] {
            let found = latencies.percentile(percent).as_millis();
            assert!((millis..=millis * 9 / 8 + 1).contains(&found), "{percent}: {found}");
        }
        latencies.add(Duration::MAX);
        assert!(latencies.percentile(100) > Duration::from_secs(1_000_000));
    }
}
