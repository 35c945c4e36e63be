//! How long a mailbox is nobody's, measured at the stream. Nobody looks at a mailbox twice here in ten
//! minutes, so that only a change of hands explains an event; and how soon a call of Graph's is told
//! that reached the wrong worker.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{MAILBOXES, Worker, all_read_by, plan};
use crate::{
    bus::EVENTS,
    inbound::world::{Plan, World},
    rig::{SOON, until},
};

const LEASE: Duration = Duration::from_secs(3);
/// Above the lease: for the next worker to notice, and to read and tell what is there.
const ABOVE: Duration = Duration::from_secs(1);
/// So seldom that nobody looks at a mailbox a second time.
const SELDOM: &str = "10m";

/// Waits until each mailbox was looked at.
async fn settled(workers: &[&Worker]) {
    all_read_by(workers).await;
    until(SOON, "each mailbox was looked at", async || {
        let mut steady = 0;
        for worker in workers {
            let status = worker.status().await.unwrap_or_default();
            steady += status["counts"]["steady"].as_u64().unwrap_or_default();
        }
        steady == MAILBOXES as u64
    })
    .await;
}

/// Ends one of three workers in some way, and gives how long it took until all mails were told that
/// were in its mailboxes.
async fn unowned(end: impl FnOnce(&mut Worker)) -> Duration {
    let pipeline = "      start: all\n      lease: 3s";
    let world = World::new(Plan { every: SELDOM, ..plan(pipeline) }).await;
    let (mut one, two, three) =
        (Worker::start(&world), Worker::start(&world), Worker::start(&world));
    one.shares_with(3).await;
    settled(&[&one, &two, &three]).await;
    let its_own = one.mailboxes().await;
    assert!((1..MAILBOXES as u64).contains(&its_own), "{its_own} of the mailboxes are its own");
    for mailbox in 0..MAILBOXES {
        world.arrive(mailbox, 1, "waits");
    }
    assert_eq!(world.stored().await, 0, "nobody looks");
    let ended = Timestamp::now();
    end(&mut one);
    world.published(its_own, SOON).await;
    settled(&[&two, &three]).await;
    assert_eq!(world.stored().await, its_own, "those of the others stayed where they were");
    let stream = world.bus.jetstream().get_stream(EVENTS).await.expect("the stream");
    let last = stream.cached_info().state.last_timestamp.unix_timestamp_nanos();
    let nanoseconds = last - ended.as_nanosecond();
    Duration::from_nanos(u64::try_from(nanoseconds).expect("after the end"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_had_that_stops_is_told_by_others_within_a_second() {
    let unowned = unowned(|one| one.program.sigterm().expect("it runs")).await;
    println!("handed over within {unowned:?}");
    assert!(unowned < Duration::from_secs(1), "{unowned:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_had_that_is_killed_is_told_by_others_soon() {
    let unowned = unowned(|one| one.program.kill9().expect("it runs")).await;
    println!("taken over within {unowned:?}");
    assert!(unowned < LEASE + ABOVE, "{unowned:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_had_that_sleeps_is_told_by_others_soon_after_its_lease() {
    let unowned = unowned(|one| one.program.suspend().expect("it runs")).await;
    println!("taken over within {unowned:?}");
    assert!(unowned < LEASE + ABOVE, "{unowned:?}");
    // the control: it is the lease that was waited for
    assert!(unowned > LEASE / 2, "{unowned:?}");
}

/// Connections go to this worker, as a load balancer may have it.
async fn forward(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut from, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut to) = TcpStream::connect(to).await {
                // whoever closes first ends it, as connections end
                copy_bidirectional(&mut from, &mut to).await.ok();
            }
        });
    }
}

/// So many mails of each mailbox are told soon, because Graph has called: not for the next look.
async fn told(world: &World, of_each: usize) {
    world.published((of_each * MAILBOXES) as u64, SOON).await;
    world.assert_as_in_inboxes(MAILBOXES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_reaches_any_worker_wakes_the_one_whose_mailbox_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let public = listener.local_addr().expect("its address");
    let pipeline = format!(
        "      start: all\n      lease: 5m\n      backstop: {SELDOM}\n      \
         wake: {{ webhook: {{ public_url: \"http://{public}\" }} }}"
    );
    let world = World::new(Plan { every: SELDOM, ..plan(pipeline.leak()) }).await;
    let (one, mut two) = (Worker::start(&world), Worker::start(&world));
    let mut forwarding = JoinSet::new();
    forwarding.spawn(forward(listener, one.http));
    one.shares_with(2).await;
    settled(&[&one, &two]).await;
    until(SOON, "every mailbox has its subscription", async || {
        world.handle().subscriptions().len() == MAILBOXES
    })
    .await;
    assert!(two.mailboxes().await > 0, "calls reach the first worker only");
    let began = Instant::now();
    for mailbox in 0..MAILBOXES {
        world.arrive(mailbox, 1, "called");
    }
    told(&world, 1).await;
    println!("told within {:?}", began.elapsed());
    assert_eq!(world.publications(), MAILBOXES, "told by its own worker alone");
    // whoever takes over knows the subscriptions
    two.program.sigterm().expect("it runs");
    assert!(two.program.wait_exit(SOON).await.expect("it stops").success());
    settled(&[&one]).await;
    assert_eq!(world.handle().subscriptions().len(), MAILBOXES, "none was ended");
    for mailbox in 0..MAILBOXES {
        world.arrive(mailbox, 1, "again");
    }
    told(&world, 2).await;
}
