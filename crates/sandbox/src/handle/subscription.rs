//! What a test may do to subscriptions and notifications.

use serde::{Deserialize, Serialize};

use super::{Handle, NotThere};
use crate::subscription::{HubMessage, NotificationCounts, NotificationFaults, SubscriptionView};

/// What the service tells a client about its subscription
/// (learn.microsoft.com/graph/change-notifications-lifecycle-events).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LifecycleEvent {
    /// Nothing comes any more until it is renewed or reauthorized
    ReauthorizationRequired,
    /// It is no more
    SubscriptionRemoved,
    /// Some notifications got lost
    Missed,
}

impl LifecycleEvent {
    fn name(self) -> &'static str {
        match self {
            Self::ReauthorizationRequired => "reauthorizationRequired",
            Self::SubscriptionRemoved => "subscriptionRemoved",
            Self::Missed => "missed",
        }
    }
}

impl Handle {
    /// The living subscriptions of all apps.
    pub fn subscriptions(&self) -> Vec<SubscriptionView> {
        self.world().subscriptions.list(None, self.now()).iter().map(Into::into).collect()
    }

    /// Sets what goes wrong with notifications, and how patient the service is.
    pub fn set_notification_faults(&self, faults: NotificationFaults) {
        self.world().subscriptions.set_faults(faults);
    }

    pub fn notification_faults(&self) -> NotificationFaults {
        self.world().subscriptions.faults()
    }

    /// What became of notifications so far.
    pub fn notifications(&self) -> NotificationCounts {
        self.world().subscriptions.counts()
    }

    /// Takes out the oldest of what Graph has put into event hubs, as soon as there is something.
    /// Cancel safe; for one taker at a time.
    pub async fn take_from_hub(&self) -> HubMessage {
        self.world().subscriptions.hubs.take().await
    }

    /// Makes something happen to a subscription, or to all of them, and tells their clients; says
    /// how many had an address for that.
    ///
    /// # Errors
    /// When no living subscription has this id.
    pub fn lifecycle(&self, id: Option<&str>, event: LifecycleEvent) -> Result<usize, NotThere> {
        let book = &self.world().subscriptions;
        let mut meant = book.list(None, self.now());
        meant.retain(|one| id.is_none_or(|id| id == one.id));
        if let Some(id) = id.filter(|_| meant.is_empty()) {
            return Err(NotThere(format!("there is no living subscription {id}")));
        }
        let mut told = 0;
        for one in &meant {
            match event {
                LifecycleEvent::ReauthorizationRequired => book.require_reauthorization(&one.id),
                LifecycleEvent::SubscriptionRemoved => {
                    book.remove(&one.id);
                }
                LifecycleEvent::Missed => {}
            }
            told += usize::from(book.tell_lifecycle(self.world(), one, event.name()));
        }
        Ok(told)
    }
}
