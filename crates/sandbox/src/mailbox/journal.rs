//! What happens in a mailbox, on its way into the logs of its folders.
//!
//! A log says what delta queries tell, and they may tell it late: because readers do not see a send
//! yet, or because the sandbox was told to be late. What happens to one message stays in order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use super::folder::Folder;
use super::log::{Known, Log, Marks};
use crate::clock;
use crate::dice::{chance, mix};
use crate::subscription::{Bell, Change};

/// Something that happened to a message in a folder.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub folder: Folder,
    /// The message as it is afterwards; one that left, as it was
    pub known: Known,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Arrived,
    Changed(Marks),
    Left,
}

impl Event {
    fn key(&self) -> u64 {
        self.known.key
    }
}

/// How often and by how much changes are told late.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lateness {
    pub probability: f64,
    pub by: Duration,
    pub seed: u64,
}

/// Fresh events of a mailbox in which nobody follows changes; more of them are settled at once.
const UNWATCHED_LIMIT: usize = 64;

/// All that is to be told of one mailbox.
#[derive(Debug, Default)]
pub struct Journal {
    logs: HashMap<Folder, Log>,
    /// Number of the last step in any log
    last: u64,
    fresh: Vec<Event>,
    held: BTreeMap<(Timestamp, u64), Event>,
    held_keys: HashMap<u64, Timestamp>,
    tickets: u64,
    watched: bool,
    /// Rung at every event, once somebody has subscribed
    bell: Option<Bell>,
}

impl Journal {
    pub fn push(&mut self, event: Event) {
        if !self.watched && self.fresh.len() >= UNWATCHED_LIMIT {
            self.settle(Timestamp::MIN, Lateness::default());
        }
        if let Some(bell) = &self.bell {
            let change = match event.kind {
                Kind::Arrived => Change::Created,
                Kind::Changed(_) => Change::Updated,
                Kind::Left => Change::Deleted,
            };
            bell.ring(event.folder, event.known, change);
        }
        self.fresh.push(event);
    }

    /// Events are heard from now on, at once: also those that are told late.
    pub fn hang(&mut self, bell: Bell) {
        self.bell = Some(bell);
    }

    /// Tells nothing of what just happened to a message until a given time.
    pub fn hold(&mut self, key: u64, until: Timestamp) {
        let (meant, rest) = self.fresh.drain(..).partition(|event| event.key() == key);
        self.fresh = rest;
        for event in meant {
            self.keep(event, until);
        }
    }

    fn keep(&mut self, event: Event, until: Timestamp) {
        self.tickets += 1;
        let until = self.held_keys.get(&event.key()).map_or(until, |known| until.max(*known));
        self.held_keys.insert(event.key(), until);
        self.held.insert((until, self.tickets), event);
    }

    /// Puts what is due into the logs.
    pub fn settle(&mut self, now: Timestamp, late: Lateness) {
        // nobody can miss what nobody follows
        let late = if self.watched { late } else { Lateness::default() };
        let later = self.held.split_off(&(now, u64::MAX));
        for ((due, _), event) in std::mem::replace(&mut self.held, later) {
            if self.held_keys.get(&event.key()) == Some(&due) {
                self.held_keys.remove(&event.key());
            }
            self.apply(event);
        }
        for event in std::mem::take(&mut self.fresh) {
            let number = late.seed ^ mix(self.last ^ (self.tickets << 32));
            if self.held_keys.contains_key(&event.key()) {
                self.keep(event, now);
            } else if chance(mix(number), late.probability) {
                self.keep(event, clock::after(now, late.by));
            } else {
                self.apply(event);
            }
        }
    }

    fn apply(&mut self, event: Event) {
        self.last += 1;
        let step = self.last;
        let Event { folder, known, kind } = event;
        let log = self.logs.entry(folder).or_default();
        match kind {
            Kind::Arrived => log.arrive(step, known),
            Kind::Changed(marks) => log.change(step, known.key, known.unread, marks),
            Kind::Left => log.leave(step, known.key),
        }
    }

    /// The log of a folder and the number of the last step in the mailbox, as settled.
    pub fn log(&self, folder: Folder) -> Option<&Log> {
        self.logs.get(&folder)
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    /// The log of a folder that is followed from now on.
    pub fn watch(&mut self, folder: Folder, epoch: impl FnOnce() -> u64) -> &mut Log {
        self.watched = true;
        let log = self.logs.entry(folder).or_default();
        log.epoch.get_or_insert_with(epoch);
        log
    }

    /// Makes the tokens of a folder, or of all, worthless; says of how many folders.
    pub fn evict(&mut self, folder: Option<Folder>, mut epoch: impl FnMut() -> u64) -> usize {
        let meant = |one: &Folder| folder.is_none_or(|wanted| wanted == *one);
        let logs = self.logs.iter_mut().filter(|(one, log)| meant(one) && log.epoch.is_some());
        logs.map(|(_, log)| log.evict(epoch())).count()
    }

    /// A folder that is no more.
    pub fn forget(&mut self, folder: Folder) {
        self.logs.remove(&folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn arrival(key: u64) -> Event {
        let (default_id, immutable_id, change) = (0, 0, 0);
        let known = Known { key, default_id, immutable_id, change, received: at(0), unread: false };
        Event { folder: Folder::INBOX, known, kind: Kind::Arrived }
    }

    fn leaving(key: u64) -> Event {
        Event { kind: Kind::Left, ..arrival(key) }
    }

    fn total(journal: &Journal) -> usize {
        journal.log(Folder::INBOX).map_or(0, Log::total)
    }

    #[test]
    fn what_is_held_comes_later_and_stays_in_order() {
        let mut journal = Journal::default();
        journal.push(arrival(1));
        journal.push(arrival(2));
        journal.hold(1, at(10));
        journal.push(leaving(1));
        journal.settle(at(5), Lateness::default());
        assert_eq!(total(&journal), 1, "only the second");
        journal.settle(at(10), Lateness::default());
        assert_eq!((total(&journal), journal.last()), (1, 3), "the first came and went");
        assert!(journal.held.is_empty() && journal.held_keys.is_empty());
    }

    #[test]
    fn lateness_is_seeded() {
        let late = |seed| Lateness { probability: 0.5, by: Duration::from_secs(1), seed };
        let seen = |seed| {
            let mut journal = Journal::default();
            journal.watch(Folder::INBOX, || 1);
            (0..200).for_each(|key| journal.push(arrival(key)));
            journal.settle(at(1), late(seed));
            let log = journal.log(Folder::INBOX).unwrap();
            log.keys().collect::<Vec<_>>()
        };
        assert_eq!(seen(1), seen(1));
        assert_ne!(seen(1), seen(2));
        assert!((60..140).contains(&seen(1).len()), "about half");
    }

    #[test]
    fn a_mailbox_that_nobody_follows_keeps_little() {
        let mut journal = Journal::default();
        for key in 0..1_000 {
            journal.push(arrival(key));
            journal.push(leaving(key));
        }
        assert!(journal.fresh.len() <= UNWATCHED_LIMIT);
        journal.settle(at(0), Lateness::default());
        assert_eq!(total(&journal), 0);
    }
}
