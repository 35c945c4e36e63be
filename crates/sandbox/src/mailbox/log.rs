//! What happened in one folder, in the order it happened: what delta queries page through.
//!
//! A log keeps one step for every message that is in the folder, those for its changes, and one
//! for every message that has left since somebody first asked. It knows numbers only, not what the
//! things are; it serves messages of a folder and folders of a mailbox alike. Finding a page costs
//! the page, whatever the size of the folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use jiff::Timestamp;

/// What changed of a thing, so that an update can say so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks(u8);

impl Marks {
    pub const NONE: Self = Self(0);
    pub const READ: Self = Self(1);
    pub const CATEGORIES: Self = Self(2);
    pub const FLAG: Self = Self(4);
    pub const IMPORTANCE: Self = Self(8);
    pub const INFERENCE: Self = Self(16);
    /// Anything else: all of it has to be told
    pub const REST: Self = Self(32);

    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The mark if there is a difference.
    pub fn when(self, differs: bool) -> Self {
        if differs { self } else { Self::NONE }
    }
}

/// A thing as the log knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    pub key: u64,
    /// Generations of its ids
    pub default_id: u32,
    pub immutable_id: u32,
    /// How often it has changed
    pub change: u32,
    /// What it is sorted and filtered by
    pub received: Timestamp,
    pub unread: bool,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    arrived: u64,
    changes: Vec<(u64, Marks)>,
}

/// A thing that has left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gone {
    pub known: Known,
    arrived: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrived(u64),
    Changed(u64),
    Left(Gone),
}

/// What a client is told of one thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tale {
    New(Known),
    Changed(Known, Marks),
    Left(Gone),
}

impl Tale {
    pub fn known(&self) -> &Known {
        match self {
            Self::New(known) | Self::Changed(known, _) => known,
            Self::Left(gone) => &gone.known,
        }
    }
}

/// One round of delta: what happened after `base` and not after `top`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Round {
    pub base: u64,
    pub top: u64,
}

impl Round {
    fn holds(self, step: u64) -> bool {
        step > self.base && step <= self.top
    }
}

/// How many things that left are remembered. Who asks for older ones has to start again, as with
/// Graph, which evicts the oldest tokens (learn.microsoft.com/graph/delta-query-overview).
const GONE_LIMIT: usize = 50_000;

/// Changes of one thing that are kept apart; older ones melt into the next.
const CHANGES_LIMIT: usize = 8;

/// The log of one folder.
#[derive(Debug, Default)]
pub struct Log {
    /// Names the tokens that are good for this log; none were given before it is there
    pub epoch: Option<u64>,
    live: HashMap<u64, Entry>,
    steps: BTreeMap<u64, Step>,
    by_time: BTreeSet<(Timestamp, u64)>,
    unread: usize,
    gone: usize,
    /// What left up to here is forgotten
    floor: u64,
}

impl Log {
    pub fn total(&self) -> usize {
        self.live.len()
    }

    pub fn unread(&self) -> usize {
        self.unread
    }

    /// Whether a token that knows everything up to `base` can go on.
    pub fn remembers(&self, base: u64) -> bool {
        base >= self.floor || base == 0
    }

    /// Makes every token that was given worthless.
    pub fn evict(&mut self, epoch: u64) {
        self.epoch = self.epoch.map(|_| epoch);
        self.steps.retain(|_, step| !matches!(step, Step::Left(_)));
        self.gone = 0;
    }

    pub fn arrive(&mut self, step: u64, known: Known) {
        self.steps.insert(step, Step::Arrived(known.key));
        self.by_time.insert((known.received, step));
        self.unread += usize::from(known.unread);
        let entry = Entry { known, arrived: step, changes: Vec::new() };
        if let Some(old) = self.live.insert(known.key, entry) {
            self.forget(&old);
        }
    }

