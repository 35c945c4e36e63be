//! A little randomness, so that workers that failed together do not come back together.

use std::time::Duration;

use uuid::Uuid;

/// Somewhere between `least` of it and all of it, evenly spread. `least` is a share, 0 to 1.
pub(crate) fn jitter(all: Duration, least: f64) -> Duration {
    all.mul_f64(least + (1.0 - least) * dice())
}

/// From 0 to 1, evenly spread.
pub(crate) fn dice() -> f64 {
    // 32 bits of a v4 UUID that hold no version or variant
    f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_between_its_bounds_and_moves() {
        let all = Duration::from_secs(10);
        let drawn: Vec<_> = (0..100).map(|_| jitter(all, 0.5)).collect();
        assert!(drawn.iter().all(|wait| *wait >= all / 2 && *wait <= all));
        assert!(drawn.iter().any(|wait| *wait != drawn[0]));
    }
}
