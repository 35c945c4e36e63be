//! A service that calls, and a store, for as many keepers as are wanted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::SignedDuration;
use mailbridge_core::{
    Deadline, Error, Put, Result, Revision, Subscriptions,
    changes::{
        Ask, Callback, Content, Cursor, Folders, Found, Page, Rule, Select, Subscription, What,
    },
    contract::{EventAttachment, MessageId},
    listed,
};

use super::*;

#[derive(Default)]
pub struct World {
    pub service: Mutex<Service>,
    values: Mutex<HashMap<String, (Bytes, u64)>>,
    revisions: Mutex<u64>,
}

/// What Graph has.
#[derive(Default)]
pub struct Service {
    /// By their ids: mailbox, folder, client state, end.
    pub subscriptions: BTreeMap<String, (Mailbox, Option<String>, String, Timestamp)>,
    made: u32,
    /// What it was asked for, and when.
    pub asked: Vec<(Instant, String)>,
    /// What it answers to a mailbox, by name.
    pub refuses: HashMap<String, Error>,
    /// The most that were asked for at once.
    pub at_once: (usize, usize),
    /// No state is taken by the store.
    pub store_fails: Option<Error>,
}

impl World {
    pub fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap()
    }

    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.service().asked).into_iter().map(|(_, what)| what).collect()
    }

    pub fn ids(&self) -> Vec<String> {
        self.service().subscriptions.keys().cloned().collect()
    }

    pub fn states(&self) -> usize {
        self.values.lock().unwrap().len()
    }

    /// A call of Graph about a subscription.
    pub fn call(&self, id: &str, lifecycle: Option<&str>) -> Vec<u8> {
        let state = self.service().subscriptions[id].2.clone();
        let item = serde_json::json!({
            "subscriptionId": id, "clientState": state, "lifecycleEvent": lifecycle,
        });
        serde_json::json!({ "value": [item] }).to_string().into_bytes()
    }

    /// A call takes a while, in which others are made.
    async fn asks(&self, what: String, mailbox: &Mailbox) -> Result<()> {
        {
            let mut service = self.service();
            service.asked.push((Instant::now(), what));
            service.at_once.0 += 1;
            service.at_once.1 = service.at_once.1.max(service.at_once.0);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut service = self.service();
        service.at_once.0 -= 1;
        service.refuses.get(mailbox.as_str()).cloned().map_or(Ok(()), Err)
    }
}

/// The time of day, which goes as tokio's does.
pub fn clock() -> impl Fn() -> Timestamp + Send + Sync + Clone {
    let (start, wall) = (Instant::now(), "2026-05-01T00:00:00Z".parse::<Timestamp>().unwrap());
    move || wall + SignedDuration::try_from(start.elapsed()).unwrap()
}

#[async_trait]
impl Subscriptions for World {
    async fn subscribe(
        &self,
        mailbox: &Mailbox,
        folder: Option<&str>,
        callback: &Callback,
        _: &Deadline,
    ) -> Result<Subscription> {
        assert!(callback.client_state.expose().len() <= 128);
        self.asks(format!("subscribe {mailbox}"), mailbox).await?;
        let mut service = self.service();
        service.made += 1;
        let (id, until) = (format!("s{}", service.made), callback.until);
        let state = callback.client_state.expose().to_owned();
        let folder = folder.map(str::to_owned);
        // one for each resource, as Graph may have it: the one before is ended
        service.subscriptions.retain(|_, known| known.0 != *mailbox || known.1 != folder);
        service.subscriptions.insert(id.clone(), (mailbox.clone(), folder, state, until));
        Ok(Subscription { id, until })
    }

    async fn renew(
        &self,
        mailbox: &Mailbox,
        id: &str,
        until: Timestamp,
        _: &Deadline,
    ) -> Result<Subscription> {
        self.asks(format!("renew {id}"), mailbox).await?;
        let mut service = self.service();
        let Some(known) = service.subscriptions.get_mut(id) else {
            return Err(Error::permanent(Code::GraphSubscriptionGone, "gone"));
        };
        known.3 = until;
        Ok(Subscription { id: id.to_owned(), until })
    }

    async fn unsubscribe(&self, mailbox: &Mailbox, id: &str, _: &Deadline) -> Result<()> {
        self.asks(format!("unsubscribe {id}"), mailbox).await?;
        self.service().subscriptions.remove(id);
        Ok(())
    }
}

#[async_trait]
impl StateStore for World {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Revision)>> {
        let values = self.values.lock().unwrap();
        Ok(values.get(key).map(|(value, revision)| (value.clone(), Revision(*revision))))
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Put> {
        if let Some(error) = self.service().store_fails.clone() {
            return Err(error);
        }
        let mut values = self.values.lock().unwrap();
        if values.get(key).map(|(_, revision)| Revision(*revision)) != expected {
            return Ok(Put::Conflict);
        }
        let mut revisions = self.revisions.lock().unwrap();
        *revisions += 1;
        values.insert(key.to_owned(), (value, *revisions));
        Ok(Put::Stored(Revision(*revisions)))
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Put> {
        let mut values = self.values.lock().unwrap();
        if values.get(key).is_none_or(|(_, revision)| Revision(*revision) != expected) {
            return Ok(Put::Conflict);
        }
        values.remove(key);
        Ok(Put::Stored(Revision(0)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let values = self.values.lock().unwrap();
        listed(prefix, values.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

#[async_trait]
impl Changes for World {
    async fn folders(
        &self,
        _: &Mailbox,
        _: &[String],
        _: Option<&Cursor>,
        _: &Deadline,
    ) -> Result<Folders> {
        unreachable!()
    }

    async fn page(&self, _: &Ask<'_>) -> Result<Page> {
        unreachable!()
    }

    async fn message(
        &self,
        _: &Mailbox,
        _: &MessageId,
        _: &Select,
        _: &Deadline,
    ) -> Result<Option<Found>> {
        unreachable!()
    }

    async fn attachments(
        &self,
        _: &Mailbox,
        _: &MessageId,
        _: &Deadline,
    ) -> Result<Vec<EventAttachment>> {
        unreachable!()
    }

    async fn content<'a>(
        &'a self,
        _: &Mailbox,
        _: What<'_>,
        _: &'a Deadline,
    ) -> Result<Box<dyn Content + 'a>> {
        unreachable!()
    }

    async fn discover(&self, _: &Rule, _: &Deadline) -> Result<Vec<Mailbox>> {
        unreachable!()
    }

    fn subscriptions(&self) -> Option<&dyn Subscriptions> {
        Some(self)
    }
}
