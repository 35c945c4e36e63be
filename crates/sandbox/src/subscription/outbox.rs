//! Notifications on their way: each with the time at which it is due, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::fault::NotificationFaults;
use crate::clock::{after, until};
use crate::dice::{chance, mix};
use crate::fault::seconds;

/// How long the service tries (change-notifications-delivery-webhooks: up to 4 hours).
const PATIENCE: Duration = Duration::from_hours(4);
/// How far is looked for more of the same address.
const LOOK_LIMIT: usize = 1_000;

/// What became of notifications so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct NotificationCounts {
    /// Changes that somebody had subscribed to, each time for each subscription
    pub made: u64,
    pub lost: u64,
    pub doubled: u64,
    /// Told to an endpoint that answered in time with 2xx
    pub delivered: u64,
    /// Requests that were not answered so
    pub failed_requests: u64,
    /// Given up after four hours
    pub dropped: u64,
    /// Lifecycle notifications made
    pub lifecycle: u64,
}

/// One notification.
#[derive(Clone, Debug)]
pub struct Item {
    pub url: String,
    pub body: Value,
    attempts: u32,
    first: Timestamp,
}

#[derive(Debug)]
pub struct Outbox {
    due: BTreeMap<(Timestamp, u64), Item>,
    seed: u64,
    number: u64,
    pub counts: NotificationCounts,
}

impl Outbox {
    pub fn new(seed: u64) -> Self {
        let seed = mix(seed ^ 0x0b07);
        Self { due: BTreeMap::new(), seed, number: 0, counts: NotificationCounts::default() }
    }

    pub fn reset(&mut self) {
        self.due.clear();
        self.number = 0;
        self.counts = NotificationCounts::default();
    }

    /// A change for one subscription, unless it gets lost. With `faults` it may suffer.
    pub fn post(
        &mut self,
        url: &str,
        body: Value,
        now: Timestamp,
        faults: Option<&NotificationFaults>,
    ) {
        self.counts.made += 1;
        let number = self.counts.made;
        let dice = |about: u64| mix(self.seed ^ mix(number ^ (about << 56)));
        let Some(faults) = faults else { return self.put(url, body, now, now) };
        if chance(dice(1), faults.loss) {
            self.counts.lost += 1;
            return;
        }
        let [low, high] = faults.delay_seconds.map(seconds);
        let late = |about| {
            let span = u64::try_from(high.saturating_sub(low).as_millis()).unwrap_or_default();
            after(now, low + Duration::from_millis(dice(about) % (span + 1)))
        };
        let (due, again) = (late(3), late(4));
        if chance(dice(2), faults.double) {
            self.counts.doubled += 1;
            self.put(url, body.clone(), again, now);
        }
        self.put(url, body, due, now);
    }

    /// A word about a subscription itself, which nothing happens to.
    pub fn post_lifecycle(&mut self, url: &str, body: Value, now: Timestamp) {
        self.counts.lifecycle += 1;
        self.put(url, body, now, now);
    }

    fn put(&mut self, url: &str, body: Value, due: Timestamp, now: Timestamp) {
        let item = Item { url: url.to_owned(), body, attempts: 0, first: now };
        self.insert(due, item);
    }

    fn insert(&mut self, due: Timestamp, item: Item) {
        self.number += 1;
        self.due.insert((due, self.number), item);
    }

    /// What is due for one address, in one request.
    pub fn take(&mut self, now: Timestamp, most: usize) -> Option<Vec<Item>> {
        let first = self.due.range(..=(now, u64::MAX)).next()?.1;
        let url = first.url.clone();
        let same = self.due.range(..=(now, u64::MAX)).take(LOOK_LIMIT);
        let keys: Vec<_> = same
            .filter(|(_, item)| item.url == url)
            .map(|(key, _)| *key)
            .take(most.max(1))
            .collect();
        Some(keys.iter().filter_map(|key| self.due.remove(key)).collect())
    }

    /// How long nothing is due; `None` when nothing is there.
    pub fn rest(&self, now: Timestamp) -> Option<Duration> {
        self.due.first_key_value().map(|((due, _), _)| until(now, *due))
    }

    /// What became of a request.
    pub fn settle(&mut self, items: Vec<Item>, taken: bool, now: Timestamp, retry: Duration) {
        if taken {
            self.counts.delivered += items.len() as u64;
            return;
        }
        self.counts.failed_requests += 1;
        for mut item in items {
            let wait = retry.saturating_mul(1 << item.attempts.min(10));
            let due = after(now, wait);
            if due > after(item.first, PATIENCE) {
                self.counts.dropped += 1;
                continue;
            }
            item.attempts += 1;
            self.insert(due, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn filled(seed: u64, faults: &NotificationFaults) -> Outbox {
        let mut outbox = Outbox::new(seed);
        for number in 0..1_000 {
            outbox.post("http://localhost/", json!(number), NOW, Some(faults));
        }
        outbox
    }

    #[test]
    fn losses_and_doubles_are_seeded() {
        let faults = NotificationFaults { loss: 0.2, double: 0.2, ..NotificationFaults::default() };
        let counts = filled(1, &faults).counts;
        assert!((150..250).contains(&counts.lost) && (100..220).contains(&counts.doubled));
        assert_eq!(counts, filled(1, &faults).counts);
        assert_ne!(counts, filled(2, &faults).counts);
        let none = filled(1, &NotificationFaults::default());
        assert_eq!((none.counts.lost, none.counts.doubled, none.due.len()), (0, 0, 1_000));
    }

    #[test]
    fn batches_are_of_one_address_and_delays_are_kept() {
        let faults = NotificationFaults { delay_seconds: [5.0, 9.0], ..Default::default() };
        let mut outbox = filled(1, &faults);
        assert!(outbox.take(after(NOW, Duration::from_secs(4)), 50).is_none());
        let rest = outbox.rest(NOW).unwrap();
        assert!((Duration::from_secs(5)..Duration::from_secs(9)).contains(&rest));
        outbox.post("http://localhost/other", json!(0), NOW, None);
        assert_eq!(outbox.take(NOW, 50).unwrap().len(), 1);
        assert_eq!(outbox.take(after(NOW, Duration::from_secs(10)), 50).unwrap().len(), 50);
    }

    #[test]
    fn a_failure_is_tried_again_for_four_hours() {
        let mut outbox = Outbox::new(1);
        outbox.post("http://localhost/", json!(0), NOW, None);
        let (mut now, mut tries) = (NOW, 0);
        while let Some(rest) = outbox.rest(now) {
            now = after(now, rest);
            let items = outbox.take(now, 50).unwrap();
            tries += 1;
            outbox.settle(items, false, now, Duration::from_secs(10));
        }
        assert!((5..20).contains(&tries), "{tries}");
        assert_eq!((outbox.counts.dropped, outbox.counts.delivered), (1, 0));
        assert!(until(NOW, now) < PATIENCE);
    }
}
