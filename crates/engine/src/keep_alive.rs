//! Keeps a delivery ours while work on it goes on.

use std::{future::Future, pin::pin, time::Duration};

use mailbridge_core::Receipt;
use tokio::time::{Instant, sleep_until};

/// Runs `work` to its end, asking the bus for more time every `every`. A bus that does not answer
/// is not an error here: if the delivery is lost, settling says so.
pub async fn keep_alive<T>(
    receipt: &mut Receipt,
    every: Duration,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut due = Instant::now() + every;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep_until(due) => {}
        }
        // The bus may be slow just now; the work must not be.
        tokio::select! {
            biased;
            done = &mut work => return done,
            extended = receipt.extend() => if let Err(error) = extended {
                tracing::debug!(code = %error.code(), %error, "the bus did not grant more time");
            },
        }
        due = Instant::now() + every;
    }
}
