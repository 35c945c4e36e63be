//! Workers that are killed, sleep beyond their lease, stop and join, at random, while requests and
//! mails go on coming.

use std::time::Duration;

use jiff::Timestamp;
use mailbridge_testkit::simulation::Dice;
use tokio::time::Instant;

use super::{Sizes, at, owned::Owned, worker::Pool, world::World};
pub use super::{owned::Gap, worker::Befalls};

/// How often is looked whose time it is to wake.
const WAKE: Duration = Duration::from_millis(500);

/// A storm.
#[derive(Clone, Debug)]
pub struct Storm {
    /// Over what.
    pub sizes: Sizes,
    /// How long.
    pub lasts: Duration,
    /// Until something else befalls the pool: so long at least, and twice that at most.
    pub between: Duration,
    /// Of what befalls whom.
    pub seed: u64,
}

/// What came of it, all checked but the figures.
#[derive(Debug)]
pub struct Passed {
    /// Requests, each sent once.
    pub requests: usize,
    /// Mails, each told once.
    pub mails: usize,
    /// Publications of events that the stream dropped.
    pub repeated: usize,
    /// What befell the pool.
    pub fates: Vec<Befalls>,
    /// Each time that a slice of the mailboxes was nobody's, the longest last.
    pub gaps: Vec<Gap>,
    /// How long each mail waited to be told, the longest last.
    pub waits: Vec<Duration>,
    /// How long each request took, the longest last.
    pub took: Vec<Duration>,
}

impl Storm {
    /// Eight workers, four hundred mailboxes, ten minutes.
    pub fn full() -> Self {
        Self {
            sizes: Sizes {
                workers: 8,
                mailboxes: 400,
                lease: Duration::from_secs(5),
                every: Duration::from_secs(3),
                latency: Duration::from_millis(100),
                requests: 20,
                arrivals: 20,
                args: Vec::new(),
            },
            lasts: Duration::from_mins(10),
            between: Duration::from_secs(4),
            seed: 42,
        }
    }

    /// What a test has time for.
    pub fn short() -> Self {
        let sizes = Sizes {
            workers: 4,
            mailboxes: 60,
            lease: Duration::from_secs(3),
            every: Duration::from_secs(1),
            ..Self::full().sizes
        };
        Self {
            sizes,
            lasts: Duration::from_secs(35),
            between: Duration::from_secs(3),
            ..Self::full()
        }
    }

    /// The same without looking in the mailbox first, with many more requests: some are sent twice.
    pub fn unsafe_control() -> Self {
        let short = Self::short();
        let sizes = Sizes {
            requests: 50,
            latency: Duration::from_millis(200),
            args: vec!["--unsafe-never-look"],
            ..short.sizes
        };
        Self { sizes, lasts: Duration::from_secs(12), between: Duration::from_secs(2), ..short }
    }

    /// Lets it pass over a world.
    async fn pass(&self) -> (World, Pool, Vec<Gap>) {
        let mut world = World::start(self.sizes.clone()).await;
        let owned = Owned::watch(&world.jetstream).await;
        let mut pool = Pool::start(&world, &owned, self.seed).await;
        let (from, until) = (Timestamp::now(), Instant::now() + self.lasts);
        let mut dice = Dice::new(self.seed);
        while Instant::now() < until {
            let pause = self.between.as_millis();
            let more = dice.below(u64::try_from(pause).expect("seconds"));
            let next = Instant::now() + self.between + Duration::from_millis(more);
            while Instant::now() < next {
                world.load_for(WAKE).await;
                pool.wake(false);
            }
            pool.befall();
        }
        pool.wake(true);
        pool.gone().await;
        pool.shared().await;
        let to = Timestamp::now();
        let gaps = owned.gaps(from, to);
        world.settled().await;
        (world, pool, gaps)
    }

    /// Lets it pass, and counts the requests that were sent more than once.
    pub async fn doubled(&self) -> usize {
        let (world, ..) = self.pass().await;
        world.doubled()
    }

    /// Lets it pass, and checks that each request was sent once and each mail told once.
    pub async fn run(&self) -> Passed {
        let (world, pool, gaps) = self.pass().await;
        let mut took = world.assert_sent_once().await;
        let mut waits = world.assert_told_once().await;
        took.sort_unstable();
        waits.sort_unstable();
        let (requests, mails) = (world.requested.len(), world.mails());
        let repeated = world.publications() - mails;
        Passed { requests, mails, repeated, fates: pool.fates, gaps, waits, took }
    }
}

impl Passed {
    /// The longest that a slice was nobody's.
    pub fn unowned(&self) -> Duration {
        self.gaps.last().map(|gap| gap.lasted).unwrap_or_default()
    }

    /// How often something befell the pool.
    pub fn count(&self, fate: Befalls) -> usize {
        self.fates.iter().filter(|it| **it == fate).count()
    }
}

impl std::fmt::Display for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, mails, repeated, waits, took, .. } = self;
        let [killed, slept, stopped, joined] =
            [Befalls::Killed, Befalls::Asleep, Befalls::Stopped, Befalls::Joined]
                .map(|fate| self.count(fate));
        writeln!(
            f,
            "{requests} requests sent once, {mails} mails told once ({repeated} repeats dropped)"
        )?;
        writeln!(f, "{killed} killed, {slept} slept, {stopped} stopped, {joined} joined")?;
        let gaps: Vec<_> = self.gaps.iter().map(|gap| gap.lasted).collect();
        let (most, unowned) = (at(&gaps, 0.99), self.unowned());
        writeln!(f, "a mailbox was nobody's for {most:.2?} (99 %), {unowned:.2?} at most")?;
        let (half, most) = (at(took, 0.5), at(took, 1.0));
        writeln!(f, "a request took {half:.2?} (median), {most:.2?} at most")?;
        let (half, most) = (at(waits, 0.5), at(waits, 1.0));
        write!(f, "a mail was told within {half:.2?} (median), {most:.2?} at most")
    }
}
