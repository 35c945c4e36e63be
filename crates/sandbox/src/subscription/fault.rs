//! How notifications go wrong: lost, doubled, late. Repeatable under the seed, in the order of the
//! changes.

use serde::{Deserialize, Serialize};

use crate::text::glob;

/// What goes wrong with notifications, and how patient the service is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotificationFaults {
    /// Faults only of mailboxes (by address) that fit this pattern with `*`; of all without it
    pub mailbox: Option<String>,
    /// Probability, 0 to 1, that one is never sent
    pub loss: f64,
    /// Probability, 0 to 1, that one is sent twice
    pub double: f64,
    /// How late each is, at random between the two
    pub delay_seconds: [f64; 2],
    /// As many as go into one request
    pub batch: usize,
    /// What an endpoint has to answer in
    /// (learn.microsoft.com/graph/change-notifications-delivery-webhooks)
    pub timeout_seconds: f64,
    /// After the first failure; doubled after each further one
    pub retry_seconds: f64,
    /// What a validation has to be answered in
    pub handshake_seconds: f64,
}

impl Default for NotificationFaults {
    fn default() -> Self {
        Self {
            mailbox: None,
            loss: 0.0,
            double: 0.0,
            delay_seconds: [0.0, 0.0],
            batch: 50,
            timeout_seconds: 3.0,
            retry_seconds: 10.0,
            handshake_seconds: 10.0,
        }
    }
}

impl NotificationFaults {
    pub fn means(&self, mailbox: &str) -> bool {
        self.mailbox.as_ref().is_none_or(|pattern| glob(pattern, mailbox))
    }
}
