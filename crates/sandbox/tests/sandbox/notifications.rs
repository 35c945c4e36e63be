//! Notifications: what they say, and how they are lost, doubled, late and tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use mailbridge_sandbox::{Bulk, LifecycleEvent, NotificationFaults, Pointer};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, SILENT};
use crate::follower::{IMMUTABLE, first, follow};
use crate::subscriptions::{in_minutes, subscribe, wanted};
use crate::support::{MAILBOX, World, finish, start};

fn receive(world: &World, count: u64) {
    world.handle().receive_many(&Bulk::new(MAILBOX, count)).unwrap();
}

fn pointer(subject: &str) -> Pointer {
    Pointer::subject(MAILBOX, subject)
}

/// Until the counts are as they should be.
async fn until(world: &World, reached: impl Fn(&mailbridge_sandbox::NotificationCounts) -> bool) {
    let wait = async {
        while !reached(&world.handle().notifications()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn changes_in_the_folder_are_told() {
    let world = start().await;
    let mut endpoint = Endpoint::start().await;
    let id = subscribe(&world, &wanted(&world, &endpoint)).await;
    receive(&world, 1);
    let value = &endpoint.values(1).await[0];
    let held = &world.handle().contents(MAILBOX, "inbox").unwrap()[0];
    assert_eq!(value["subscriptionId"], json!(id));
    assert_eq!(
        (&value["changeType"], &value["clientState"]),
        (&json!("created"), &json!("secret"))
    );
    assert_eq!(value["resourceData"]["id"], json!(held.id));
    assert_eq!(value["resourceData"]["@odata.type"], "#Microsoft.Graph.Message");
    let resource = value["resource"].as_str().unwrap();
    assert!(resource.starts_with("Users/") && resource.ends_with(&held.id));
    for name in ["tenantId", "subscriptionExpirationDateTime"] {
        assert!(value[name].is_string(), "{name}");
    }
    let seen = crate::support::encode(&held.id);
    let message = world.get(&format!("users/{MAILBOX}/messages/{seen}")).await.json();
    assert_eq!(value["resourceData"]["@odata.etag"], message["@odata.etag"]);

    let read = json!({"isRead": true});
    world
        .handle()
        .change_message(&pointer("Message 1"), read.as_object().unwrap().clone())
        .unwrap();
    assert_eq!(endpoint.values(1).await[0]["changeType"], "updated");
    world.handle().move_message(&pointer("Message 1"), "archive").unwrap();
    assert_eq!(endpoint.values(1).await[0]["changeType"], "deleted");
    world.handle().move_message(&pointer("Message 1"), "inbox").unwrap();
    assert_eq!(endpoint.values(1).await[0]["changeType"], "created");
    world.draft("in another folder").await;
    world.handle().receive_many(&Bulk::new("bob@contoso.example", 1)).unwrap();
    receive(&world, 1);
    assert_eq!(endpoint.values(1).await[0]["changeType"], "created", "the draft is not told");
}

#[tokio::test]
async fn a_whole_mailbox_one_kind_of_change_and_immutable_ids() {
    let world = start().await;
    let mut endpoint = Endpoint::start().await;
    let mut body = wanted(&world, &endpoint);
    body["resource"] = json!(format!("/users/{MAILBOX}/messages"));
    body["changeType"] = json!("deleted");
    let request = world.request(reqwest::Method::POST, "subscriptions").json(&body);
    finish(request.header("prefer", IMMUTABLE)).await.expect(StatusCode::CREATED);
    receive(&world, 1);
    let held = world.handle().contents(MAILBOX, "inbox").unwrap()[0].clone();
    world.handle().delete_message(&pointer("Message 1"), true).unwrap();
    let value = &endpoint.values(1).await[0];
    assert_eq!(value["resourceData"]["id"], json!(held.immutable_id));
    assert!(value["resourceData"].get("@odata.etag").is_none());
}

#[tokio::test]
async fn some_are_lost_and_some_doubled_and_delta_tells_all() {
    let world = start().await;
    let mut endpoint = Endpoint::start().await;
    let faults = NotificationFaults { loss: 0.2, double: 0.2, ..NotificationFaults::default() };
    world.handle().set_notification_faults(faults);
    subscribe(&world, &wanted(&world, &endpoint)).await;
    receive(&world, 200);
    until(&world, |counts| counts.made == 200 && counts.delivered > 0).await;
    let counts = world.handle().notifications();
    assert!((20..60).contains(&counts.lost) && (15..60).contains(&counts.doubled), "{counts:?}");
    let expected = 200 - counts.lost + counts.doubled;
    let heard = endpoint.values(usize::try_from(expected).unwrap()).await;
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for value in &heard {
        *times.entry(value["resourceData"]["id"].as_str().unwrap()).or_default() += 1;
    }
    let doubled = times.values().filter(|count| **count == 2).count() as u64;
    assert_eq!((times.len() as u64, doubled), (200 - counts.lost, counts.doubled));
    let round = follow(&world, &first(&world, "inbox", "?$select=subject"), 100).await;
    assert_eq!(round.items().len(), 200);
}

#[tokio::test]
async fn they_are_late_by_the_clock_of_the_sandbox() {
    let world = start().await;
    let mut endpoint = Endpoint::start().await;
    let faults = json!({"delay_seconds": [60.0, 90.0], "mailbox": "anna@*"});
    world.admin_post("notifications", faults).await;
    subscribe(&world, &wanted(&world, &endpoint)).await;
    receive(&world, 3);
    until(&world, |counts| counts.made == 3).await;
    assert_eq!(endpoint.rest().len(), 0);
    world.handle().advance_clock(Duration::from_secs(91));
    endpoint.values(3).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_is_asked_again() {
    let world = start().await;
    let mut endpoint = Endpoint::start().await;
    subscribe(&world, &wanted(&world, &endpoint)).await;
    let faults = NotificationFaults { timeout_seconds: 0.2, ..NotificationFaults::default() };
    world.handle().set_notification_faults(faults);
    let mut last = Value::Null;
    receive(&world, 1);
    for (failure, behaviour) in [(1, 500), (2, SILENT), (3, 429)] {
        endpoint.behave(behaviour);
        if failure > 1 {
            world.handle().advance_clock(Duration::from_mins(5));
        }
        last = endpoint.next().await;
        until(&world, |counts| counts.failed_requests == failure).await;
    }
    endpoint.behave(204);
    world.handle().advance_clock(Duration::from_mins(5));
    assert_eq!(endpoint.next().await, last, "the same again");
    until(&world, |counts| counts.delivered == 1).await;

    endpoint.behave(503);
    receive(&world, 1);
    until(&world, |counts| counts.failed_requests > 3).await;
    world.handle().advance_clock(Duration::from_hours(5));
    until(&world, |counts| counts.dropped == 1).await;
}

#[tokio::test]
async fn lifecycle_events_come_on_demand() {
    let world = start().await;
    let mut endpoint = Endpoint::start().await;
    let id = subscribe(&world, &wanted(&world, &endpoint)).await;
    let told = world.admin_post("subscriptions/lifecycle", json!({"event": "missed"})).await;
    assert_eq!(told, json!({"told": 1}));
    let missed = &endpoint.values(1).await[0];
    assert_eq!(
        (&missed["lifecycleEvent"], &missed["clientState"]),
        (&json!("missed"), &json!("secret"))
    );

    world.handle().lifecycle(Some(&id), LifecycleEvent::ReauthorizationRequired).unwrap();
    assert_eq!(endpoint.values(1).await[0]["lifecycleEvent"], "reauthorizationRequired");
    receive(&world, 1);
    let end = json!({"expirationDateTime": in_minutes(&world, 60)});
    // what came while it waited is not told; a fence shows that it was looked at
    let fence = Endpoint::start().await;
    let mut other = wanted(&world, &fence);
    other["resource"] = json!("users/bob@contoso.example/messages");
    subscribe(&world, &other).await;
    world.handle().receive_many(&Bulk::new("bob@contoso.example", 1)).unwrap();
    until(&world, |counts| counts.made == 1).await;
    world.patch(&format!("subscriptions/{id}"), &end).await.expect(StatusCode::OK);
    receive(&world, 1);
    assert_eq!(endpoint.values(1).await[0]["changeType"], "created");

    world.handle().lifecycle(Some(&id), LifecycleEvent::SubscriptionRemoved).unwrap();
    assert_eq!(endpoint.values(1).await[0]["lifecycleEvent"], "subscriptionRemoved");
    world.get(&format!("subscriptions/{id}")).await.refused(404, "ResourceNotFound");
    assert!(world.handle().lifecycle(Some(&id), LifecycleEvent::Missed).is_err());
}

#[tokio::test]
async fn many_go_together() {
    let world = start().await;
    let mut endpoint = Endpoint::start().await;
    world.admin_post("notifications", json!({"delay_seconds": [5.0, 5.0], "batch": 10})).await;
    subscribe(&world, &wanted(&world, &endpoint)).await;
    receive(&world, 35);
    until(&world, |counts| counts.made == 35).await;
    world.handle().advance_clock(Duration::from_secs(6));
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 35 {
        sizes.push(endpoint.next().await["value"].as_array().unwrap().len());
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 10, 10, 10]);
}
