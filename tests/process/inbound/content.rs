//! What is in events, what is done after them, and mails that are hard to read.

use std::collections::BTreeSet;

use mailbridge_core::contract::AttachmentKind;
use mailbridge_sandbox::{Bulk, Pointer};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::world::{DOMAIN, Plan, World};
use crate::{
    bus::{DEAD, On, over_each_bus},
    rig::{self, LOAD, SOON, until},
};

over_each_bus!(
    after_its_event_a_mail_is_marked_and_moved,
    after_its_event_a_mail_is_deleted_also_by_one_that_was_killed,
    a_strange_mail_never_stops_the_ones_behind_it,
    a_filter_lets_through_what_is_meant,
    a_mail_that_no_event_can_be_made_of_is_a_dead_letter_and_the_others_go_on,
);

/// Over NATS: the object store is NATS' own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_go_to_the_object_store_with_their_checksums() {
    let plan = Plan {
        mailboxes: 2,
        pipeline: "      start: all\n      attachments: store\n      \
                   store: { prefix: \"nats-object://mail/\", bus: events }",
        ..Plan::default()
    };
    let world = World::new(plan).await;
    let bucket = async_nats::jetstream::object_store::Config {
        bucket: "mail".to_owned(),
        ..Default::default()
    };
    let store = world.bus.jetstream().create_object_store(bucket).await.expect("an object store");
    for (mailbox, bytes) in [(0, [0, 200_000]), (1, [3_000_000, 9_000_000])] {
        let bulk = Bulk {
            attachments: [1, 3],
            attachment_bytes: bytes,
            ..Bulk::new(rig::mailbox(mailbox), 5)
        };
        world.handle().receive_many(&bulk).expect("they arrive");
    }
    let _program = world.start();
    world.assert_as_in_inboxes(2).await;
    let mut seen = 0;
    for (mailbox, mails) in world.received().await {
        for mail in mails {
            let subject = mail.content.subject.clone().expect("a subject");
            let truth = world.handle().attachments(&Pointer::subject(&mailbox, subject));
            let told = mail.attachments.expect("attachments");
            for (told, truth) in told.iter().zip(&truth.expect("the mail")) {
                assert_eq!(told.kind, AttachmentKind::File);
                let content = told.content.as_ref().expect("content");
                assert_eq!((&content.sha256, content.bytes), (&truth.sha256, truth.bytes as u64));
                let url = content.url.as_deref().expect("a url");
                let name = url.strip_prefix("nats-object://mail/").expect("in the bucket");
                let mut bytes = Vec::new();
                let mut object = store.get(name).await.expect("the object");
                object.read_to_end(&mut bytes).await.expect("its bytes");
                assert_eq!(format!("{:x}", Sha256::digest(&bytes)), truth.sha256, "{url}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 10, "{seen} attachments");
}

async fn after_its_event_a_mail_is_marked_and_moved(on: On) {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      \
                   after: { mark_read: true, categorize: [Told], move: archive }",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    world.arrive(0, 25, "old");
    let mut program = world.start();
    world.published(10, SOON).await;
    program.kill9().expect("it runs");
    program.wait_exit(SOON).await.expect("it is gone");
    let _program = world.start();
    world.published(25, SOON).await;
    let archived = async || world.held(0, "archive").len() == 25;
    until(LOAD, "all are in the archive", archived).await;
    assert!(world.held(0, "inbox").is_empty());
    let unread = world.held(0, "archive").into_iter().filter(|mail| !mail.is_read).count();
    assert_eq!(unread, 0);
    assert_eq!(world.received().await[&rig::mailbox(0)].len(), 25, "each was told once");
}

async fn after_its_event_a_mail_is_deleted_also_by_one_that_was_killed(on: On) {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      page_size: 10\n      after: { delete: true }",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    world.arrive(0, 30, "old");
    for killed_at in [5, 15] {
        let mut program = world.start();
        world.published(killed_at, SOON).await;
        program.kill9().expect("it runs");
        program.wait_exit(SOON).await.expect("it is gone");
    }
    let _program = world.start();
    world.published(30, SOON).await;
    until(LOAD, "the inbox is empty", async || world.held(0, "inbox").is_empty()).await;
    let ids: BTreeSet<_> =
        world.received().await[&rig::mailbox(0)].iter().map(|it| it.message_id.0.clone()).collect();
    assert_eq!((ids.len(), world.stored().await), (30, 30), "none was deleted untold");
}

/// What comes from the internet and is hardly a mail.
async fn a_strange_mail_never_stops_the_ones_behind_it(on: On) {
    let plan =
        Plan { mailboxes: 1, pipeline: "      start: all\n      body: both", ..Plan::default() };
    let world = World::over(on, plan).await;
    let many: Vec<_> = (0..5_000).map(|n| format!("p{n}@example.org")).collect();
    let huge = "<p>All work and no play</p>".repeat(10 * 1024 * 1024 / 27);
    let strange = [
        "Subject: no sender\r\n\r\nnobody\r\n".to_owned(),
        "From: a@x.org\r\nDate: Mon, 1 Jan 1601 00:00:00 +0000\r\nSubject: old\r\n\r\nx".to_owned(),
        format!("From: a@x.org\r\nTo: {}\r\nSubject: many\r\n\r\nx", many.join(", ")),
        format!("From: a@x.org\r\nContent-Type: text/html\r\nSubject: huge\r\n\r\n{huge}"),
        "From: a@x.org\r\nContent-Type: multipart/mixed; boundary=b\r\nSubject: broken\r\n\r\n--b"
            .to_owned(),
        "From: =?utf-8?Q?=E2?= <a@x.org>\r\nSubject: =?x-none?B?!!!?=\r\n\r\nx".to_owned(),
    ];
    for mime in &strange {
        world.write(0, mime);
        world.arrive(0, 1, "behind");
    }
    let _program = world.start();
    world.published(2 * strange.len() as u64, LOAD).await;
    let told = world.received().await.remove(&rig::mailbox(0)).expect("events");
    let of = |subject: &str| {
        let found = told.iter().find(|it| it.content.subject.as_deref() == Some(subject));
        found.unwrap_or_else(|| panic!("{subject}"))
    };
    assert!(of("no sender").content.preview.is_some());
    assert_eq!(of("many").content.to.len(), 5_000);
    let left_out: Vec<_> = of("huge").left_out.iter().map(|it| it.what.as_str()).collect();
    assert!(left_out.contains(&"html"), "{left_out:?}");
    assert!(world.messages(DEAD).await.is_empty(), "strange, and mails all the same");
    assert!(told.iter().all(|mail| mail.mailbox.as_str().ends_with(DOMAIN)));
}

async fn a_filter_lets_through_what_is_meant(on: On) {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      when: '\"urgent\" in data.subject and not data.is_draft'",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    for name in ["boring", "urgent", "dull", "urgent too"] {
        world.arrive(0, 5, name);
    }
    let _program = world.start();
    world.published(10, SOON).await;
    world.arrive(0, 1, "urgent last");
    world.published(11, SOON).await;
    let told = world.received().await.remove(&rig::mailbox(0)).expect("events");
    assert!(told.iter().all(|it| it.content.subject.as_deref().unwrap().contains("urgent")));
}

/// A mail that the filter fails at stands for all of which no event can be made.
async fn a_mail_that_no_event_can_be_made_of_is_a_dead_letter_and_the_others_go_on(on: On) {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      when: '(data.subject | int) > 0'",
        ..Plan::default()
    };
    let world = World::over(on, plan).await;
    for subject in ["1", "2", "poison", "3", "poison too", "4"] {
        world.write(0, &format!("From: a@x.org\r\nSubject: {subject}\r\n\r\nx\r\n"));
    }
    let _program = world.start();
    world.published(4, SOON).await;
    let told = world.received().await.remove(&rig::mailbox(0)).expect("events");
    let told: Vec<_> = told.iter().filter_map(|it| it.content.subject.as_deref()).collect();
    assert_eq!(told, ["1", "2", "3", "4"]);
    let dead = world.messages(DEAD).await;
    let poison: Vec<_> =
        world.held(0, "inbox").into_iter().filter(|it| it.subject.starts_with("poison")).collect();
    assert_eq!((dead.len(), poison.len()), (2, 2));
    for (dead, poison) in dead.iter().zip(&poison) {
        let text = format!("{:?} {}", dead.headers, String::from_utf8_lossy(&dead.payload));
        assert!(text.contains("filter_failed"), "{text}");
        assert!(text.contains(&poison.immutable_id), "{text}");
        assert!(!text.contains("poison"), "what the mail says is not repeated: {text}");
    }
}
