//! The whole at its size: kills, a bus that restarts, cursors that Graph forgets, pages that repeat, large
//! folders and large files.

use std::{collections::HashMap, time::Duration};

use futures_util::TryStreamExt as _;
use mailbridge_core::contract::FileContent;
use mailbridge_sandbox::{Bulk, DeltaFaults, Operation};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::world::{Plan, World};
use crate::{
    bus::EVENTS,
    rig::{self, SOON, kib},
};

/// However slow the machine.
const LONG: Duration = Duration::from_mins(5);
const MAILBOXES: usize = 30;
const KILLS: u64 = 20;
/// Mails that arrive in each mailbox before each kill: 20,400 in all.
const EACH: u64 = 34;

/// By mailbox, as its token in a subject: how many events the stream has.
async fn stored(world: &World) -> HashMap<String, u64> {
    let stream = world.bus.jetstream().get_stream(EVENTS).await.expect("the stream");
    let subjects = stream.info_with_subjects("mail.event.>").await.expect("its subjects");
    let subjects: Vec<_> = subjects.try_collect().await.expect("its subjects");
    let token = |subject: &str| subject.trim_start_matches("mail.event.").to_owned();
    subjects.into_iter().map(|(subject, count)| (token(&subject), count as u64)).collect()
}

/// Holds every record in the state store against the stream: no record says that more was told than
/// the stream has. Gives how many there are.
async fn no_record_is_ahead(world: &World) -> usize {
    let state = world.bus.jetstream().get_key_value("mailbridge").await.expect("the bucket");
    let keys: Vec<String> = state.keys().await.expect("keys").try_collect().await.expect("keys");
    let mut told = HashMap::new();
    for key in keys.iter().filter(|key| key.starts_with("cursor/support/")) {
        let record = state.get(key).await.expect("a value").expect("a record");
        let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
        let mailbox = record["mailbox"].as_str().expect("a mailbox").replace('.', "_");
        told.insert(mailbox, record["told"].as_u64().expect("a count"));
    }
    // read after the records, so that what comes meanwhile is on the safe side
    let stored = stored(world).await;
    for (mailbox, told) in &told {
        let stored = stored.get(mailbox).copied().unwrap_or_default();
        assert!(*told <= stored, "{mailbox}: told {told}, but {stored} are in the stream");
    }
    told.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_mails_through_kills_restarts_and_evictions_are_events_once() {
    let plan = Plan {
        mailboxes: MAILBOXES,
        pipeline: "      start: all\n      page_size: 20\n      body: none",
        ..Plan::default()
    };
    let mut world = World::new(plan).await;
    let repeats = DeltaFaults { empty: 0.1, repeat: 0.1, repeat_later: 0.1, ..<_>::default() };
    world.handle().set_delta_faults(repeats);
    let (mut evicted, mut compared) = (0, 0);
    for kill in 1..=KILLS {
        let mut program = world.start();
        for mailbox in 0..MAILBOXES {
            world.arrive(mailbox, EACH, &format!("kill{kill}"));
        }
        let all = kill * EACH * MAILBOXES as u64;
        if kill % 10 == 7 {
            world.bus.nats().kill().await.expect("it is killed");
            world.bus.nats().start_again().await.expect("it starts again");
        }
        // in the middle of the pages of this round
        world.published(all - EACH * MAILBOXES as u64 / 2 - kill, LONG).await;
        if kill % 2 == 0 {
            evicted += world.handle().evict_delta(None, None).expect("all mailboxes");
            world.published(all - EACH * MAILBOXES as u64 / 4, LONG).await;
        }
        program.kill9().expect("it runs");
        program.wait_exit(SOON).await.expect("it is gone");
        compared += no_record_is_ahead(&world).await;
    }
    let _program = world.start();
    world.assert_as_in_inboxes(MAILBOXES).await;
    let (published, stored) = (world.publications() as u64, world.stored().await);
    println!(
        "{stored} mails, {published} publications, {evicted} cursors forgotten, {compared} records held \
         against the stream"
    );
    assert_eq!(stored, KILLS * EACH * MAILBOXES as u64);
    assert!(published > stored, "no kill fell between a publish and its commit");
    assert!(evicted >= 10 * MAILBOXES && compared > 10 * MAILBOXES, "{evicted} {compared}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_twenty_thousand_whose_cursor_is_forgotten_is_not_told_again() {
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      page_size: 500\n      body: none",
        ..Plan::default()
    };
    let world = World::new(plan).await;
    world.arrive(0, 20_000, "old");
    let _program = world.start();
    world.published(20_000, LONG).await;
    let before = delta_requests(&world);
    assert!(world.handle().evict_delta(None, None).expect("all mailboxes") > 0);
    world.arrive(0, 1, "new");
    // it stands at the end of all that is read again
    world.published(20_001, LONG).await;
    assert!(delta_requests(&world) - before >= 40, "all of it was read again");
    assert_eq!(world.publications(), 20_001, "not even to a stream that would drop it");
}

fn delta_requests(world: &World) -> u64 {
    let requests = world.handle().requests();
    let answers = requests.get(&Operation::MessageDelta);
    answers.into_iter().flat_map(|answers| answers.values()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_up_to_a_hundred_megabytes_are_stored_whole_in_flat_memory() {
    const LARGE: usize = 100_000_000;
    let plan = Plan {
        mailboxes: 1,
        pipeline: "      start: all\n      attachments: store\n      \
                   store: { prefix: \"nats-object://mail/\", bus: events, create: true }",
        ..Plan::default()
    };
    let world = World::new(plan).await;
    let program = world.start();
    world.arrive(0, 1, "small");
    world.published(1, SOON).await;
    let idle = kib(program.id(), "VmRSS");
    for (n, bytes) in [0, 1, 3_000_000, 20_000_000, LARGE, LARGE].into_iter().enumerate() {
        let (subject, seed) = (format!("file{n}"), n as u64);
        let (attachments, attachment_bytes) = ([1, 1], [bytes, bytes]);
        let one = Bulk::new(rig::mailbox(0), 1);
        let bulk = Bulk { attachments, attachment_bytes, subject, seed, ..one };
        world.handle().receive_many(&bulk).expect("it arrives");
    }
    world.published(7, LONG).await;
    let most = kib(program.id(), "VmHWM") - idle;
    let store = world.bus.jetstream().get_object_store("mail").await.expect("the bucket");
    let mut sizes = Vec::new();
    for mail in &world.received().await[&rig::mailbox(0)] {
        for attachment in mail.attachments.iter().flatten() {
            let content = attachment.content.as_ref().expect("content");
            assert_eq!(digest(&store, content).await, content.sha256);
            sizes.push(content.bytes);
        }
    }
    assert_eq!(sizes, [0, 1, 3_000_000, 20_000_000, LARGE as u64, LARGE as u64]);
    println!("{most} KiB above idle at most");
    assert!(most < 64 * 1024, "{most} KiB above idle, for files of {LARGE} bytes");
}

/// The SHA-256 of what is really in the bucket.
async fn digest(
    store: &async_nats::jetstream::object_store::ObjectStore,
    content: &FileContent,
) -> String {
    let url = content.url.as_deref().expect("a url");
    let name = url.strip_prefix("nats-object://mail/").expect("in the bucket");
    let mut object = store.get(name).await.expect("the object");
    let (mut digest, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = object.read(&mut piece).await.expect("its bytes");
        if read == 0 {
            return format!("{:x}", digest.finalize());
        }
        digest.update(&piece[..read]);
    }
}
