//! Whatever happens to mails and folders: what of it is told, and as what.

use mailbridge_core::contract::Change;
use mailbridge_sandbox::{Bulk, DEMO_CLIENT_ID, Group, MailboxState, Pointer};
use serde_json::{Value, json};

use super::world::{DOMAIN, Plan, World};
use crate::{
    bus::{EVENTS, On, over_each_bus},
    rig::{self, SOON, until},
};

over_each_bus!(
    what_happens_to_a_mail_is_told_as_what_it_is,
    folders_below_are_followed_also_new_ones_and_one_that_goes_hurts_no_other,
    the_members_of_a_group_are_read_new_ones_too_and_one_that_is_denied_is_parked,
    only_users_whom_the_filter_means_are_read,
);

/// What was told since so many events: change, folder, subject.
async fn told(world: &World, after: usize) -> Vec<(Change, String, String)> {
    let events = world.events().await;
    let told = events.into_iter().skip(after).map(|event| {
        let subject = event.event.data.content.subject.unwrap_or_default();
        (event.change, event.folder, subject)
    });
    told.collect()
}

fn inbox(change: Change, subject: &str) -> (Change, String, String) {
    (change, "inbox".to_owned(), subject.to_owned())
}

async fn what_happens_to_a_mail_is_told_as_what_it_is(on: On) {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      changes: [received, updated, moved, deleted]",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    world.arrive(0, 4, "old");
    let _program = world.start();
    world.published(4, SOON).await;
    let mail = |subject: &str| Pointer::subject(rig::mailbox(0), subject);
    let change = |subject: &str, change: Value| {
        let change = change.as_object().expect("an object").clone();
        world.handle().change_message(&mail(subject), change).expect("it is there");
    };

    change("old 1", json!({ "isRead": true, "categories": ["Red"] }));
    world.published(5, SOON).await;
    assert_eq!(told(&world, 4).await, [inbox(Change::Updated, "old 1")]);
    let event = world.events().await.pop().expect("it").event.data;
    assert_eq!((event.content.is_read, event.content.categories.len()), (Some(true), 1));

    world.handle().move_message(&mail("old 2"), "archive").expect("it is there");
    world.published(6, SOON).await;
    assert_eq!(told(&world, 5).await, [inbox(Change::Moved, "old 2")]);
    let event = world.events().await.pop().expect("it").event.data;
    assert!(event.moved_to.is_some_and(|folder| !folder.is_empty()));

    world.handle().delete_message(&mail("old 3"), true).expect("it is there");
    world.published(7, SOON).await;
    let (of, id) = (world.events().await, |event: &Value| event["data"]["message_id"].clone());
    let all = world.messages(EVENTS).await;
    let all: Vec<Value> =
        all.iter().map(|it| serde_json::from_slice(&it.payload).expect("JSON")).collect();
    assert_eq!(of.last().map(|event| event.change), Some(Change::Deleted));
    assert_eq!(id(&all[6]), id(&all[2]), "of the mail that was told as the third");

    // of a mail that is changed twice while nobody looks, the last is told
    world.arrive(0, 1, "new");
    world.published(8, SOON).await;
    assert_eq!(told(&world, 7).await, [inbox(Change::Received, "new 1")]);
    assert_eq!(world.publications(), 8, "each once");
}

