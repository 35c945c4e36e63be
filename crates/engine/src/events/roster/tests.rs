use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use jiff::Timestamp;
use mailbridge_core::changes::Rule;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    events::share::{Pool, Worker},
    pool::fake::Fake,
};

const LEASE: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_mins(10);
/// For leases to be taken, the directory to be asked, and the others to read.
const SETTLED: Duration = Duration::from_secs(5);

type All = Arc<Mutex<Vec<Mailbox>>>;

/// A worker; dropped, it is killed.
struct One {
    asked: Arc<AtomicUsize>,
    knows: All,
    /// How many lists it was told.
    told: Arc<AtomicUsize>,
    _running: JoinSet<()>,
}

fn rule() -> Whose {
    Whose::Rule { rule: Rule::Users("true".to_owned()), every: EVERY }
}

fn mailboxes(count: usize) -> Vec<Mailbox> {
    (0..count).map(|number| Mailbox::new(format!("m{number}@x.org"))).collect()
}

fn pool(store: &Arc<Fake>) -> Pool {
    let (pipeline, worker) = ("p".to_owned(), "host/1".to_owned());
    let (place, is_gone) = (None, |_: &str| false);
    Pool { pipeline, store: Arc::clone(store) as _, worker, place, is_gone, lease: LEASE }
}

fn card() -> Worker {
    Worker {
        place: None,
        name: String::new(),
        worker: "host/1".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        slices: 0,
        mailboxes: std::collections::BTreeMap::new(),
        published: 0,
    }
}

impl One {
    fn start(store: Option<&Arc<Fake>>, directory: &All, fails: &Arc<AtomicBool>) -> Self {
        let share = Share::new(store.map(pool), false);
        let (asked, knows) = (Arc::<AtomicUsize>::default(), All::default());
        let mut running = JoinSet::new();
        let holds = share.clone();
        let never = CancellationToken::new;
        running.spawn(async move { holds.hold(never(), never(), card).await });
        let (count, list) = (Arc::clone(&asked), Arc::clone(&knows));
        let told = Arc::<AtomicUsize>::default();
        let lists = Arc::clone(&told);
        let (directory, fails) = (Arc::clone(directory), Arc::clone(fails));
        running.spawn(async move {
            let mut roster = Roster::new("p", rule(), share);
            let ask = || async {
                count.fetch_add(1, Ordering::Relaxed);
                if fails.load(Ordering::Relaxed) {
                    return Err(Error::transient(Code::GraphUnavailable, "not now"));
                }
                Ok(directory.lock().unwrap().clone())
            };
            loop {
                let all = roster.next(&ask).await;
                *list.lock().unwrap() = all;
                lists.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { asked, knows, told, _running: running }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn knows(&self, all: &All) -> bool {
        let sorted = |all: &All| {
            let mut all = all.lock().unwrap().clone();
            all.sort_by(|one, two| one.as_str().cmp(two.as_str()));
            all
        };
        sorted(&self.knows) == sorted(all)
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_asks_for_both_and_the_other_takes_over() {
    for store in [Fake::default(), Fake::without_signals()] {
        let store = Arc::new(store);
        // more than a part
        let all = Arc::new(Mutex::new(mailboxes(2_500)));
        let fails = Arc::default();
        let one = One::start(Some(&store), &all, &fails);
        tokio::time::sleep(SETTLED).await;
        let first = one.asked();
        assert!(one.knows(&all) && first == 1, "{first}");
        let two = One::start(Some(&store), &all, &fails);
        tokio::time::sleep(LEASE * 2).await;
        let before = one.asked() + two.asked();
        assert!(before <= 2, "whoever took the slice over has asked once: {before}");
        assert!(one.knows(&all) && two.knows(&all));
        let asked = (one.asked(), two.asked());
        // the directory changes; one of them asks when it is time
        all.lock().unwrap().truncate(900);
        tokio::time::sleep(EVERY + READ).await;
        assert!(one.knows(&all) && two.knows(&all));
        let more = (one.asked() - asked.0, two.asked() - asked.1);
        assert!(matches!(more, (1.., 0) | (0, 1..)), "{more:?}");
        let (dies, lives) = if more.0 > 0 { (one, two) } else { (two, one) };
        let asked = lives.asked();
        drop(dies);
        all.lock().unwrap().push(Mailbox::new("new@x.org"));
        tokio::time::sleep(LEASE + SETTLED).await;
        assert_eq!(lives.asked(), asked + 1, "it asks at once");
        assert!(lives.knows(&all));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_first_to_be_there_again_believes_no_list_of_former_times() {
    let store = Arc::new(Fake::default());
    let (all, fails) = (Arc::new(Mutex::new(mailboxes(10))), Arc::default());
    let one = One::start(Some(&store), &all, &fails);
    tokio::time::sleep(SETTLED).await;
    assert!(one.knows(&all));
    drop(one);
    all.lock().unwrap().truncate(5);
    let two = One::start(Some(&store), &all, &fails);
    tokio::time::sleep(LEASE + SETTLED).await;
    assert!(two.knows(&all));
    assert_eq!(two.told.load(Ordering::Relaxed), 1, "no other list before");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_fails_is_asked_by_one_alone_too() {
    let store = Arc::new(Fake::default());
    let all = Arc::new(Mutex::new(mailboxes(10)));
    let fails = Arc::new(AtomicBool::new(true));
    let one = One::start(Some(&store), &all, &fails);
    let two = One::start(Some(&store), &all, &fails);
    // until who came first has given the other its share
    tokio::time::sleep(LEASE).await;
    let before = (one.asked(), two.asked());
    tokio::time::sleep(LEASE * 4).await;
    let more = (one.asked() - before.0, two.asked() - before.1);
    assert!(matches!(more, (1..10, 0) | (0, 1..10)), "with pauses: {more:?}");
    fails.store(false, Ordering::Relaxed);
    tokio::time::sleep(FAILING.1 + READ).await;
    assert!(one.knows(&all) && two.knows(&all));
}

#[tokio::test(start_paused = true)]
async fn without_a_store_that_is_shared_each_asks_for_itself() {
    let (all, fails) = (Arc::new(Mutex::new(mailboxes(10))), Arc::default());
    let (one, two) = (One::start(None, &all, &fails), One::start(None, &all, &fails));
    tokio::time::sleep(EVERY + SETTLED).await;
    assert_eq!((one.asked(), two.asked()), (2, 2));
    assert!(one.knows(&all) && two.knows(&all));
}

#[test]
fn a_list_is_told_without_what_it_says_twice() {
    let twice = [mailboxes(2), mailboxes(2)].concat();
    assert_eq!(unique(&twice), mailboxes(2));
}
