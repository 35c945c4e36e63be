//! What a report says of a mail that came back.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mail that somebody did not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bounce {
    /// The report's own `Message-ID`. One mail may be reported more than once.
    pub report: String,
    /// When the report arrived in the sender's inbox.
    pub received: Timestamp,
    /// Who did not get the mail, as far as the report can be read. Whoever can write to the sender can
    /// forge a report.
    pub recipients: Vec<Undelivered>,
}

/// One recipient who did not get it, as RFC 3464 has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undelivered {
    /// The address.
    pub address: String,
    /// The enhanced status code, such as `5.1.1` (RFC 3463).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What the refusing server said, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
}

/// Shows the status only: addresses never reach a log, and servers like to repeat them.
impl fmt::Debug for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undelivered").field("status", &self.status).finish_non_exhaustive()
    }
}
