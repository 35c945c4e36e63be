//! Workers as processes: started, killed, asleep, asked to stop.

use std::time::Duration;

use mailbridge_testkit::{
    program::{Launch, Program},
    simulation::Dice,
};
use tokio::time::Instant;

use super::{Sizes, owned::Owned, world::World};

/// How long a worker may take to finish what it has in hand.
const STOPS: Duration = Duration::from_secs(40);
/// Leases that a worker sleeps.
const ASLEEP: u32 = 3;
/// Workers that sleep at once, at most: the others have their work to do.
const ASLEEP_MAX: usize = 2;

/// What befalls a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Befalls {
    Killed,
    Asleep,
    Stopped,
    Joined,
}

const ALL: [Befalls; 4] = [Befalls::Killed, Befalls::Asleep, Befalls::Stopped, Befalls::Joined];

/// The workers that there are.
pub(super) struct Pool {
    sizes: Sizes,
    config: String,
    owned: Owned,
    dice: Dice,
    awake: Vec<Program>,
    /// With when they are to wake.
    asleep: Vec<(Instant, Program)>,
    stopping: Vec<Program>,
    bag: Vec<Befalls>,
    /// What has befallen it.
    pub fates: Vec<Befalls>,
}

impl Pool {
    /// As many as there are to be, all at once.
    pub async fn start(world: &World, owned: &Owned, seed: u64) -> Self {
        let mut pool = Self {
            sizes: world.sizes.clone(),
            config: world.config(),
            owned: owned.clone(),
            dice: Dice::new(seed),
            awake: Vec::new(),
            asleep: Vec::new(),
            stopping: Vec::new(),
            bag: Vec::new(),
            fates: Vec::new(),
        };
        for _ in 0..pool.sizes.workers {
            pool.join();
        }
        pool.shared().await;
        pool
    }

    fn join(&mut self) {
        let launch = Launch::mailbridge().expect("the program").args(["--log", "warn", "run"]);
        let launch = launch.args(&self.sizes.args).config(&self.config);
        let worker = launch.expect("a configuration").start().expect("it starts");
        self.owned.awake(worker.id(), true);
        self.awake.push(worker);
    }

    /// Waits until those who are awake have all mailboxes between them.
    pub async fn shared(&self) {
        self.owned.shared_by(self.awake.len()).await;
    }

    fn any(&mut self) -> Program {
        let which = self.dice.below(self.awake.len() as u64);
        self.awake.remove(usize::try_from(which).expect("few"))
    }

    /// Lets something befall it: each of the four as often as the others, in any order, except
    /// where there would be too few or too many workers then. Who is killed is not replaced but by
    /// who joins.
    pub fn befall(&mut self) {
        if self.bag.is_empty() {
            self.bag = ALL.to_vec();
        }
        let which = self.dice.below(self.bag.len() as u64);
        let drawn = self.bag.remove(usize::try_from(which).expect("few"));
        let (workers, there) = (self.sizes.workers, self.awake.len());
        let fate = match drawn {
            _ if there <= workers / 2 => Befalls::Joined,
            Befalls::Asleep if self.asleep.len() >= ASLEEP_MAX => Befalls::Killed,
            Befalls::Joined if there + self.asleep.len() > workers => Befalls::Stopped,
            drawn => drawn,
        };
        self.fates.push(fate);
        match fate {
            Befalls::Joined => self.join(),
            Befalls::Killed => {
                let mut worker = self.any();
                self.owned.awake(worker.id(), false);
                worker.kill9().expect("it runs");
                self.stopping.push(worker);
            }
            Befalls::Asleep => self.sleep(),
            Befalls::Stopped => {
                let mut worker = self.any();
                // what it still has in hand is not looked at again by it
                self.owned.awake(worker.id(), false);
                worker.sigterm().expect("it runs");
                self.stopping.push(worker);
            }
        }
    }

    /// Any of them falls asleep.
    pub fn sleep(&mut self) {
        let mut worker = self.any();
        self.owned.awake(worker.id(), false);
        worker.suspend().expect("it runs");
        self.asleep.push((Instant::now() + self.sizes.lease * ASLEEP, worker));
    }

    /// Wakes those whose time has come, or all.
    pub fn wake(&mut self, all: bool) {
        let now = Instant::now();
        let (wake, asleep): (Vec<_>, Vec<_>) =
            self.asleep.drain(..).partition(|(until, _)| all || *until <= now);
        self.asleep = asleep;
        for (_, mut worker) in wake {
            worker.resume().expect("it is there");
            self.owned.awake(worker.id(), true);
            self.awake.push(worker);
        }
    }

    /// Replaces the worker that is there longest: the next one joins first, as in a rolling deploy.
    pub async fn replace(&mut self) {
        self.join();
        self.shared().await;
        let mut oldest = self.awake.remove(0);
        self.owned.awake(oldest.id(), false);
        oldest.sigterm().expect("it runs");
        ended(oldest).await;
    }

    /// Waits until those are gone that are to go.
    pub async fn gone(&mut self) {
        for worker in self.stopping.drain(..) {
            ended(worker).await;
        }
    }
}

/// Waits for its end, which was its own or a kill.
async fn ended(mut worker: Program) {
    let status = worker.wait_exit(STOPS).await.expect("it ends");
    let killed = status.code().is_none();
    assert!(status.success() || killed, "a worker ended with {status}: {:?}", worker.lines());
}
