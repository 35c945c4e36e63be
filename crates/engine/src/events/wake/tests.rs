use std::collections::HashMap;

use futures_util::FutureExt as _;
use mailbridge_core::{Error, Scope, Verdict};
use tokio::{task::JoinSet, time::sleep};

use super::{fake::World, *};

/// A worker of a pipeline.
struct Worker {
    keeper: Arc<Keeper>,
    callbacks: Callbacks,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn worker(world: &Arc<World>, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Worker {
    worker_at(world, clock, "https://x.org/notifications")
}

fn worker_at(
    world: &Arc<World>,
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    url: &str,
) -> Worker {
    let callbacks = Callbacks::new();
    let changes = Arc::clone(world) as Arc<dyn Changes>;
    let store = Arc::clone(world) as Arc<dyn StateStore>;
    let webhook = Webhook {
        notifications: url.to_owned(),
        lifecycle: format!("{url}/lifecycle"),
        only_new: true,
    };
    let mut keeper = Keeper::new("support", changes, store, callbacks.clone(), webhook);
    keeper.clock = Box::new(clock);
    let (keeper, stop) = (Arc::new(keeper), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let (running, stopped) = (Arc::clone(&keeper), stop.clone());
    tasks.spawn(async move { running.run(stopped).await });
    Worker { keeper, callbacks, stop, tasks }
}

impl Worker {
    fn watch(&self, mailboxes: &[&str]) {
        self.keeper.watch(mailboxes.iter().map(|mailbox| watch(mailbox, None)));
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
    }

    fn woken(&self) -> Vec<String> {
        let woken = self.keeper.woken().now_or_never().unwrap_or_default();
        let mut woken: Vec<_> = woken.iter().map(ToString::to_string).collect();
        woken.sort();
        woken
    }

    fn is_awake(&self, mailbox: &str) -> bool {
        self.keeper.is_awake(&Mailbox::new(mailbox))
    }
}

fn watch(mailbox: &str, folder: Option<&str>) -> Watch {
    Watch { mailbox: Mailbox::new(mailbox), folder: folder.map(str::to_owned) }
}

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_subscribed_to_woken_once_and_its_calls_are_known() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let worker = worker(&world, clock);
    assert!(!worker.is_awake("a@x.org"));
    worker.keeper.watch([watch("a@x.org", Some("inbox")), watch("b@x.org", None)]);
    sleep(SOON).await;
    assert_eq!(world.asked(), ["subscribe a@x.org", "subscribe b@x.org"]);
    assert_eq!(world.service().subscriptions["s1"].1.as_deref(), Some("inbox"));
    assert_eq!(worker.woken(), ["a@x.org", "b@x.org"]);
    assert!(worker.is_awake("A@x.org"));
    let received = worker.callbacks.receive("p", &world.call("s1", None)).unwrap();
    assert_eq!(received.woken, 1);
    assert_eq!(worker.woken(), ["a@x.org"]);
    assert_eq!(worker.woken(), [""; 0]);
    // the same again is no news
    worker.keeper.watch([watch("a@x.org", Some("inbox")), watch("b@x.org", None)]);
    sleep(SOON).await;
    assert_eq!(world.asked(), [""; 0]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_goes_to_another_while_graph_is_asked_is_the_others() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let (one, two) = (worker(&world, clock.clone()), worker(&world, clock));
    one.watch(&["a@x.org"]);
    // Graph takes longer to answer
    sleep(Duration::from_millis(200)).await;
    assert_eq!(world.asked(), ["subscribe a@x.org"]);
    one.keeper.let_go([&Mailbox::new("a@x.org")]);
    sleep(SOON).await;
    let call = world.call("s1", None);
    assert_eq!(one.callbacks.receive("support", &call).unwrap().unknown, 1);
    // the call comes before the other has read of it
    assert_eq!(two.callbacks.receive_here(&call).unwrap().unknown, 1);
    assert_eq!(two.woken(), [""; 0]);
    two.watch(&["a@x.org"]);
    sleep(SOON).await;
    assert_eq!(two.woken(), ["a@x.org"]);
    assert_eq!(world.asked(), [""; 0], "it is the same subscription");
    assert_eq!(two.callbacks.receive_here(&call).unwrap().woken, 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_with_what_there_is() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let before = worker(&world, clock.clone());
    before.watch(&["a@x.org"]);
    sleep(SOON).await;
    before.stop().await;
    world.asked();
    let after = worker(&world, clock.clone());
    after.watch(&["a@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.asked(), [""; 0]);
    assert!(after.is_awake("a@x.org"));
    assert_eq!(after.callbacks.receive("p", &world.call("s1", None)).unwrap().woken, 1);
    after.stop().await;
    // after a long time away it is as good as gone
    sleep(hours(73)).await;
    let late = worker(&world, clock.clone());
    late.watch(&["a@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.asked(), ["subscribe a@x.org"]);
    late.stop().await;
    // and so is one that calls somewhere else, which is ended
    let moved = worker_at(&world, clock, "https://y.org/notifications");
    moved.watch(&["a@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.asked(), ["subscribe a@x.org", "unsubscribe s2"]);
    moved.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_well_before_its_end_and_made_anew_when_it_is_gone() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let worker = worker(&world, clock);
    worker.watch(&["a@x.org"]);
    sleep(hours(35)).await;
    assert_eq!(world.asked(), ["subscribe a@x.org"]);
    sleep(hours(21)).await;
    assert_eq!(world.asked(), ["renew s1"]);
    worker.woken();
    sleep(hours(100)).await;
    assert_eq!(world.ids(), ["s1"]);
    assert!(worker.is_awake("a@x.org"));
    assert_eq!(worker.woken(), [""; 0], "a renewal wakes");
    world.asked();
    world.service().subscriptions.clear();
    sleep(hours(56)).await;
    let asked = world.asked();
    assert!(asked.contains(&"subscribe a@x.org".to_owned()), "{asked:?}");
    assert_eq!(worker.woken(), ["a@x.org"]);
    assert_eq!(worker.callbacks.receive("p", &world.call("s2", None)).unwrap().woken, 1);
    assert_eq!(worker.callbacks.receive("p", &world.call("s2", None)).unwrap().unknown, 0);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_graph_tells_of_a_subscription_is_done() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let worker = worker(&world, clock);
    worker.watch(&["a@x.org"]);
    sleep(SOON).await;
    world.asked();
    worker.woken();
    worker.callbacks.receive("p", &world.call("s1", Some("reauthorizationRequired"))).unwrap();
    sleep(SOON).await;
    assert_eq!(world.asked(), ["renew s1"]);
    assert_eq!(worker.woken(), [""; 0]);

    worker.callbacks.receive("p", &world.call("s1", Some("missed"))).unwrap();
    sleep(SOON).await;
    assert_eq!(worker.woken(), ["a@x.org"]);
    assert_eq!(world.asked(), [""; 0]);

    let removed = world.call("s1", Some("subscriptionRemoved"));
    world.service().subscriptions.clear();
    worker.callbacks.receive("p", &removed).unwrap();
    assert_eq!(worker.woken(), ["a@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.asked(), ["subscribe a@x.org"]);
    assert!(worker.is_awake("a@x.org"));
    // what is told of the one before means nothing now
    assert_eq!(worker.callbacks.receive("p", &removed).unwrap().unknown, 1);
    sleep(hours(2)).await;
    assert_eq!(world.asked(), [""; 0]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leaves_the_mailbox_to_polling_and_is_asked_about_ever_more_seldom() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let refused = Error::permanent(Code::GraphSubscriptionRefused, "no");
    world.service().refuses.insert("a@x.org".to_owned(), refused);
    let worker = worker(&world, clock);
    worker.watch(&["a@x.org", "b@x.org"]);
    sleep(SOON).await;
    assert!(worker.is_awake("b@x.org"));
    let Waking::Polled { code: Code::GraphSubscriptionRefused, .. } =
        worker.keeper.waking(&Mailbox::new("a@x.org"))
    else {
        panic!("{:?}", worker.keeper.waking(&Mailbox::new("a@x.org")));
    };
    world.asked();
    sleep(hours(24)).await;
    let asked = world.asked().len();
    assert!((24..40).contains(&asked), "{asked}");
    world.service().refuses.clear();
    sleep(hours(1)).await;
    assert!(worker.is_awake("a@x.org"));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_soon_and_a_living_one_stays_awake_meanwhile() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let worker = worker(&world, clock);
    worker.watch(&["a@x.org"]);
    sleep(SOON).await;
    let blocked = Verdict::Blocked { scope: Scope::Connection, after: None };
    let down = Error::new(Code::LoginUnreachable, blocked, "down");
    world.service().refuses.insert("a@x.org".to_owned(), down);
    sleep(hours(60)).await;
    assert!(world.asked().len() > 5);
    assert!(worker.is_awake("a@x.org"));
    sleep(hours(13)).await;
    assert!(!worker.is_awake("a@x.org"), "it has ended");
    world.service().refuses.clear();
    sleep(hours(1)).await;
    assert!(worker.is_awake("a@x.org"));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_remembered_is_ended() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    world.service().store_fails = Some(Error::transient(Code::StateFailed, "no"));
    let worker = worker(&world, clock);
    worker.watch(&["a@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.asked(), ["subscribe a@x.org", "unsubscribe s1"]);
    assert!(world.ids().is_empty() && !worker.is_awake("a@x.org"));
    world.service().store_fails = None;
    sleep(hours(1)).await;
    assert!(worker.is_awake("a@x.org"));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_watched_no_more_is_left() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let worker = worker(&world, clock);
    worker.watch(&["a@x.org", "b@x.org"]);
    sleep(SOON).await;
    let call = world.call("s1", None);
    worker.watch(&["b@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.ids(), ["s2"]);
    assert_eq!(world.states(), 1);
    assert_eq!(worker.callbacks.receive("p", &call).unwrap().unknown, 1);
    assert_eq!(worker.keeper.waking(&Mailbox::new("a@x.org")), Waking::Waiting);
    // and it may come back
    worker.watch(&["a@x.org", "b@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.ids(), ["s2", "s3"]);
    // also while it is being left
    worker.watch(&["b@x.org"]);
    sleep(Duration::from_millis(100)).await;
    worker.watch(&["a@x.org", "b@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.ids(), ["s2", "s4"]);
    assert!(worker.is_awake("a@x.org"));
    // and one that is still being asked for is left too
    worker.watch(&["a@x.org", "b@x.org", "c@x.org"]);
    sleep(Duration::from_millis(100)).await;
    worker.watch(&["a@x.org", "b@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.ids(), ["s2", "s4"]);
    // another folder is another subscription
    worker.keeper.watch([watch("a@x.org", Some("archive")), watch("b@x.org", None)]);
    sleep(SOON).await;
    assert_eq!(world.ids(), ["s2", "s6"]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_workers_have_one_subscription_and_both_know_its_calls() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let (one, two) = (worker(&world, clock.clone()), worker(&world, clock));
    one.watch(&["a@x.org"]);
    two.watch(&["a@x.org"]);
    sleep(SOON).await;
    assert_eq!(world.ids().len(), 1);
    // Graph has ended one of the two; whoever had it finds out when it looks
    sleep(hours(2)).await;
    let id = world.ids().remove(0);
    for worker in [&one, &two] {
        assert_eq!(worker.callbacks.receive("p", &world.call(&id, None)).unwrap().woken, 1);
    }
    sleep(hours(200)).await;
    assert_eq!(world.ids().len(), 1);
    for worker in [one, two] {
        assert!(worker.is_awake("a@x.org"));
        let id = world.ids().remove(0);
        assert_eq!(worker.callbacks.receive("p", &world.call(&id, None)).unwrap().woken, 1);
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_mailboxes_are_asked_for_at_a_pace() {
    let (world, clock) = (Arc::new(World::default()), fake::clock());
    let worker = worker(&world, clock.clone());
    let all: Vec<_> = (0..10_000).map(|number| watch(&format!("{number}@x.org"), None)).collect();
    worker.keeper.watch(all.clone());
    sleep(Duration::from_mins(15)).await;
    {
        let service = world.service();
        assert_eq!(service.subscriptions.len(), 10_000);
        assert!(service.at_once.1 <= AT_ONCE);
        let mut per_second: HashMap<u64, usize> = HashMap::new();
        let first = service.asked[0].0;
        for (at, _) in &service.asked {
            *per_second.entry(at.duration_since(first).as_secs()).or_default() += 1;
        }
        assert!(per_second.values().all(|asked| *asked <= 30), "{:?}", per_second.values().max());
    }
    worker.stop().await;
    // a restart asks Graph for nothing, and has them all at once
    world.asked();
    let again = self::worker(&world, clock);
    again.keeper.watch(all);
    sleep(SOON).await;
    assert_eq!(world.asked(), [""; 0]);
    assert!((0..10_000).all(|number| again.is_awake(&format!("{number}@x.org"))));
    again.stop().await;
}
