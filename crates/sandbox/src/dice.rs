//! Seeded randomness: splitmix64 and nothing else, so that a seed replays.
//!
//! Not for secrets: ids and tokens made here are unguessable only to an honest client.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A shared stream of numbers that depends on the seed alone.
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(mix(seed)))
    }

    pub fn next(&self) -> u64 {
        mix(self.0.fetch_add(GAMMA, Ordering::Relaxed))
    }

    /// Uniform over the range, both ends included.
    pub fn between(&self, range: &RangeInclusive<Duration>) -> Duration {
        let (low, high) = (*range.start(), *range.end());
        if high <= low {
            return low;
        }
        let span_us = u64::try_from(high.saturating_sub(low).as_micros()).unwrap_or(u64::MAX - 1);
        low + Duration::from_micros(self.next() % (span_us + 1))
    }

    /// A version 4 GUID, as Graph writes its request ids.
    pub fn guid(&self) -> String {
        guid(self.next(), self.next())
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        out
    }
}

/// The finaliser of splitmix64: every bit of the input reaches every bit of the output.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash that is the same in every run (`DefaultHasher` promises nothing of the kind).
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    mix(seed ^ fnv)
}

/// `true` with the given probability, decided by the value alone.
pub fn chance(value: u64, probability: f64) -> bool {
    // 53 bits are what an f64 holds exactly
    #[expect(clippy::cast_precision_loss, reason = "both numbers fit in 53 bits")]
    let unit = (value >> 11) as f64 / (1_u64 << 53) as f64;
    unit < probability
}

/// A version 4 GUID from 128 given bits.
pub fn guid(high: u64, low: u64) -> String {
    uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays_and_another_differs() {
        let (a, b, c) = (Dice::new(7), Dice::new(7), Dice::new(8));
        let first: Vec<_> = (0..8).map(|_| a.next()).collect();
        assert_eq!(first, (0..8).map(|_| b.next()).collect::<Vec<_>>());
        assert_ne!(first, (0..8).map(|_| c.next()).collect::<Vec<_>>());
    }

    #[test]
    fn a_chance_is_about_as_likely_as_asked() {
        let dice = Dice::new(1);
        let hits = (0..10_000).filter(|_| chance(dice.next(), 0.1)).count();
        assert!((800..1200).contains(&hits), "{hits} of 10000 at 10 %");
        assert!(!chance(0, 0.0), "zero never happens");
        assert!(chance(u64::MAX, 1.0), "one always happens");
    }

    #[test]
    fn between_stays_inside_its_range() {
        let dice = Dice::new(3);
        let range = Duration::from_hours(1)..=Duration::from_mins(90);
        for _ in 0..100 {
            assert!(range.contains(&dice.between(&range)));
        }
        let fixed = Duration::from_secs(2);
        assert_eq!(dice.between(&(fixed..=fixed)), fixed);
    }
}