    pub fn change(&mut self, step: u64, key: u64, unread: bool, marks: Marks) {
        let Some(entry) = self.live.get_mut(&key) else { return };
        self.unread = self.unread + usize::from(unread) - usize::from(entry.known.unread);
        entry.known.unread = unread;
        if entry.changes.len() == CHANGES_LIMIT {
            let (oldest, melted) = entry.changes.remove(0);
            entry.changes[0].1 = entry.changes[0].1.with(melted);
            self.steps.remove(&oldest);
        }
        entry.changes.push((step, marks));
        self.steps.insert(step, Step::Changed(key));
    }

    pub fn leave(&mut self, step: u64, key: u64) {
        let Some(entry) = self.live.remove(&key) else { return };
        self.forget(&entry);
        if self.epoch.is_none() {
            // nobody has seen it here
            return;
        }
        let gone = Gone { known: entry.known, arrived: entry.arrived };
        self.steps.insert(step, Step::Left(gone));
        self.gone += 1;
        if self.gone > GONE_LIMIT {
            self.forget_oldest_gone();
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.unread -= usize::from(entry.known.unread);
        self.steps.remove(&entry.arrived);
        self.by_time.remove(&(entry.known.received, entry.arrived));
        for (step, _) in &entry.changes {
            self.steps.remove(step);
        }
    }

    /// Half of them at once, so that it costs little for each.
    fn forget_oldest_gone(&mut self) {
        let left = self.steps.iter().filter(|(_, step)| matches!(step, Step::Left(_)));
        let oldest: Vec<u64> = left.map(|(at, _)| *at).take(GONE_LIMIT / 2).collect();
        for at in &oldest {
            self.steps.remove(at);
        }
        self.gone -= oldest.len();
        self.floor = oldest.last().copied().unwrap_or(self.floor);
    }

    /// What is to be told of a round behind a step, in the order it happened, each with its step.
    /// What is not worth telling comes as `None`, so that the caller can bound the search.
    pub fn walk(&self, round: Round, after: u64) -> impl Iterator<Item = (u64, Option<Tale>)> {
        let first = after.max(round.base) + 1;
        let steps = (first <= round.top).then(|| self.steps.range(first..=round.top));
        let tale = move |(at, step): (&u64, &Step)| (*at, self.tale(round, *at, step));
        steps.into_iter().flatten().map(tale)
    }

    fn tale(&self, round: Round, at: u64, step: &Step) -> Option<Tale> {
        match step {
            Step::Arrived(key) => self.live.get(key).map(|entry| Tale::New(entry.known)),
            Step::Changed(key) => {
                let entry = self.live.get(key)?;
                let told = || entry.changes.iter().filter(|(step, _)| round.holds(*step));
                // one that arrived in this round is told as it is now, and one change stands for
                // all of a round
                if entry.arrived > round.base || told().next_back()?.0 != at {
                    return None;
                }
                let marks = told().fold(Marks::NONE, |all, (_, one)| all.with(*one));
                Some(Tale::Changed(entry.known, marks))
            }
            Step::Left(gone) => (gone.arrived <= round.base).then_some(Tale::Left(*gone)),
        }
    }

    /// What was there when the round began, by the time it was received: from `since` on, upwards
    /// or downwards, behind a place.
    pub fn walk_by_time(
        &self,
        round: Round,
        since: Option<Timestamp>,
        behind: Option<(Timestamp, u64)>,
        descending: bool,
    ) -> impl Iterator<Item = ((Timestamp, u64), Option<Tale>)> {
        let low = Bound::Included((since.unwrap_or(Timestamp::MIN), 0));
        let range = match (behind, descending) {
            (Some(place), true) => (low, Bound::Excluded(place)),
            (Some(place), false) => (Bound::Excluded(place), Bound::Unbounded),
            (None, _) => (low, Bound::Unbounded),
        };
        let empty = behind.is_some_and(|place| descending && place.0 < since.unwrap_or(place.0));
        let mut places = (!empty).then(|| self.by_time.range(range));
        let next = move || {
            let places = places.as_mut()?;
            let place = if descending { places.next_back() } else { places.next() };
            place.copied()
        };
        std::iter::from_fn(next).map(move |place| {
            let here = place.1 <= round.top;
            let known = match self.steps.get(&place.1) {
                Some(Step::Arrived(key)) if here => self.live.get(key).map(|entry| entry.known),
                _ => None,
            };
            (place, known.map(Tale::New))
        })
    }

    /// The thing with this key, if it is here.
    pub fn find(&self, key: u64) -> Option<&Known> {
        self.live.get(&key).map(|entry| &entry.known)
    }

    /// The keys of what is here, in the order of arrival.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.steps.values().filter_map(|step| match step {
            Step::Arrived(key) => Some(*key),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(key: u64) -> Known {
        let received = Timestamp::from_second(i64::try_from(key).unwrap()).unwrap();
        Known { key, default_id: 0, immutable_id: 0, change: 0, received, unread: true }
    }

    fn log(arrivals: u64) -> Log {
        let mut log = Log { epoch: Some(1), ..Log::default() };
        for key in 1..=arrivals {
            log.arrive(key, known(key));
        }
        log
    }

    fn told(log: &Log, base: u64, top: u64) -> Vec<Tale> {
        log.walk(Round { base, top }, 0).filter_map(|(_, tale)| tale).collect()
    }

    #[test]
    fn a_round_tells_each_thing_once_and_as_it_is_now() {
        let mut log = log(3);
        log.change(4, 2, false, Marks::READ);
        assert_eq!(told(&log, 0, 4).len(), 3, "the change is in what arrived");
        log.change(5, 2, true, Marks::FLAG);
        let marks = Marks::READ.with(Marks::FLAG);
        let now = Known { unread: true, ..known(2) };
        assert_eq!(told(&log, 3, 5), [Tale::Changed(now, marks)]);
        assert_eq!(told(&log, 3, 4), [Tale::Changed(now, Marks::READ)], "of this round alone");
        assert_eq!(told(&log, 5, 5), []);
    }

    #[test]
    fn what_left_is_told_to_those_who_may_have_seen_it() {
        let mut log = log(2);
        log.leave(3, 1);
        assert_eq!((told(&log, 0, 3).len(), log.total(), log.unread()), (1, 1, 1));
        let [Tale::Left(gone)] = told(&log, 2, 3)[..] else { panic!("not told") };
        assert_eq!(gone.known.key, 1);
        let mut unwatched = Log::default();
        unwatched.arrive(1, known(1));
        unwatched.leave(2, 1);
        assert!(unwatched.steps.is_empty(), "nothing is kept for nobody");
    }

    #[test]
    fn changes_melt_and_what_left_is_forgotten_in_the_end() {
        let mut log = log(1);
        log.change(2, 1, false, Marks::READ);
        for step in 3..3 + u64::try_from(CHANGES_LIMIT).unwrap() {
            log.change(step, 1, false, Marks::FLAG);
        }
        let all = told(&log, 1, 100);
        assert!(matches!(all[..], [Tale::Changed(_, marks)] if marks.has(Marks::READ)));
        let limit = u64::try_from(GONE_LIMIT).unwrap();
        for key in 0..=limit {
            log.arrive(1_000 + key * 2, known(key + 10));
            log.leave(1_001 + key * 2, key + 10);
        }
        assert!(!log.remembers(1_000) && log.remembers(1_001 + limit * 2) && log.remembers(0));
        assert_eq!(log.gone, GONE_LIMIT / 2 + 1);
    }

    #[test]
    fn times_are_walked_both_ways_from_a_place() {
        let log = log(5);
        let round = Round { base: 0, top: 4 };
        let at = |second| Timestamp::from_second(second).unwrap();
        let keys = |since, behind, descending| -> Vec<u64> {
            let all = log.walk_by_time(round, since, behind, descending);
            all.filter_map(|(_, tale)| Some(tale?.known().key)).collect()
        };
        assert_eq!(keys(None, None, true), [4, 3, 2, 1], "5 came after the round began");
        assert_eq!(keys(Some(at(2)), None, false), [2, 3, 4]);
        assert_eq!(keys(Some(at(2)), Some((at(3), 3)), true), [2]);
        assert_eq!(keys(Some(at(2)), Some((at(3), 3)), false), [4]);
        assert!(keys(Some(at(2)), Some((at(2), 2)), true).is_empty());
    }
}
