//! Who is watched, how each one's subscription is, and whose turn it is when. Pure but for metrics.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use mailbridge_core::{Error, Mailbox, Scope, Verdict};
use tokio::time::Instant;

use super::{
    Waking,
    record::Record,
    step::{Job, Outcome, Step},
};
use crate::{backoff, events::callback::Lifecycle, metric};

/// Between one that Graph is asked for and the next: 20 a second. Graph takes 50 a second of an app
/// in a tenant (learn.microsoft.com, throttling-limits), and calls us back twice for each.
const SPACING: Duration = Duration::from_millis(50);
/// How often what other workers do with a subscription is looked at.
const LOOK: Duration = Duration::from_hours(1);
/// The pauses after a failure that passes.
const PASSING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(30));
/// The pauses after a refusal: somebody has to do something about it.
const REFUSED: (Duration, Duration) = (Duration::from_mins(2), Duration::from_hours(1));
/// How often it is told in the log at most that there is no subscription: a cause that all share
/// would be told ten thousand times.
const TOLD: Duration = Duration::from_secs(10);

/// A mailbox to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// The only folder of it that the pipeline reads. Several, or all below one, need the whole
    /// mailbox.
    pub folder: Option<String>,
}

/// One mailbox.
struct Entry {
    watch: Watch,
    waking: Waking,
    /// When its turn is. An entry in the heap with another time is an old one.
    due: Instant,
    /// A step is under way.
    busy: bool,
    leaving: bool,
    may_ask: bool,
    renew: Option<String>,
    lost: Option<String>,
    known: Option<String>,
    failures: u32,
}

pub(super) struct Roster {
    pipeline: String,
    entries: HashMap<Mailbox, Entry>,
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
    /// By what the heap has.
    turns: HashMap<u64, Mailbox>,
    turn: u64,
    /// When Graph may be asked next.
    slot: Option<Instant>,
    /// When a failure was told, and how many were not told since.
    told: Option<(Instant, u64)>,
}

impl Roster {
    pub(super) fn new(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            entries: HashMap::new(),
            heap: BinaryHeap::new(),
            turns: HashMap::new(),
            turn: 0,
            slot: None,
            told: None,
        }
    }

    pub(super) fn watch(&mut self, all: impl IntoIterator<Item = Watch>, now: Instant) {
        let mut seen = HashSet::new();
        for watch in all {
            let mailbox = watch.mailbox.clone();
            seen.insert(mailbox.clone());
            match self.entries.get_mut(&mailbox) {
                Some(entry) if entry.watch == watch && !entry.leaving => continue,
                Some(entry) => (entry.watch, entry.leaving, entry.failures) = (watch, false, 0),
                None => self.add(watch, now),
            }
            self.plan(&mailbox, now);
        }
        let gone = |(mailbox, entry): (&Mailbox, &Entry)| {
            (!entry.leaving && !seen.contains(mailbox)).then(|| mailbox.clone())
        };
        let gone: Vec<_> = self.entries.iter().filter_map(gone).collect();
        for mailbox in gone {
            if let Some(entry) = self.entries.get_mut(&mailbox) {
                (entry.leaving, entry.failures) = (true, 0);
            }
            let slot = self.slot(now);
            self.plan(&mailbox, slot);
        }
    }

    fn add(&mut self, watch: Watch, due: Instant) {
        self.gauge(&Waking::Waiting, 1.0);
        let entry = Entry {
            watch: watch.clone(),
            waking: Waking::Waiting,
            due,
            busy: false,
            leaving: false,
            may_ask: false,
            renew: None,
            lost: None,
            known: None,
            failures: 0,
        };
        self.entries.insert(watch.mailbox, entry);
    }

    /// Forgets a mailbox; the subscription whose calls are known, if there is one.
    pub(super) fn forget(&mut self, mailbox: &Mailbox) -> Option<String> {
        let entry = self.entries.remove(mailbox)?;
        self.gauge(&entry.waking, -1.0);
        entry.known
    }

    /// What was told of a mailbox's subscription.
    pub(super) fn life(&mut self, mailbox: &Mailbox, id: &str, what: Lifecycle, now: Instant) {
        let Some(entry) = self.entries.get_mut(mailbox) else { return };
        match what {
            Lifecycle::Reauthorize => entry.renew = Some(id.to_owned()),
            Lifecycle::Removed => {
                entry.lost = Some(id.to_owned());
                let before = std::mem::replace(&mut entry.waking, Waking::Waiting);
                self.gauge(&before, -1.0);
                self.gauge(&Waking::Waiting, 1.0);
            }
        }
        self.plan(mailbox, now);
    }

    pub(super) fn waking(&self, mailbox: &Mailbox) -> Waking {
        self.entries.get(mailbox).map_or(Waking::Waiting, |entry| entry.waking.clone())
    }

    /// Whether a failure is to be told: the first of a mailbox, and not of too many at once. With
    /// how many others there were that were not.
    pub(super) fn told(&mut self, failures: u32, now: Instant) -> Option<u64> {
        match &mut self.told {
            _ if failures > 0 => None,
            Some((at, others)) if now < *at + TOLD => {
                *others += 1;
                None
            }
            told => Some(told.replace((now, 0)).map_or(0, |(_, others)| others)),
        }
    }

    /// When the next turn is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// The next step, if one is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Job> {
        while self.due()? <= now {
            let Reverse((due, turn)) = self.heap.pop()?;
            let Some(mailbox) = self.turns.remove(&turn) else { continue };
            let Some(entry) = self.entries.get_mut(&mailbox) else { continue };
            if entry.busy || entry.due != due {
                continue;
            }
            entry.busy = true;
            return Some(Job {
                watch: entry.watch.clone(),
                leaving: entry.leaving,
                may_ask: entry.may_ask,
                renew: entry.renew.clone(),
                lost: entry.lost.clone(),
                known: entry.known.clone(),
                failures: entry.failures,
            });
        }
        None
    }

    /// What came of a step, and when the next one is. False, where the mailbox was forgotten
    /// meanwhile.
    pub(super) fn note(&mut self, outcome: Outcome, now: Instant, time: Timestamp) -> bool {
        let Outcome { job, result } = outcome;
        let mailbox = job.mailbox().clone();
        let slot = matches!(result, Ok(Step::Ask)).then(|| self.slot(now));
        let Some(entry) = self.entries.get_mut(&mailbox) else { return false };
        entry.busy = false;
        let before = entry.waking.clone();
        // Something was told of it meanwhile that the step did not know.
        let stale = entry.watch != job.watch
            || entry.leaving != job.leaving
            || entry.renew != job.renew
            || entry.lost != job.lost;
        let left = matches!(result, Ok(Step::Left)) && entry.leaving;
        let next = match result {
            Ok(Step::Ask) => {
                entry.may_ask = true;
                slot.unwrap_or(now)
            }
            Ok(step) => entry.done(step, &job, now, time),
            Err(error) => entry.failed(&error, now, time),
        };
        let waking = entry.waking.clone();
        if left {
            self.entries.remove(&mailbox);
            self.gauge(&before, -1.0);
            return true;
        }
        if before.as_str() != waking.as_str() {
            self.gauge(&before, -1.0);
            self.gauge(&waking, 1.0);
        }
        self.plan(&mailbox, if stale { now } else { next });
        true
    }

    /// Gives a mailbox its next turn, in place of any other.
    fn plan(&mut self, mailbox: &Mailbox, due: Instant) {
        let Some(entry) = self.entries.get_mut(mailbox) else { return };
        if entry.busy {
            // it is planned when its step is done
            return;
        }
        entry.due = due;
        self.turn += 1;
        self.turns.insert(self.turn, mailbox.clone());
        self.heap.push(Reverse((due, self.turn)));
    }

    /// The next time at which Graph may be asked.
    fn slot(&mut self, now: Instant) -> Instant {
        let slot = self.slot.map_or(now, |slot| slot.max(now));
        self.slot = Some(slot + SPACING);
        slot
    }

    fn gauge(&self, waking: &Waking, by: f64) {
        let labels = [("pipeline", self.pipeline.clone()), ("state", waking.as_str().to_owned())];
        metrics::gauge!(metric::SUBSCRIPTIONS, &labels).increment(by);
    }
}

