//! Workers that die between any two steps of a mail's way, and others that take over.
//!
//! Not the program but its two halves, engine and connection, in one process: so a death can be put
//! at every single step, of mails of every size class, several hundred times in seconds. What the
//! bus and the sandbox hold at the end is compared with what was asked for.

mod mails;
mod world;

use std::{collections::HashMap, time::Duration};

use mailbridge_core::contract::{Outcome, Status, decode};
use mailbridge_engine::{Policy, Settings};
use mailbridge_graph::{MARK_PROPERTY, Options};
use mailbridge_sandbox::{Fault, Operation};
use mailbridge_testkit::simulation::Dice;
use tokio::task::JoinSet;

use mails::{Kind, Mail};
use world::{Death, Life, SETTLE, World};

/// Worlds at a time.
const AT_ONCE: usize = 8;
const SEEDS: u64 = 200;

fn settings() -> Settings {
    let policy = Policy { backoff_min: Duration::from_millis(10), ..Policy::default() };
    let allow_mailboxes = vec![mails::MAILBOX.to_owned()];
    Settings { allow_mailboxes, settle_time: SETTLE, policy, ..Settings::default() }
}

/// What became of the mails of one world, or of many.
#[derive(Debug, Default)]
struct Tally {
    worlds: usize,
    deaths: usize,
    mails: usize,
    /// Mails that were sent more than once.
    doubled: usize,
    lost: usize,
    /// Drafts in the mailbox at the deaths.
    drafts_of_the_dead: usize,
    /// Drafts at the end that the dead had made and not yet marked, so that nobody ever finds them.
    drafts_without_mark: usize,
    /// Other drafts at the end.
    drafts_forgotten: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.deaths += other.deaths;
        self.mails += other.mails;
        self.doubled += other.doubled;
        self.lost += other.lost;
        self.drafts_of_the_dead += other.drafts_of_the_dead;
        self.drafts_without_mark += other.drafts_without_mark;
        self.drafts_forgotten += other.drafts_forgotten;
    }
}

/// Lets workers die one after the other, then one that lives, and inspects what they leave.
async fn live_and_let_die(
    world: &World,
    mails: &[Mail],
    deaths: &[Death],
    options: Options,
) -> Tally {
    let mut tally = Tally { worlds: 1, mails: mails.len(), ..Tally::default() };
    let truth = world.handle().truth();
    for death in deaths.iter().copied().map(Some).chain([None]) {
        if world.live(death, settings(), options).await == Life::Done {
            break;
        }
        tally.deaths += 1;
        tally.drafts_of_the_dead += truth.drafts_left();
    }
    tally.drafts_forgotten = truth.drafts_left_with_property(MARK_PROPERTY).expect("a property");
    tally.drafts_without_mark = truth.drafts_left() - tally.drafts_forgotten;
    for mail in mails {
        let sent = truth.with_subject(&mail.id);
        for sent in &sent {
            mail.check(sent);
        }
        tally.doubled += usize::from(sent.len() > 1);
        tally.lost += usize::from(sent.is_empty());
    }
    let statuses = statuses(world);
    for mail in mails {
        assert_eq!(statuses.get(&mail.id), Some(&vec![Status::Accepted]), "{mail:?} {deaths:?}");
    }
    tally
}

/// The final outcomes by key.
fn statuses(world: &World) -> HashMap<String, Vec<Status>> {
    let mut statuses = HashMap::<_, Vec<_>>::new();
    for posted in world.bus.posted().iter().filter(|posted| posted.target == "outcomes") {
        let outcome: Outcome = decode::read(&posted.message.payload).expect("an outcome");
        statuses.entry(outcome.data.key).or_default().push(outcome.data.status);
    }
    statuses
}

/// One mail, and one death.
async fn die_once(kind: Kind, death: Death, look_first: bool) -> Tally {
    let world = World::new(1).await;
    let mail = Mail::ask(&world, "m".to_owned(), kind);
    let options = Options { look_first, ..Options::default() };
    live_and_let_die(&world, &[mail], &[death], options).await
}

/// Every death that a mail of this kind can meet, one kind of death after the other until the
/// worker outlives it.
async fn die_everywhere(kind: Kind, deaths: fn(u64) -> Death, look_first: bool) -> Tally {
    let mut all = Tally::default();
    for number in 1.. {
        let death = deaths(number);
        let tally = die_once(kind, death, look_first).await;
        if look_first {
            assert_eq!((tally.doubled, tally.lost), (0, 0), "{kind:?} {death:?}");
            assert_eq!(tally.drafts_forgotten, 0, "{kind:?} {death:?}");
            let may_be = usize::from(kind.is_made_without_a_mark());
            assert!(tally.drafts_without_mark <= may_be, "{kind:?} {death:?}");
        }
        all.add(&tally);
        if tally.deaths == 0 {
            return all;
        }
    }
    all
}

