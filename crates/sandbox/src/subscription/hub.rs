//! Event hubs that subscriptions name in place of an address
//! (learn.microsoft.com/graph/change-notifications-delivery-event-hubs).
//!
//! There is no Azure here: what Graph would put into a hub is kept in memory until somebody takes
//! it, who may carry it to a broker. Whether the hub lets Graph in is not emulated.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::lock::lock;

/// What the address of a hub begins with.
const SCHEME: &str = "EventHub:";
/// What is kept at most; beyond it the oldest goes, as when a hub's retention is over.
const KEPT_MAX: usize = 100_000;

/// What Graph has put into a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubMessage {
    /// The address, as the subscription names it.
    pub hub: String,
    /// JSON: the same as the body of a call.
    pub body: String,
}

/// All hubs.
#[derive(Debug, Default)]
pub struct Hubs {
    messages: Mutex<VecDeque<HubMessage>>,
    arrived: Notify,
}

/// Whether an address is of a hub.
pub fn is_hub(url: &str) -> bool {
    url.starts_with(SCHEME)
}

/// Whether Graph would take the address: the hub or a secret of a vault, and whose it is.
pub fn is_complete(url: &str) -> bool {
    let rest = url.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix("https://"));
    let parts = rest.and_then(|rest| rest.split_once("?tenantId="));
    parts.is_some_and(|(hub, tenant)| {
        let kind = hub.split('/').nth(1).unwrap_or_default();
        ["eventhubname", "secrets"].contains(&kind) && !tenant.is_empty()
    })
}

impl Hubs {
    pub fn put(&self, hub: &str, body: &Value) {
        let mut messages = lock(&self.messages);
        if messages.len() >= KEPT_MAX {
            messages.pop_front();
        }
        messages.push_back(HubMessage { hub: hub.to_owned(), body: body.to_string() });
        drop(messages);
        self.arrived.notify_one();
    }

    /// What is put into a hub before a subscription to it is granted. Nobody answers it.
    pub fn try_out(&self, hub: &str, request_id: &str) {
        let change = format!(
            "Validation: Testing client application reachability for subscription Request-Id: \
             {request_id}"
        );
        let data = json!({ "@odata.type": "NA", "@odata.id": "NA", "id": "NA" });
        let item = json!({
            "subscriptionId": "NA", "subscriptionExpirationDateTime": "NA", "clientState": "NA",
            "changeType": change, "resource": "NA", "resourceData": data,
        });
        self.put(hub, &json!({ "value": [item] }));
    }

    /// Takes the oldest message out, as soon as there is one. Cancel safe; for one taker.
    pub async fn take(&self) -> HubMessage {
        loop {
            let arrived = self.arrived.notified();
            if let Some(message) = lock(&self.messages).pop_front() {
                return message;
            }
            arrived.await;
        }
    }

    pub fn reset(&self) {
        lock(&self.messages).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hubs_are_whole() {
        for good in [
            "EventHub:https://ns.servicebus.windows.net/eventhubname/calls?tenantId=contoso.com",
            "EventHub:https://vault.vault.azure.net/secrets/hub?tenantId=contoso.com",
        ] {
            assert!(is_hub(good) && is_complete(good), "{good}");
        }
        for bad in [
            "EventHub:https://ns.servicebus.windows.net/calls?tenantId=contoso.com",
            "EventHub:https://ns.servicebus.windows.net/eventhubname/calls",
            "EventHub:ns.servicebus.windows.net/eventhubname/calls?tenantId=contoso.com",
        ] {
            assert!(is_hub(bad) && !is_complete(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_was_put_first_is_taken_first() {
        let hubs = Hubs::default();
        hubs.try_out("h", "1");
        hubs.put("h", &json!({ "value": [] }));
        assert!(hubs.take().await.body.contains("Validation: "));
        assert_eq!(hubs.take().await.body, r#"{"value":[]}"#);
    }
}
