//! Graph's calls that come by a bus and not by HTTP: an event hub, read as a topic
//! (learn.microsoft.com, change-notifications-delivery-event-hubs).
//!
//! What is in a record is what the body of a call has, and it is taken by the same hand. A record is
//! forgotten once it is noted: a call says nothing but *look*, and every start of a worker looks at
//! every mailbox. So one that cannot be read is forgotten too, and told by nobody but the metric.

use std::sync::Arc;

use mailbridge_core::{Disposition, Input, plugin::Build};
use serde::Deserialize;

use super::callback::Callbacks;
use crate::{health::Reporter, host::InputHost};

/// What stands for everything in the message by which Graph tries a hub.
const NOTHING: &str = "NA";

/// Hears calls until the bus has no more, which a topic never says.
pub(super) async fn hear(
    pipeline: String,
    hub: Arc<dyn Build<dyn Input>>,
    callbacks: Callbacks,
    health: Reporter,
) {
    let mut input = InputHost::new(&pipeline, hub, health);
    while let Some(delivery) = input.next().await {
        let body = &delivery.message.payload;
        if !is_trial(body) {
            match callbacks.receive(&pipeline, body) {
                Ok(received) => tracing::debug!(%pipeline, ?received, "notified by the hub"),
                Err(error) => {
                    let code = error.code();
                    tracing::debug!(%pipeline, %code, %error, "a record is no call of Graph's");
                }
            }
        }
        if let Err(error) = delivery.receipt.settle(Disposition::Done).await {
            // it is heard again, and looking twice changes nothing
            tracing::debug!(%pipeline, code = %error.code(), %error, "a call is not forgotten yet");
        }
    }
}

/// Whether Graph only tries whether the hub can be reached, as it does before each subscription.
fn is_trial(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Call {
        value: Vec<Item>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        subscription_id: String,
    }
    let trial = |item: &Item| item.subscription_id == NOTHING;
    serde_json::from_slice::<Call>(body)
        .is_ok_and(|call| !call.value.is_empty() && call.value.iter().all(trial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_known_by_what_it_is_not_about() {
        let trial = r#"{"value":[{"subscriptionId":"NA","clientState":"NA",
            "changeType":"Validation: Testing client application reachability"}]}"#;
        assert!(is_trial(trial.as_bytes()));
        for call in [
            r#"{"value":[{"subscriptionId":"NA"},{"subscriptionId":"1"}]}"#,
            r#"{"value":[]}"#,
            "not JSON",
        ] {
            assert!(!is_trial(call.as_bytes()), "{call}");
        }
    }
}
