//! Requests that may be made twice are made again, within the attempt, when a failure passes: what
//! has been built up so far would be thrown away for it, a hundred uploaded megabytes at worst.

use std::time::Duration;

use bytes::Bytes;
use mailbridge_core::{Code, Error, Result, Verdict};
use tokio::time::{Instant, sleep_until};

use crate::{
    chance::jitter,
    http::{Body, Operation},
    operation::Session,
};

/// Tries in a row that bring nothing forward.
pub(super) const TRIES_MAX: u32 = 5;
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Makes a request that does no harm when it is made twice, through passing failures.
pub(super) async fn persist(
    session: &Session<'_>,
    operation: Operation,
    path: &str,
    body: Body,
) -> Result<Bytes> {
    let mut tries = 1;
    loop {
        match session.insist(operation, path, body.clone()).await {
            Err(error) if is_passing(&error) && tries < TRIES_MAX => {
                pause(session, &error, tries).await?;
                tries += 1;
            }
            other => return other,
        }
    }
}

/// Whether the same request may go well in a moment.
pub(super) fn is_passing(error: &Error) -> bool {
    let graph = matches!(
        error.code(),
        Code::GraphUnavailable
            | Code::GraphTimeout
            | Code::GraphCut
            | Code::GraphUnreachable
            | Code::GraphUnexpected
    );
    graph && matches!(error.verdict(), Verdict::Transient { .. })
}

/// Waits before the next try, within the time without progress.
pub(super) async fn pause(session: &Session<'_>, error: &Error, tries: u32) -> Result<()> {
    let Verdict::Transient { after } = error.verdict() else { return Ok(()) };
    let doubled = PAUSE_MIN * 2_u32.saturating_pow(tries.min(8));
    let wait = after.unwrap_or_default().max(jitter(doubled.min(PAUSE_MAX), 0.5));
    let end = Instant::now() + wait;
    if end >= session.deadline().at() {
        return Err(error.clone());
    }
    sleep_until(end).await;
    Ok(())
}