impl Entry {
    fn done(&mut self, step: Step, job: &Job, now: Instant, time: Timestamp) -> Instant {
        (self.failures, self.may_ask) = (0, false);
        let record = match step {
            Step::Kept(record) => record,
            Step::Again(Some(doubtful)) => {
                self.renew = Some(doubtful);
                return now;
            }
            Step::Again(None) | Step::Ask | Step::Left => return now,
        };
        // what was told while the step was under way is still to be done
        self.lost.take_if(|lost| job.lost.as_ref() == Some(lost) && *lost != record.id);
        self.renew.take_if(|renew| job.renew.as_ref() == Some(renew));
        self.known = Some(record.id.clone());
        if self.lost.is_none() {
            self.waking = Waking::Awake(record.until);
        }
        now + until_renewal(&record, time)
    }

    fn failed(&mut self, error: &Error, now: Instant, time: Timestamp) -> Instant {
        self.failures = self.failures.saturating_add(1);
        self.may_ask = false;
        let lives = matches!(self.waking, Waking::Awake(until) if until > time);
        if !lives || self.lost.is_some() {
            let (code, reason) = (error.code(), error.to_string());
            self.waking = Waking::Polled { code, reason };
        }
        now + pause(error, self.failures)
    }
}

fn until_renewal(record: &Record, time: Timestamp) -> Duration {
    let due = record.renew_at().duration_since(time);
    let look = LOOK.mul_f64(1.0 - backoff::unit() / 4.0);
    Duration::try_from(due).unwrap_or_default().min(look)
}

fn pause(error: &Error, failures: u32) -> Duration {
    let refused = || backoff::pause(failures, REFUSED.0, REFUSED.1);
    let passing = || backoff::pause(failures, PASSING.0, PASSING.1);
    match error.verdict() {
        // Graph refuses it, or the mailbox is denied or not there
        Verdict::Permanent | Verdict::Blocked { scope: Scope::Mailbox, after: None } => refused(),
        Verdict::Blocked { after, .. } | Verdict::Transient { after } => {
            after.unwrap_or_default().max(passing())
        }
        Verdict::InDoubt => passing(),
    }
}
