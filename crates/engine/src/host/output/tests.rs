use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mailbridge_core::Code;
use tokio::time::advance;

use super::*;
use crate::health::{Health, State as PipelineState};

/// A bus that can be told what goes wrong with it. A build takes a second.
#[derive(Default)]
struct Fake {
    building: Mutex<Option<Error>>,
    publishing: Mutex<Option<Error>>,
    builds: AtomicUsize,
    publishes: AtomicUsize,
}

struct Port(Arc<Fake>);

#[async_trait]
impl Build<dyn Output> for Port {
    async fn build(&self) -> Result<Box<dyn Output>> {
        self.0.builds.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        match self.0.building.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(Box::new(Port(Arc::clone(&self.0)))),
        }
    }
}

#[async_trait]
impl Output for Port {
    async fn publish(&self, _: Message) -> Result<()> {
        self.0.publishes.fetch_add(1, Ordering::SeqCst);
        self.0.publishing.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

struct Rig {
    fake: Arc<Fake>,
    host: OutputHost,
    health: Health,
}

impl Rig {
    fn new() -> Self {
        let (fake, health) = (Arc::new(Fake::default()), Health::new());
        let reporter = health.register("p");
        reporter.mail(Ok(()));
        reporter.bus(Ok(()));
        let build = Arc::new(Port(Arc::clone(&fake)));
        let host = OutputHost::new(Side::Outcomes, "p", build, reporter);
        Self { fake, host, health }
    }

    async fn publish(&self) -> Result<()> {
        self.host.publish(Message::default()).await
    }

    fn builds(&self) -> usize {
        self.fake.builds.load(Ordering::SeqCst)
    }

    fn building_fails(&self, fails: bool) {
        let gone = Error::blocked(Code::BusUnreachable, "gone");
        *self.fake.building.lock().unwrap() = fails.then_some(gone);
    }

    fn publishing_fails(&self, with: Option<Error>) {
        *self.fake.publishing.lock().unwrap() = with;
    }

    fn state(&self) -> String {
        match &self.health.snapshot()[0].state {
            PipelineState::Disconnected { code, reason } => format!("{code}: {reason}"),
            state => state.as_str().to_owned(),
        }
    }
}

const GONE: &str = "bus_unreachable: outcomes cannot be published: gone";
const FULL: &str = "bus_publish_failed: outcomes cannot be published: full";

fn full() -> Error {
    Error::transient(Code::BusPublishFailed, "full")
}

#[tokio::test(start_paused = true)]
async fn all_wait_for_one_build_and_none_of_them_for_another() {
    let rig = Rig::new();
    assert_eq!(rig.state(), "starting");
    let since = Instant::now();
    let published = futures_util::future::join_all((0..100).map(|_| rig.publish())).await;
    assert!(published.iter().all(Result::is_ok));
    assert_eq!((rig.builds(), since.elapsed()), (1, Duration::from_secs(1)));
    assert_eq!(rig.state(), "ready");
}

#[tokio::test(start_paused = true)]
async fn a_build_outlives_a_publisher_that_looks_away() {
    let rig = Rig::new();
    for _ in 0..4 {
        tokio::time::timeout(Duration::from_millis(300), rig.publish()).await.ok();
    }
    assert_eq!((rig.builds(), rig.state().as_str()), (1, "ready"));
}

#[tokio::test(start_paused = true)]
async fn while_it_cannot_be_built_the_error_comes_at_once_and_health_says_which_and_why() {
    let rig = Rig::new();
    rig.building_fails(true);
    rig.publish().await.unwrap_err();
    let since = Instant::now();
    assert_eq!(rig.publish().await.unwrap_err().code(), Code::BusUnreachable);
    assert_eq!((since.elapsed(), rig.builds()), (Duration::ZERO, 1));
    assert_eq!(rig.state(), GONE);
    rig.building_fails(false);
    advance(Duration::from_secs(1)).await;
    rig.publish().await.unwrap();
    assert_eq!((rig.builds(), rig.state().as_str()), (2, "ready"));
}

#[tokio::test(start_paused = true)]
async fn one_failure_is_built_anew_at_once_and_more_have_pauses_between() {
    let rig = Rig::new();
    rig.publishing_fails(Some(full()));
    rig.publish().await.unwrap_err();
    assert_eq!((rig.builds(), rig.state().as_str()), (1, FULL));
    rig.publish().await.unwrap_err();
    let since = Instant::now();
    for _ in 0..100 {
        rig.publish().await.unwrap_err();
    }
    assert_eq!((rig.builds(), since.elapsed()), (2, Duration::ZERO));
    assert_eq!(rig.fake.publishes.load(Ordering::SeqCst), 2);
    rig.publishing_fails(None);
    advance(Duration::from_secs(1)).await;
    rig.publish().await.unwrap();
    assert_eq!(rig.state(), "ready");
}

#[tokio::test(start_paused = true)]
async fn a_message_at_fault_says_nothing_of_the_output() {
    let rig = Rig::new();
    rig.publish().await.unwrap();
    rig.publishing_fails(Some(Error::permanent(Code::BusPayloadTooLarge, "too large")));
    rig.publish().await.unwrap_err();
    rig.publishing_fails(None);
    rig.publish().await.unwrap();
    assert_eq!((rig.builds(), rig.state().as_str()), (1, "ready"));
}

/// Lets the watch go on for so long, and says how the pipeline is then.
async fn watched(rig: &Rig, seconds: u64) -> String {
    let time = Duration::from_secs(seconds);
    tokio::time::timeout(time, rig.host.watch()).await.expect_err("it never ends");
    rig.state()
}

#[tokio::test(start_paused = true)]
async fn an_output_that_nobody_publishes_to_is_watched() {
    let rig = Rig::new();
    assert_eq!(watched(&rig, 2).await, "ready", "it is built before anybody needs it");
    rig.building_fails(true);
    assert_eq!(watched(&rig, 20).await, GONE);
    rig.publish().await.expect("the one that stands may still do");
    assert_eq!(rig.state(), "ready", "and does");
    assert_eq!(watched(&rig, 20).await, GONE);
    rig.building_fails(false);
    assert_eq!(watched(&rig, 20).await, "ready");
}

#[tokio::test(start_paused = true)]
async fn a_build_alone_is_no_recovery_while_somebody_fails_to_publish() {
    let rig = Rig::new();
    rig.publishing_fails(Some(full()));
    for _ in 0..10 {
        rig.publish().await.unwrap_err();
        assert_eq!(watched(&rig, 20).await, FULL);
    }
    // Whoever failed has been served by another worker, and does not come back.
    assert_eq!(watched(&rig, 100).await, "ready");
}
