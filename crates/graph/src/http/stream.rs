//! An answer that is read in pieces: content of any length, of which a piece at a time is in memory.
//!
//! The way in is the door's own. What breaks off in the middle has no effect and may be asked for
//! again, from its beginning: Graph has no ranges here.

use std::time::Duration;

use bytes::Bytes;
use mailbridge_core::{Code, Error, Result};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::{Call, Door, Operation, Outcome};
use crate::pacing::Permit;

/// The rest of an answer.
pub(crate) struct Stream {
    response: Response,
    operation: Operation,
    /// How long a piece may take.
    piece_max: Duration,
}

impl Door {
    /// Makes a request, and gives its answer when its body begins.
    ///
    /// # Errors
    /// As [`Door::call`].
    pub(crate) async fn open(&self, permit: &Permit, call: &Call<'_>) -> Result<Stream> {
        match self.admitted(permit, call).await? {
            Outcome::Opened(response) => {
                let (operation, piece_max) = (call.operation, self.request_timeout);
                Ok(Stream { response, operation, piece_max })
            }
            _ => Err(Error::permanent(Code::Internal, "an answer was read and not opened")),
        }
    }
}

impl Stream {
    /// The next piece; nothing at the end.
    ///
    /// # Errors
    /// *Transient* when it breaks off, or does not come in time.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Result<Option<Bytes>> {
        let until = deadline.min(Instant::now() + self.piece_max);
        let code = match timeout_at(until, self.response.chunk()).await {
            Ok(Ok(piece)) => return Ok(piece),
            Ok(Err(_)) => Code::GraphCut,
            Err(_) => Code::GraphTimeout,
        };
        Err(Error::transient(code, code.meaning()).with("operation", self.operation.name()))
    }
}