async fn folders_below_are_followed_also_new_ones_and_one_that_goes_hurts_no_other(on: On) {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      folders: [\"inbox/**\", \"Projects/2026\"]",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    let (mailbox, handle) = (rig::mailbox(0), world.handle());
    let folder = |parent: Option<&str>, name: &str| {
        handle.create_folder(&mailbox, parent, name).expect("a folder")
    };
    let orders = folder(Some("inbox"), "Orders");
    let projects = folder(None, "Projects");
    let year = folder(Some(&projects), "2026");
    let arrive = |folder: &str, subject: &str| {
        let (folder, subject) = (Some(folder.to_owned()), subject.to_owned());
        let seed = subject.len() as u64;
        let bulk = Bulk { folder, subject, seed, ..Bulk::new(&mailbox, 1) };
        handle.receive_many(&bulk).expect("it arrives");
    };
    arrive("inbox", "a");
    arrive(&orders, "bb");
    arrive(&year, "ccc");
    let _program = world.start();
    world.published(3, SOON).await;
    let mut folders: Vec<_> = told(&world, 0).await.into_iter().map(|(_, it, _)| it).collect();
    folders.sort();
    assert_eq!(folders, ["Projects/2026", "inbox", "inbox/Orders"]);

    let late = folder(Some(&orders), "Late");
    arrive(&late, "dddd");
    world.published(4, SOON).await;
    assert_eq!(told(&world, 3).await[0].1, "inbox/Orders/Late");

    handle.delete_folder(&mailbox, &year).expect("it was there");
    arrive("inbox", "eeeee");
    arrive(&orders, "ffffff");
    world.published(6, SOON).await;
    let mut folders: Vec<_> = told(&world, 4).await.into_iter().map(|(_, it, _)| it).collect();
    folders.sort();
    assert_eq!(folders, ["inbox", "inbox/Orders"]);
}

async fn the_members_of_a_group_are_read_new_ones_too_and_one_that_is_denied_is_parked(on: On) {
    let plan = Plan {
        mailboxes: 0,
        rule: "{ group: 22222222-3333-4444-5555-666666666666 }",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    let group = Group::new("support").with_id("22222222-3333-4444-5555-666666666666");
    let group = (0..3).fold(group, |group, n| group.member(rig::mailbox(n)));
    world.handle().set_group(DOMAIN, group).expect("the tenant");
    let roles = ["Mail.ReadWrite", "User.Read.All", "GroupMember.Read.All"];
    world.handle().set_app_roles(DEMO_CLIENT_ID, &roles).expect("the app");
    world.handle().set_mailbox(&rig::mailbox(1), MailboxState::Denied).expect("it is there");
    for mailbox in [0, 2] {
        world.arrive(mailbox, 5, "old");
    }
    let mut program = world.start();
    world.published(10, SOON).await;
    let status = async || {
        let status = world.get("/status").await.unwrap_or_default();
        serde_json::from_str::<Value>(&status).unwrap_or_default()
    };
    let mut last = Value::Null;
    until(SOON, "one is parked", async || {
        last = status().await;
        last["pipelines"][0]["counts"]["parked"] == 1
            && last["pipelines"][0]["counts"]["steady"] == 2
    })
    .await;
    let text = last.to_string();
    assert!(text.contains("mailbox_denied"), "{text}");
    let metrics = world.get("/metrics").await.expect("metrics");
    let parked = metrics.lines().find(|line| line.contains("state=\"parked\""));
    assert!(parked.is_some_and(|line| line.ends_with(" 1")), "{parked:?}");

    // who joins, and who is let in again, is read whole; a start asks at once
    let group = Group::new("support").with_id("22222222-3333-4444-5555-666666666666");
    let group = (1..4).fold(group, |group, n| group.member(rig::mailbox(n)));
    world.handle().set_group(DOMAIN, group).expect("the tenant");
    world.handle().set_mailbox(&rig::mailbox(1), MailboxState::Ok).expect("it is there");
    program.sigterm().expect("it runs");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    for (mailbox, count) in [(0, 3), (1, 4), (3, 2)] {
        world.arrive(mailbox, count, "meanwhile");
    }
    let _program = world.start();
    world.published(16, SOON).await;
    let received = world.received().await;
    let of = |n: usize| received.get(&rig::mailbox(n)).map_or(0, Vec::len);
    assert_eq!((of(0), of(1), of(3)), (5, 4, 2), "who has left is read no more");
}

async fn only_users_whom_the_filter_means_are_read(on: On) {
    let rule = "{ users: \"mail eq 'm1@contoso.example'\" }";
    let world = World::over(on, Plan { mailboxes: 0, rule, ..Plan::default() }).await;
    let roles = ["Mail.ReadWrite", "User.Read.All"];
    world.handle().set_app_roles(DEMO_CLIENT_ID, &roles).expect("the app");
    for mailbox in 0..3 {
        world.arrive(mailbox, 5, "old");
    }
    let _program = world.start();
    world.published(5, SOON).await;
    world.arrive(0, 1, "to another");
    world.arrive(1, 1, "new");
    world.published(6, SOON).await;
    let received = world.received().await;
    let read: Vec<_> =
        received.iter().map(|(mailbox, mails)| (mailbox.clone(), mails.len())).collect();
    assert_eq!(read, [(rig::mailbox(1), 6)]);
}
