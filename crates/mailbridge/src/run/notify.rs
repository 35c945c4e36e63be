//! Tells on a bus that a credential ends.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mailbridge_core::{Output, Result, contract::CloudEvent, plugin::Build};
use mailbridge_graph::{Expiring, Notify};
use serde::Serialize;

/// Publishes to one place. It is opened for each event: they are days apart.
pub struct OnBus(pub Arc<dyn Build<dyn Output>>);

/// The data of the event.
#[derive(Serialize)]
struct Data<'a> {
    /// The connection's name.
    connection: &'a str,
    /// Which of its credentials, such as `certificate 1`.
    credential: &'a str,
    /// When it ends.
    expires: Timestamp,
    /// Whole days left; negative when it has ended.
    days_left: i64,
}

#[async_trait]
impl Notify for OnBus {
    async fn expiring(&self, told: &Expiring) -> Result<()> {
        let event = event(told, Timestamp::now());
        self.0.build().await?.publish(event.to_message()?).await
    }
}

/// The same event for the same end on the same day, whoever tells it and however often.
fn event(told: &Expiring, time: Timestamp) -> CloudEvent<Data<'_>> {
    let Expiring { connection, credential, expires, days_left, day } = told;
    let id = format!("credential:{connection}:{credential}:{expires}:{day}");
    let kind = "mailbridge.credential.expiring".to_owned();
    let data = Data { connection, credential, expires: *expires, days_left: *days_left };
    CloudEvent::new(id, connection, kind, credential.clone(), time, data)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_event_is_the_same_all_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let told = Expiring {
            connection: "contoso".to_owned(),
            credential: "certificate 1".to_owned(),
            expires: at("2030-03-01T12:00:00Z"),
            days_left: 9,
            day: "2030-02-20".parse().unwrap(),
        };
        let morning = event(&told, at("2030-02-20T08:00:00Z")).to_message().unwrap();
        let evening = event(&told, at("2030-02-20T20:00:00Z")).to_message().unwrap();
        assert_eq!(morning.id, evening.id);
        let read: Value = serde_json::from_slice(&morning.payload).unwrap();
        assert_eq!(
            read,
            json!({
                "specversion": "1.0",
                "id": "credential:contoso:certificate 1:2030-03-01T12:00:00Z:2030-02-20",
                "source": "/mailbridge/contoso",
                "type": "mailbridge.credential.expiring",
                "subject": "certificate 1",
                "time": "2030-02-20T08:00:00Z",
                "datacontenttype": "application/json",
                "data": {
                    "connection": "contoso", "credential": "certificate 1",
                    "expires": "2030-03-01T12:00:00Z", "days_left": 9,
                },
            })
        );
    }
}
