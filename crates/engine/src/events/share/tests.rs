use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::*;
use crate::pool::fake::Fake;

const LEASE: Duration = Duration::from_secs(15);
/// How often is looked who has what.
const LOOK: Duration = Duration::from_millis(20);
/// For a hand-over to be noticed, and done.
const NOTICED: Duration = Duration::from_millis(1_300);
/// In the middle between two renewals.
const MIDDLE: Duration = Duration::from_millis(1_500);
/// For slices to be taken, a few milliseconds for each of many at once.
const TAKEN: Duration = Duration::from_millis(300);

/// A worker that holds its share; dropped, it is killed.
struct One {
    share: Share,
    stop: CancellationToken,
    leave: CancellationToken,
    /// It does nothing then, and notices nothing.
    asleep: Arc<AtomicBool>,
    running: JoinSet<()>,
}

fn card() -> Worker {
    Worker {
        place: None,
        name: String::new(),
        worker: "host/1".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        slices: 0,
        mailboxes: BTreeMap::new(),
        published: 0,
    }
}

fn pool(store: &Arc<Fake>) -> Pool {
    let (pipeline, worker) = ("p".to_owned(), "host/1".to_owned());
    let (place, is_gone) = (None, |_: &str| false);
    Pool { pipeline, store: Arc::clone(store) as _, worker, place, is_gone, lease: LEASE }
}

impl One {
    fn start(store: &Arc<Fake>) -> Self {
        let share = Share::new(Some(pool(store)), false);
        let (stop, leave) = (CancellationToken::new(), CancellationToken::new());
        let asleep = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        let (holds, sleeps) = (share.clone(), Arc::clone(&asleep));
        let (stops, leaves) = (stop.clone(), leave.clone());
        running.spawn(async move {
            let mut hold = std::pin::pin!(holds.hold(stops, leaves, card));
            let mut clock = tokio::time::interval(LOOK);
            poll_fn(|context| {
                // asked again and again, so that it wakes
                while clock.poll_tick(context).is_ready() {}
                if sleeps.load(Ordering::Relaxed) {
                    return Poll::Pending;
                }
                hold.as_mut().poll(context)
            })
            .await;
        });
        Self { share, stop, leave, asleep, running }
    }

    fn sleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::Relaxed);
    }

    /// It is dead, also where its lease goes on.
    fn kill(&self) {
        self.sleep(true);
        *self.share.view() = View::default();
    }

    fn owns(&self, mailbox: &Mailbox) -> bool {
        self.share.check(mailbox).is_ok()
    }
}

fn mailboxes() -> Vec<Mailbox> {
    (0..200).map(|number| Mailbox::new(format!("m{number}@x.org"))).collect()
}

/// Whether something may be done there: a turn begin, or one under way go on.
fn acts(view: &View, slice: Slice) -> bool {
    view.keeps(slice) || view.holds(slice) && view.busy.contains_key(&slice)
}

/// Lets so much time pass. No slice ever has two owners among these; gives for how long one had none.
async fn pass(time: Duration, workers: &[&One]) -> Duration {
    pass_and(time, workers, |_| {}).await
}

/// The same, while something befalls them, by how long it has lasted.
async fn pass_and(time: Duration, workers: &[&One], befalls: impl Fn(Duration)) -> Duration {
    let (now, end) = (Instant::now(), Instant::now() + time);
    let mut since = vec![now; usize::from(SLICES)];
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        befalls(now.elapsed());
        let views: Vec<_> = workers.iter().map(|it| it.share.view()).collect();
        for (slice, since) in (0..SLICES).zip(&mut since) {
            let owners = views.iter().filter(|view| acts(view, slice)).count();
            assert!(owners < 2, "{slice} has {owners} owners");
            longest = longest.max(since.elapsed());
            if owners == 1 {
                *since = Instant::now();
            }
        }
    }
    longest
}

fn counts(workers: &[&One]) -> Vec<usize> {
    let all = mailboxes();
    let of = |one: &One| all.iter().filter(|it| one.share.keeps(it)).count();
    workers.iter().map(|one| of(one)).collect()
}

