//! Mails that go on arriving while workers are killed, sleep, stop and join: each mail is told once, in its
//! order, and soon.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{MAILBOXES, Worker, all_read_by};
use crate::{
    inbound::world::{Plan, World},
    rig::{self, SOON},
};

const LEASE: Duration = Duration::from_secs(3);
/// How long a mail may wait to be told: until the lease is over and a second more, until its mailbox is
/// looked at again, and what two cores need that have all of this to do.
const WAIT_MAX: Duration = Duration::from_secs(3 + 1 + 1 + 2);
/// A quarter of the mailboxes gets a mail each.
const MAILS: Duration = Duration::from_millis(250);
/// Between two events: the next worker has the mailboxes before it is its own turn to go.
const BETWEEN: Duration = Duration::from_secs(5);
const EVENTS: u64 = 8;
/// Leases that a worker sleeps.
const ASLEEP: u32 = 3;

/// Any of so many, another for each seed.
fn any(seed: u64, of: usize) -> usize {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    usize::try_from(mixed).expect("24 bits") % of
}

/// Workers that come and go.
struct Pool<'a> {
    world: &'a World,
    awake: Vec<Worker>,
    /// With when they are to wake.
    asleep: Vec<(Instant, Worker)>,
}

impl Pool<'_> {
    /// What comes next: one falls asleep, one joins, one is killed and started again, one stops.
    async fn event(&mut self, number: u64) {
        let which = any(number, self.awake.len());
        match number % 4 {
            0 => {
                let mut worker = self.awake.swap_remove(which);
                worker.program.suspend().expect("it runs");
                self.asleep.push((Instant::now() + LEASE * ASLEEP, worker));
            }
            1 => self.awake.push(Worker::start(self.world)),
            2 => {
                let mut worker = self.awake.swap_remove(which);
                worker.program.kill9().expect("it runs");
                self.awake.push(Worker::start(self.world));
            }
            _ => {
                let mut worker = self.awake.swap_remove(which);
                worker.program.sigterm().expect("it runs");
                assert!(worker.program.wait_exit(SOON).await.expect("it stops").success());
            }
        }
    }

    /// Wakes those whose time has come, or all.
    fn wake(&mut self, all: bool) {
        let now = Instant::now();
        let (wake, asleep): (Vec<_>, Vec<_>) =
            self.asleep.drain(..).partition(|(until, _)| all || *until <= now);
        self.asleep = asleep;
        for (_, mut worker) in wake {
            worker.program.resume().expect("it is there");
            self.awake.push(worker);
        }
    }
}

/// How long each mail of a mailbox waited until it stood in the stream.
async fn waits(world: &World, arrived: &[Vec<Timestamp>]) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut next = vec![0; arrived.len()];
    for message in world.messages("EVENTS").await {
        let number = (0..arrived.len()).find(|number| {
            let token = rig::mailbox(*number).replace('.', "_");
            message.subject.as_str() == format!("mail.event.{token}")
        });
        let number = number.expect("a mailbox");
        let at = arrived[number][next[number]];
        next[number] += 1;
        let waited = message.time.unix_timestamp_nanos() - at.as_nanosecond();
        waits.push(Duration::from_nanos(u64::try_from(waited.max(0)).expect("not for years")));
    }
    waits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_workers_come_go_sleep_and_die_no_mail_waits_much_longer_than_a_lease() {
    let pipeline = "      start: all\n      body: none\n      lease: 3s";
    let world = World::new(Plan { mailboxes: MAILBOXES, pipeline, ..Plan::default() }).await;
    let awake: Vec<_> = (0..4).map(|_| Worker::start(&world)).collect();
    awake[0].shares_with(4).await;
    all_read_by(&awake.iter().collect::<Vec<_>>()).await;
    let mut pool = Pool { world: &world, awake, asleep: Vec::new() };
    let mut arrived = vec![Vec::new(); MAILBOXES];
    let (mut events, mut next) = (0, Instant::now() + BETWEEN);
    let mut mails = interval(MAILS);
    mails.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0.. {
        mails.tick().await;
        for number in (round % 4..MAILBOXES).step_by(4) {
            arrived[number].push(Timestamp::now());
            world.arrive(number, 1, &format!("r{round}"));
        }
        pool.wake(false);
        if Instant::now() >= next {
            if events == EVENTS {
                break;
            }
            pool.event(events).await;
            (events, next) = (events + 1, Instant::now() + BETWEEN);
        }
    }
    pool.wake(true);
    world.assert_as_in_inboxes(MAILBOXES).await;
    let mut waits = waits(&world, &arrived).await;
    waits.sort_unstable();
    let (half, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    let repeated = world.publications() - waits.len();
    println!(
        "{} mails, half within {half:?}, all within {longest:?}, {repeated} repeated",
        waits.len()
    );
    assert!(longest < WAIT_MAX, "{longest:?}");
}
