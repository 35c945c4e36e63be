//! From changes to requests at the endpoints of those who subscribed.
//!
//! One task carries everything out, so that a seed decides what is lost. An endpoint that is slow
//! or down holds up nobody else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::hub;
use super::outbox::Item;
use super::request::Change;
use super::ring::Rung;
use super::{Subscription, Subscriptions};
use crate::clock::seconds_text;
use crate::fault::seconds;
use crate::lock::lock;
use crate::mailbox::folder::Folder;
use crate::mailbox::ids::{Format, Thing};
use crate::message::render;
use crate::world::World;

/// Requests under way at once.
const REQUESTS: usize = 64;
/// When nothing is due, somebody will wake us.
const LONG: Duration = Duration::from_hours(1);

/// Delivers until the sandbox stops.
pub async fn run(world: Arc<World>) -> io::Result<()> {
    let client = world.subscriptions.client().map_err(|error| io::Error::other(error.message))?;
    let mut stopping = world.stopping.clone();
    let mut requests = JoinSet::new();
    loop {
        absorb(&world);
        let faults = world.subscriptions.faults();
        let mut rest = LONG;
        while requests.len() < REQUESTS {
            let (now, mut outbox) = (world.clock.now(), lock(&world.subscriptions.outbox));
            let Some(items) = outbox.take(now, faults.batch) else {
                rest = outbox.rest(now).unwrap_or(LONG);
                break;
            };
            drop(outbox);
            requests.spawn(deliver(world.clone(), client.clone(), items));
        }
        tokio::select! {
            // an error means that the sandbox is gone: the end as well
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            () = world.subscriptions.ring.heard() => {}
            Some(_) = requests.join_next() => {}
            () = sleep(rest) => {}
        }
    }
}

/// Makes notifications of what has happened.
fn absorb(world: &World) {
    let changes = world.subscriptions.ring.take();
    if changes.is_empty() {
        return;
    }
    let (now, faults) = (world.clock.now(), world.subscriptions.faults());
    let book = lock(&world.subscriptions.book);
    let mut outbox = lock(&world.subscriptions.outbox);
    for rung in changes {
        let suffers = faults.means(&rung.mailbox).then_some(&faults);
        for one in book.of(&rung.mailbox) {
            if one.expires > now && !one.paused && one.hears(&rung) {
                let body = change_body(world, one, &rung);
                outbox.post(&one.wanted.notification_url, body, now, suffers);
            }
        }
    }
}

impl Subscription {
    fn hears(&self, rung: &Rung) -> bool {
        let here = self.folder.map_or(rung.folder != Folder::RECOVERABLE, |one| one == rung.folder);
        here && self.wanted.changes.contains(&rung.change)
    }
}

fn change_body(world: &World, one: &Subscription, rung: &Rung) -> Value {
    let known = &rung.known;
    let generation = match one.format {
        Format::Default => known.default_id,
        Format::Immutable => known.immutable_id,
    };
    let thing = Thing::Message { format: one.format, key: known.key, generation };
    let id = one.mailbox.seal.seal(thing);
    let resource = format!("Users/{}/Messages/{id}", one.mailbox.user_id);
    let mut data = json!({
        "@odata.type": "#Microsoft.Graph.Message",
        "@odata.id": resource,
        "id": id,
    });
    if rung.change != Change::Deleted {
        data["@odata.etag"] = json!(render::tag(known.key, known.change));
    }
    let mut body = frame(world, one);
    body["changeType"] = json!(rung.change.as_str());
    body["resource"] = json!(resource);
    body["resourceData"] = data;
    body
}

/// What every notification says of its subscription.
fn frame(world: &World, one: &Subscription) -> Value {
    let tenant = world.directory.numbered(one.tenant).map(|tenant| tenant.id.clone());
    json!({
        "subscriptionId": one.id,
        "subscriptionExpirationDateTime": seconds_text(one.expires),
        "clientState": one.wanted.client_state.as_ref().map(|state| state.0.as_str()),
        "tenantId": tenant,
    })
}

async fn deliver(world: Arc<World>, client: Client, items: Vec<Item>) {
    let faults = world.subscriptions.faults();
    let Some(url) = items.first().map(|item| item.url.clone()) else { return };
    let values: Vec<&Value> = items.iter().map(|item| &item.body).collect();
    let body = json!({"value": values});
    let taken = if hub::is_hub(&url) {
        world.subscriptions.hubs.put(&url, &body);
        true
    } else {
        let request = client.post(url).json(&body);
        let answer = request.timeout(seconds(faults.timeout_seconds)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    let (now, retry) = (world.clock.now(), seconds(faults.retry_seconds));
    lock(&world.subscriptions.outbox).settle(items, taken, now, retry);
}

impl Subscriptions {
    /// Tells a client about its subscription; says whether there is an address for that.
    pub fn tell_lifecycle(&self, world: &World, one: &Subscription, event: &str) -> bool {
        let Some(url) = &one.wanted.lifecycle_url else { return false };
        let mut body = frame(world, one);
        body["lifecycleEvent"] = json!(event);
        lock(&self.outbox).post_lifecycle(url, body, world.clock.now());
        self.wake();
        true
    }

    /// Stops one until it is reauthorized.
    pub fn require_reauthorization(&self, id: &str) {
        self.pause(id);
    }
}
