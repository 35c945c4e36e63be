//! Who the mailboxes are, found by a rule: one worker asks the directory for all, and another when that
//! one is gone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::StreamExt as _;
use mailbridge_engine::pool::slice_of;
use mailbridge_sandbox::{DEMO_CLIENT_ID, Group, Operation};
use tokio::task::JoinSet;

use super::{SLICES, Worker};
use crate::{
    inbound::world::{DOMAIN, Plan, World},
    rig::{self, SOON, until},
};

const GROUP: &str = "22222222-3333-4444-5555-666666666666";
/// Whose slice this is in, as if it were a mailbox, asks.
const DIRECTORY: &str = "directory";

fn members(world: &World, count: usize) {
    let group = Group::new("support").with_id(GROUP);
    let group = (0..count).fold(group, |group, n| group.member(rig::mailbox(n)));
    world.handle().set_group(DOMAIN, group).expect("the tenant");
}

/// How often the directory was asked, as the sandbox has counted.
fn asked(world: &World) -> u64 {
    let requests = world.handle().requests();
    let answers = requests.get(&Operation::ListTransitiveMembers);
    answers.into_iter().flat_map(|answers| answers.values()).sum()
}

/// How often somebody took over who asks, and who did last.
struct Askers {
    count: Arc<AtomicU64>,
    bucket: async_nats::jetstream::kv::Store,
    slice: String,
    _watching: JoinSet<()>,
}

impl Askers {
    /// From the first on; the bucket is there.
    async fn watch(world: &World) -> Self {
        let slices = u16::try_from(SLICES).expect("few");
        let slice = format!("pool/support/slice/{}", slice_of(DIRECTORY, slices));
        let bucket = world.bus.jetstream().get_key_value("mailbridge").await.expect("the bucket");
        let mut changes = bucket.watch_with_history(&slice).await.expect("it can be watched");
        let count = Arc::new(AtomicU64::new(0));
        let (taken, mut watching) = (Arc::clone(&count), JoinSet::new());
        watching.spawn(async move {
            while let Some(Ok(change)) = changes.next().await {
                // given back, it is nobody's
                taken.fetch_add(u64::from(!change.value.is_empty()), Ordering::SeqCst);
            }
        });
        Self { count, bucket, slice, _watching: watching }
    }

    /// The directory was asked so often at least, and by nobody but who took that over, once each.
    async fn ask_alone(&self, world: &World, least: u64) {
        until(SOON, "who is to ask has asked, and nobody else", async || {
            let asked = asked(world);
            (least..=self.count.load(Ordering::SeqCst)).contains(&asked)
        })
        .await;
    }

    /// The process that asks now.
    async fn process(&self) -> Option<u32> {
        let name = self.bucket.get(&self.slice).await.ok()??;
        let member = format!("pool/support/member/{}", String::from_utf8_lossy(&name));
        let card = self.bucket.get(member).await.ok()??;
        let card: serde_json::Value = serde_json::from_slice(&card).ok()?;
        card["worker"].as_str()?.rsplit('/').next()?.parse().ok()
    }
}

async fn read_by(workers: &[Worker], count: u64) {
    until(SOON, &format!("each of {count} mailboxes is one worker's"), async || {
        let mut each = Vec::new();
        for worker in workers {
            each.push(worker.mailboxes().await);
        }
        each.iter().sum::<u64>() == count && each.iter().all(|some| *some > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_asks_the_directory_for_all_and_another_when_it_is_killed() {
    let rule = "{ group: 22222222-3333-4444-5555-666666666666 }";
    let pipeline = "      start: all\n      lease: 2s";
    let world = World::new(Plan { mailboxes: 0, rule, pipeline, ..Plan::default() }).await;
    members(&world, 60);
    let roles = ["Mail.ReadWrite", "User.Read.All", "GroupMember.Read.All"];
    world.handle().set_app_roles(DEMO_CLIENT_ID, &roles).expect("the app");
    let mut workers = vec![Worker::start(&world)];
    read_by(&workers, 60).await;
    let askers = Askers::watch(&world).await;
    for _ in 0..2 {
        workers.push(Worker::start(&world));
        workers[0].shares_with(workers.len()).await;
    }
    // two of them have it from the one who asked
    read_by(&workers, 60).await;
    askers.ask_alone(&world, 1).await;

    members(&world, 63);
    let process = askers.process().await.expect("somebody asks");
    let place = workers.iter().position(|worker| worker.program.id() == process);
    let mut asker = workers.remove(place.expect("it is one of them"));
    let before = asked(&world);
    asker.program.kill9().expect("it runs");
    read_by(&workers, 63).await;
    askers.ask_alone(&world, before + 1).await;
    for mailbox in 0..63 {
        world.arrive(mailbox, 1, "new");
    }
    world.assert_as_in_inboxes(63).await;
    assert_eq!(world.publications(), 63, "each is read by one worker");
    askers.ask_alone(&world, before + 1).await;
}
