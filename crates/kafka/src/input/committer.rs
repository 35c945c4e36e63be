//! The thread that commits: a commit whose confirmation is wanted blocks, and the consumer must be
//! polled meanwhile. (librdkafka's own call back for commits is out of reach: rust-rdkafka does not
//! set it.)

use std::{
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

use rdkafka::{
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode as Kafka,
};

use super::{context::Context, find, shared::Shared};
use crate::{error, partition::Place};

/// How long the thread sleeps at most.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Between two commits, so that one speaks for many.
const EVERY: Duration = Duration::from_millis(1);
/// Before a commit that failed is sent again.
const AGAIN: Duration = Duration::from_millis(100);

/// Commits what there is until the input ends.
pub(super) fn run(consumer: &BaseConsumer<Context>, shared: &Arc<Shared>) {
    while !shared.has_ended() {
        shared.wait_due(SLEEP_MAX);
        match commit(consumer, shared, None) {
            Ok(()) => thread::sleep(EVERY),
            Err(failure) => {
                let code = failure.rdkafka_error_code().unwrap_or(Kafka::Fail);
                if matches!(code, Kafka::GroupAuthorizationFailed | Kafka::TopicAuthorizationFailed)
                {
                    shared.fail(error::coded("a commit was refused", code));
                }
                // it is sent again, unless the partitions go first
                tracing::debug!(kafka_error = error::name(code), "a commit failed");
                thread::sleep(AGAIN);
                shared.commit();
            }
        }
    }
}

/// Commits what there is, of all partitions or of these, and waits until that is confirmed.
pub(super) fn commit(
    consumer: &BaseConsumer<Context>,
    shared: &Shared,
    of: Option<&[Place]>,
) -> KafkaResult<()> {
    // one at a time, or an older one could come after a newer one
    let _one: MutexGuard<'_, ()> = shared.committing.lock().unwrap_or_else(PoisonError::into_inner);
    let lot = shared.lot();
    let commits = lot.commits(of);
    drop(lot);
    let list = find::offsets(&commits, shared.without_notes.load(Ordering::Relaxed));
    if commits.is_empty() {
        return Ok(());
    }
    match consumer.commit(&list, CommitMode::Sync) {
        Ok(()) => shared.lot().confirm(&commits),
        Err(KafkaError::ConsumerCommit(Kafka::OffsetMetadataTooLarge)) => {
            shared.without_notes.store(true, Ordering::Relaxed);
            tracing::warn!("the brokers take no notes with an offset, so a restart repeats more");
            shared.commit();
        }
        Err(failure) => return Err(failure),
    }
    shared.tell();
    Ok(())
}