#[tokio::test(start_paused = true)]
async fn one_alone_has_all_without_waiting() {
    let (store, began) = (Arc::new(Fake::default()), Instant::now());
    let one = One::start(&store);
    one.share.changed().await;
    assert!(began.elapsed() < TAKEN, "{:?}", began.elapsed());
    assert_eq!(counts(&[&one]), [200]);
    pass(LEASE * 4, &[&one]).await;
    // one for each slice, for the list, and for each renewal
    let renewals = store.writes() - u64::from(SLICES) - 1;
    assert!((18..=26).contains(&renewals), "{renewals} renewals in four leases");
}

#[tokio::test(start_paused = true)]
async fn without_a_pool_all_is_ones_own() {
    let share = Share::new(None, false);
    assert_eq!(share.mine(&mailboxes()).len(), 200);
    assert!(mailboxes().iter().all(|it| share.check(it).is_ok() && share.begin(it).is_some()));
}

#[tokio::test(start_paused = true)]
async fn who_joins_has_its_share_soon() {
    for store in [Fake::default(), Fake::without_signals()] {
        let store = Arc::new(store);
        let one = One::start(&store);
        pass(LEASE + MIDDLE, &[&one]).await;
        let two = One::start(&store);
        let unowned = pass(NOTICED * 2, &[&one, &two]).await;
        assert!(unowned <= NOTICED, "{unowned:?}");
        let counts = counts(&[&one, &two]);
        assert_eq!(counts.iter().sum::<usize>(), 200);
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_hands_over_soon() {
    for store in [Fake::default(), Fake::without_signals()] {
        let store = Arc::new(store);
        let mut one = One::start(&store);
        let two = One::start(&store);
        pass(LEASE + MIDDLE, &[&one, &two]).await;
        one.leave.cancel();
        let unowned = pass(NOTICED * 2, &[&one, &two]).await;
        assert!(unowned <= NOTICED, "{unowned:?}");
        assert_eq!(counts(&[&one, &two]), [0, 200]);
        one.running.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_had_that_is_killed_is_anothers_when_the_lease_is_over() {
    // wherever in its renewals it is killed
    for after in 0..6 {
        let store = Arc::new(Fake::default());
        let (one, two, three) = (One::start(&store), One::start(&store), One::start(&store));
        pass(LEASE * 2 + LEASE / 30 * after, &[&one, &two, &three]).await;
        let share = one.share.clone();
        drop(one);
        // it is dead, also where its lease goes on
        *share.view() = View::default();
        let unowned = pass(LEASE * 2, &[&two, &three]).await;
        assert!(unowned <= LEASE + TAKEN, "{after}: {unowned:?}");
        assert_eq!(counts(&[&two, &three]).iter().sum::<usize>(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_two_leases_when_another_dies_before_the_first_is_buried() {
    // wherever in its renewals it is killed, and whether or not workers hear each other
    for after in 0..4 {
        let store = if after % 2 == 0 { Fake::default() } else { Fake::without_signals() };
        let store = Arc::new(store);
        let all: Vec<_> = (0..4).map(|_| One::start(&store)).collect();
        let all: Vec<_> = all.iter().collect();
        pass(LEASE + MIDDLE + LEASE / 20 * after, &all).await;
        // the second is to have a part of what the first had, and is not missed yet
        let befalls = |lasted| {
            all[0].kill();
            if lasted >= LEASE / 2 {
                all[1].kill();
            }
        };
        let unowned = pass_and(LEASE * 2, &all, befalls).await;
        assert!(unowned <= LEASE + TAKEN, "{after}: {unowned:?}");
        let counts = counts(&all);
        assert!(counts[..2] == [0, 0] && counts.iter().sum::<usize>() == 200, "{counts:?}");
        assert!(counts[2..].iter().all(|count| *count > 50), "none keeps it all: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_gives_what_is_not_in_hand_at_once_and_takes_nothing() {
    let store = Arc::new(Fake::default());
    let (one, two, three) = (One::start(&store), One::start(&store), One::start(&store));
    let all = [&one, &two, &three];
    pass(LEASE + MIDDLE, &all).await;
    let mine = one.share.mine(&mailboxes());
    let busy = one.share.begin(&mine[0]).unwrap();
    one.stop.cancel();
    // another is buried meanwhile
    let unowned = pass_and(LEASE * 2, &all, |_| two.kill()).await;
    assert!(unowned <= LEASE + TAKEN, "{unowned:?}");
    assert!(one.owns(&mine[0]), "what is in hand is its own");
    let slice = one.share.slice(&mine[0]);
    assert_eq!(one.share.view().held, BTreeSet::from([slice]));
    assert_eq!(three.share.mine(&mailboxes()).len(), 200 - one.share.mine(&mailboxes()).len());
    drop(busy);
    one.leave.cancel();
    let unowned = pass(NOTICED * 2, &all).await;
    assert!(unowned <= NOTICED, "{unowned:?}");
    assert_eq!(counts(&all), [0, 0, 200]);
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_beyond_its_lease_owns_nothing_when_it_wakes() {
    let store = Arc::new(Fake::default());
    let (one, two) = (One::start(&store), One::start(&store));
    pass(LEASE, &[&one, &two]).await;
    let before = one.share.mine(&mailboxes());
    one.sleep(true);
    // looked at as it would look at itself the moment that it wakes
    let unowned = pass(LEASE * 3, &[&one, &two]).await;
    assert!(unowned <= LEASE + TAKEN, "{unowned:?}");
    assert_eq!(counts(&[&one, &two]), [0, 200]);
    assert!(before.iter().all(|it| one.share.begin(it).is_none()));
    one.sleep(false);
    pass(LEASE, &[&one, &two]).await;
    let counts = counts(&[&one, &two]);
    assert!(counts[0] > 50 && counts.iter().sum::<usize>() == 200, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_late_and_goes_on_has_forgotten_nothing() {
    let store = Arc::new(Fake::default());
    let one = One::start(&store);
    pass(LEASE, &[&one]).await;
    one.share.changed().await;
    one.sleep(true);
    pass(LEASE, &[&one]).await;
    assert_eq!(counts(&[&one]), [0], "nothing begins");
    assert_eq!(one.share.mine(&mailboxes()).len(), 200, "nor is anything given up");
    one.sleep(false);
    pass(LEASE, &[&one]).await;
    assert_eq!(counts(&[&one]), [200]);
    // nobody is told of it, so what is its own must have been so all the time
    assert!(one.share.changed().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_to_be_anothers_and_is_not_is_still_its_own() {
    let store = Arc::new(Fake::default());
    let one = One::start(&store);
    pass(LEASE, &[&one]).await;
    let all = mailboxes();
    let busy: Vec<_> = all.iter().map(|it| one.share.begin(it).unwrap()).collect();
    let two = One::start(&store);
    pass(LEASE, &[&one, &two]).await;
    assert!(counts(&[&one])[0] < 150, "some are to be the other's");
    assert_eq!(one.share.mine(&all).len(), 200);
    drop(two);
    pass(LEASE * 2, &[&one]).await;
    assert_eq!(counts(&[&one]), [200]);
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_finished_before_it_is_given_away() {
    let store = Arc::new(Fake::default());
    let one = One::start(&store);
    pass(LEASE, &[&one]).await;
    let all = mailboxes();
    let busy: Vec<_> = all.iter().map(|it| one.share.begin(it).unwrap()).collect();
    let two = One::start(&store);
    pass(LEASE * 2, &[&one, &two]).await;
    assert_eq!(counts(&[&two]), [0], "nothing is given away");
    assert!(all.iter().all(|it| one.owns(it)), "nor taken away");
    let leaving: Vec<_> = all.iter().filter(|it| !one.share.keeps(it)).collect();
    assert!(leaving.len() > 50, "{}", leaving.len());
    assert!(leaving.iter().all(|it| one.share.begin(it).is_none()), "nothing new begins there");
    drop(busy);
    pass(LEASE, &[&one, &two]).await;
    assert_eq!(counts(&[&two]), [leaving.len()]);
}
