//! The records of a topic of state, as they are written.

use std::sync::Arc;

use rdkafka::message::{Header, OwnedHeaders};

use super::log::Record;
use crate::client::Link;

/// How much of the log the writer had seen.
pub(super) const SEEN: &str = "mailbridge-seen";
/// The offset of what it found to stand; missing where nothing did.
pub(super) const EXPECTS: &str = "mailbridge-expects";
/// What it proposes.
pub(super) const KIND: &str = "mailbridge-kind";
pub(super) const PUT: &str = "put";
pub(super) const DELETE: &str = "delete";

/// What the keys of signals begin with; no key of the store does.
pub(super) const SIGNAL: &str = "#signal/";

/// The headers of a proposal.
pub(super) fn headers(seen: u64, expects: Option<u64>, deletes: bool) -> OwnedHeaders {
    let kind = if deletes { DELETE } else { PUT };
    let seen = seen.to_string();
    let headers = OwnedHeaders::new_with_capacity(3)
        .insert(Header { key: KIND, value: Some(kind) })
        .insert(Header { key: SEEN, value: Some(&seen) });
    match expects.map(|offset| offset.to_string()) {
        Some(offset) => headers.insert(Header { key: EXPECTS, value: Some(&offset) }),
        None => headers,
    }
}

/// Writes a tombstone, without waiting for it: one that is lost is written again by whoever opens
/// the store next.
pub(super) fn strike(link: &Arc<Link>, topic: &str, name: &str) {
    let record = Record::to(topic).partition(0).key(name);
    if let Err((failure, _)) = link.producer.send_result(record) {
        tracing::debug!(topic, %failure, "a tombstone could not be written");
    }
}
