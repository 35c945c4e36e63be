//! Outcomes to where `GET /requests/{id}` finds them.

use async_trait::async_trait;
use mailbridge_core::{Code, Error, Message, Output, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{Change, POSITION, Spool};

/// An output that only outcomes of this spool's requests go to.
pub(crate) struct Outcomes(Spool);

impl Outcomes {
    pub(crate) fn new(spool: Spool) -> Self {
        Self(spool)
    }
}

#[derive(Deserialize)]
struct Outcome {
    data: Value,
}

#[async_trait]
impl Output for Outcomes {
    /// The same outcome again says the same. One of a request that ended long ago is not kept.
    async fn publish(&self, message: Message) -> Result<()> {
        let Ok(Outcome { data }) = serde_json::from_slice(&message.payload) else {
            return Err(no_outcome());
        };
        let position = data.get("position").and_then(Value::as_str).ok_or_else(no_outcome)?;
        let id = position.strip_prefix(POSITION).ok_or_else(no_outcome)?.to_owned();
        self.0.change(Change::Tell { id, outcome: data }).await.map(drop)
    }
}

fn no_outcome() -> Error {
    let detail = "only outcomes of requests that came over HTTP can be told over HTTP";
    Error::permanent(Code::BusMismatch, detail)
}
