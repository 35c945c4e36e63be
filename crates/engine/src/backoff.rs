//! A pause that doubles, with jitter, between two bounds.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// The pause after the `nth` failure in a row (1 is the first), jittered down by up to a quarter so
/// that those who failed together do not return together.
pub fn pause(nth: u32, min: Duration, max: Duration) -> Duration {
    let doubled = min.saturating_mul(1 << nth.saturating_sub(1).min(20)).min(max);
    doubled.mul_f64(1.0 - unit() / 4.0)
}

/// A number in `0.0..1.0`. Every `RandomState` is seeded anew, which is random enough for jitter.
pub fn unit() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_between_its_bounds() {
        let (min, max) = (Duration::from_secs(1), Duration::from_mins(5));
        for (nth, whole) in [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (u32::MAX, 300)] {
            let whole = Duration::from_secs(whole);
            let pause = pause(nth, min, max);
            assert!(pause <= whole && pause >= whole.mul_f64(0.75), "{nth}: {pause:?}");
        }
    }
}