async fn every_kind_everywhere(look_first: bool) -> Tally {
    let mut ways = JoinSet::new();
    for kind in Kind::ALL {
        for deaths in [Death::Asking, Death::Unanswered, Death::AtTheBus] {
            ways.spawn(die_everywhere(kind, deaths, look_first));
        }
    }
    let mut all = Tally::default();
    while let Some(tally) = ways.join_next().await {
        all.add(&tally.expect("no panic"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_every_step_neither_doubles_nor_loses_a_mail_of_any_size() {
    let tally = every_kind_everywhere(true).await;
    println!("a death at every step: {tally:?}");
    assert!(tally.deaths > 80, "there are steps to die at: {tally:?}");
    assert!(tally.drafts_of_the_dead > 30, "the dead leave drafts: {tally:?}");
    // of two kinds: when its making is not answered, and when its marking does not arrive
    assert_eq!(tally.drafts_without_mark, 4, "{tally:?}");
}

/// The control: without looking first, some death does double a mail. If this fails, the test above
/// proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_first_some_death_doubles_a_mail() {
    let tally = every_kind_everywhere(false).await;
    println!("a death at every step, blind: {tally:?}");
    assert!(tally.doubled >= Kind::ALL.len(), "{tally:?}");
}

/// Several mails at once, and up to three workers that die at random places.
async fn die_at_random(seed: u64, look_first: bool) -> Tally {
    let mut dice = Dice::new(seed);
    let world = World::new(seed).await;
    let mut kinds = vec![Kind::Inline, Kind::Mime];
    kinds.push(Kind::ALL[usize::try_from(dice.below(5)).expect("small")]);
    let mails: Vec<_> = kinds
        .into_iter()
        .enumerate()
        .map(|(number, kind)| Mail::ask(&world, format!("m{number}"), kind))
        .collect();
    let deaths: Vec<_> = (0..=dice.below(3))
        .map(|_| match dice.below(3) {
            0 => Death::Asking(1 + dice.below(14)),
            1 => Death::Unanswered(1 + dice.below(14)),
            _ => Death::AtTheBus(1 + dice.below(16)),
        })
        .collect();
    let options = Options { look_first, ..Options::default() };
    let tally = live_and_let_die(&world, &mails, &deaths, options).await;
    if look_first {
        assert_eq!((tally.doubled, tally.lost), (0, 0), "seed {seed}");
        assert_eq!(tally.drafts_forgotten, 0, "seed {seed}");
    }
    tally
}

async fn seeds(count: u64, look_first: bool) -> Tally {
    let (mut worlds, mut all) = (JoinSet::new(), Tally::default());
    for seed in 0..count {
        worlds.spawn(die_at_random(seed, look_first));
        if worlds.len() >= AT_ONCE {
            all.add(&worlds.join_next().await.expect("one").expect("no panic"));
        }
    }
    while let Some(tally) = worlds.join_next().await {
        all.add(&tally.expect("no panic"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deaths_at_random_places_over_many_seeds_neither_double_nor_lose() {
    let tally = seeds(SEEDS, true).await;
    println!("deaths at random places: {tally:?}");
    assert!(tally.deaths > 200, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_deaths_without_looking_first_double_mails() {
    let tally = seeds(20, false).await;
    println!("deaths at random places, blind: {tally:?}");
    assert!(tally.doubled > 0, "{tally:?}");
}

/// The one case that nobody can close, and what is said of it: the mail was sent, and the mailbox
/// cannot be asked until the attempts are used up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_look_the_outcome_says_unknown_and_nothing_is_sent_again() {
    let world = World::new(1).await;
    let mail = Mail::ask(&world, "m".to_owned(), Kind::Inline);
    world.handle().add_fault(Fault::answer(503).on(Operation::ListMessages));
    let life = world.live(Some(Death::Unanswered(3)), settings(), Options::default()).await;
    assert_eq!(life, Life::Died, "with its mail sent");
    let policy = Policy { attempts_max: 3, ..settings().policy };
    let few = Settings { policy, ..settings() };
    world.live(None, few, Options::default()).await;
    assert_eq!(statuses(&world).remove(&mail.id), Some(vec![Status::Unknown]));
    assert_eq!(world.handle().truth().with_subject(&mail.id).len(), 1);
    assert_eq!(world.bus.posted().iter().filter(|posted| posted.target == "dead").count(), 1);
}
