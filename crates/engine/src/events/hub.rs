//! Graph's calls that come by a bus and not by HTTP: an event hub, read as a topic
//! (learn.microsoft.com, change-notifications-delivery-event-hubs).
//!
//! What is in a record is what the body of a call has, and it is taken by the same hand. A record is
//! forgotten once it is noted: a call says nothing but *look*, and every start of a worker looks at
//! every mailbox. So one that cannot be read is forgotten too, and told by nobody but the metric.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use mailbridge_core::{Delivery, Disposition, Input, Needs, plugin::Build};
use serde::Deserialize;

use super::callback::Callbacks;
use crate::{health::Reporter, host::InputHost};

/// What is asked of the bus: a record is noted at once, and some wait to be forgotten together.
pub const NEEDS: Needs = Needs { in_flight: 64, concluding: 0, deadline: Duration::from_secs(30) };
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
    let mut forgetting = FuturesUnordered::new();
    loop {
        tokio::select! {
            delivery = input.next(), if forgetting.len() < NEEDS.in_flight => {
                let Some(Delivery { message, receipt, .. }) = delivery else { break };
                note(&pipeline, &callbacks, &message.payload);
                forgetting.push(receipt.settle(Disposition::Done));
            }
            Some(forgotten) = forgetting.next() => {
                if let Err(error) = forgotten {
                    // it is heard again, and looking twice changes nothing
                    let code = error.code();
                    tracing::debug!(%pipeline, %code, %error, "a call is not forgotten yet");
                }
            }
        }
    }
    while forgetting.next().await.is_some() {}
}

fn note(pipeline: &str, callbacks: &Callbacks, body: &[u8]) {
    if is_trial(body) {
        return;
    }
    match callbacks.receive(pipeline, body) {
        Ok(received) => tracing::debug!(%pipeline, ?received, "notified by the hub"),
        Err(error) => {
            let code = error.code();
            tracing::debug!(%pipeline, %code, %error, "a record is no call of Graph's");
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
    use std::sync::Mutex;

    use async_trait::async_trait;
    use mailbridge_core::{
        Mailbox, Message, Position, Receipt, Result, Secret, SeenBefore, Settle, Settled,
    };
    use tokio::sync::Barrier;

    use super::*;
    use crate::{events::callback::Inbox, health::Health};

    const CALLS: usize = 3;

    /// A hub with these records. Each is forgotten only once all of them are to be.
    struct Hub(Mutex<Vec<String>>, Arc<Barrier>);

    struct Records(Vec<String>, Arc<Barrier>);

    struct Together(Arc<Barrier>);

    #[async_trait]
    impl Build<dyn Input> for Hub {
        async fn build(&self) -> Result<Box<dyn Input>> {
            let records = std::mem::take(&mut *self.0.lock().unwrap());
            Ok(Box::new(Records(records, Arc::clone(&self.1))))
        }
    }

    #[async_trait]
    impl Input for Records {
        async fn next(&mut self) -> Result<Option<Delivery>> {
            let Some(record) = self.0.pop() else { return Ok(None) };
            Ok(Some(Delivery {
                message: Message { payload: record.into(), ..Message::default() },
                position: Position::new("0"),
                seen_before: SeenBefore::No,
                receipt: Receipt::new(Together(Arc::clone(&self.1))),
            }))
        }
    }

    #[async_trait]
    impl Settle for Together {
        async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
            assert!(matches!(disposition, Disposition::Done));
            self.0.wait().await;
            Ok(Settled::Yes)
        }

        async fn extend(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn records_are_noted_whatever_they_are_and_forgotten_together() {
        let call = r#"{"value":[{"subscriptionId":"1","clientState":"s"}]}"#;
        let records = [call, "no JSON", r#"{"value":[{"subscriptionId":"NA"}]}"#];
        let records = records.map(str::to_owned).to_vec();
        assert_eq!(records.len(), CALLS);
        let hub = Arc::new(Hub(Mutex::new(records), Arc::new(Barrier::new(CALLS))));
        let (callbacks, inbox) = (Callbacks::new(), Arc::<Inbox>::default());
        callbacks.add("1", Secret::new("s"), Mailbox::new("a@x.org"), &inbox);
        let health = Health::default().register("p");
        let heard = hear("p".to_owned(), hub, callbacks, health);
        tokio::time::timeout(Duration::from_secs(10), heard).await.expect("it ends");
        assert_eq!(inbox.woken().await, [Mailbox::new("a@x.org")]);
    }

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
