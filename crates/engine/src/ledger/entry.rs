//! What stands in the ledger, as JSON: `{"state":"claimed","by":…,"until":…}`,
//! `{"state":"doubted","since":…}` or `{"state":"done","internet_message_id":…}`. Nothing of a
//! request's content.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use mailbridge_core::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Entry {
    Claimed { by: Uuid, until: Timestamp },
    Doubted { since: Timestamp },
    Done(Done),
}

/// What is kept of a request that has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The `Message-ID` of the mail, where Graph has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet_message_id: Option<String>,
}

impl Entry {
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|_| {
            // not taken for nothing: that could send a mail twice
            Error::transient(Code::StateFailed, "a ledger entry is not one of this version's")
        })
    }

    pub(super) fn write(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|_| Error::transient(Code::Internal, "a ledger entry cannot be written"))
    }
}

/// How long `then` is before `now`; zero when it is not.
pub(super) fn age(now: Timestamp, then: Timestamp) -> Duration {
    now.duration_since(then).max(SignedDuration::ZERO).unsigned_abs()
}

/// That long after `at`.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
