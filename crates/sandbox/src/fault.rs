//! Faults on purpose, before or after the effect, repeatable under a seed.
//!
//! A rule says which requests it means, which of those it strikes, and how. Rules are asked in
//! order and one request suffers at most one. *After* rules see only requests that succeeded: the
//! effect is real, and what the client hears of it is not.

mod delta;
mod fake;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dice::{chance, mix};
use crate::lock::lock;
use crate::route::Operation;
use crate::text::glob;
pub use delta::{DeltaFaults, PageDice, Resync};
pub use fake::Fake;

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing happens
    #[default]
    Before,
    /// It happened, and the client does not hear so
    After,
}

/// Which of the matching requests are struck.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Often {
    #[default]
    Always,
    /// Each with this probability, 0 to 1
    Probability(f64),
    /// The first so many
    First(u64),
    /// The one with this number, from 1
    Nth(u64),
    /// Each one whose number this divides
    Every(u64),
}

/// What the client gets to feel.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// An error answer
    Answer(Fake),
    /// The connection ends without an answer
    Close {
        /// By TCP reset instead of an orderly close
        #[serde(default)]
        reset: bool,
    },
    /// Silence for so long, then the connection ends without an answer
    Hang { seconds: f64 },
    /// The real answer, late by so much
    Delay { seconds: f64 },
    /// The real answer with `Retry-After` on it, as Graph was seen to do with 202
    /// (github.com/microsoftgraph/msgraph-sdk-java issue 1487)
    RetryAfter { seconds: f64 },
}

/// Which requests a rule means. Empty fields match everything.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matching {
    pub operation: Option<Operation>,
    pub method: Option<String>,
    /// Pattern with `*` over the path as it was sent
    pub path: Option<String>,
    /// Pattern with `*` over the user in the path
    pub mailbox: Option<String>,
}

/// One rule.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// For the reader of a list
    #[serde(default)]
    pub name: String,
    #[serde(default, rename = "match")]
    pub matching: Matching,
    #[serde(default)]
    pub when: When,
    #[serde(default)]
    pub often: Often,
    /// At most so many times
    #[serde(default)]
    pub limit: Option<u64>,
    pub kind: Kind,
}

impl Fault {
    pub fn new(kind: Kind) -> Self {
        Self {
            name: String::new(),
            matching: Matching::default(),
            when: When::Before,
            often: Often::Always,
            limit: None,
            kind,
        }
    }

    /// An error answer with the usual code for its status.
    pub fn answer(status: u16) -> Self {
        Self::new(Kind::Answer(Fake {
            status,
            code: None,
            message: None,
            retry_after: None,
            html: false,
        }))
    }

    /// A 429 with `Retry-After` in decimal seconds.
    pub fn throttle(retry_after: f64) -> Self {
        Self::new(Kind::Answer(Fake {
            status: 429,
            code: None,
            message: None,
            retry_after: Some(retry_after),
            html: false,
        }))
    }

    /// A connection that ends without an answer.
    pub fn close() -> Self {
        Self::new(Kind::Close { reset: false })
    }

    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    #[must_use]
    pub fn after(mut self) -> Self {
        self.when = When::After;
        self
    }

    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.matching.operation = Some(operation);
        self
    }

    /// Only requests for this path, or a pattern with `*`.
    #[must_use]
    pub fn path(mut self, pattern: impl Into<String>) -> Self {
        self.matching.path = Some(pattern.into());
        self
    }

    #[must_use]
    pub fn mailbox(mut self, pattern: impl Into<String>) -> Self {
        self.matching.mailbox = Some(pattern.into());
        self
    }

    #[must_use]
    pub fn often(mut self, often: Often) -> Self {
        self.often = often;
        self
    }

    /// The first so many matching requests.
    #[must_use]
    pub fn first(self, count: u64) -> Self {
        self.often(Often::First(count))
    }

    /// Each matching request with this probability, 0 to 1.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        self.often(Often::Probability(probability))
    }

    #[must_use]
    pub fn at_most(mut self, times: u64) -> Self {
        self.limit = Some(times);
        self
    }
}

/// A rule and what it has done.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    pub id: u64,
    #[serde(flatten)]
    pub fault: Fault,
    /// Requests it was asked about
    pub seen: u64,
    /// Requests it struck
    pub fired: u64,
}

/// What a rule is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub operation: Operation,
    pub method: &'a str,
    pub path: &'a str,
    pub mailbox: &'a str,
}

/// The rules in force.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    any: AtomicBool,
    rules: Mutex<(u64, Vec<Rule>)>,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self { seed, any: AtomicBool::new(false), rules: Mutex::default() }
    }

    /// Puts a rule at the end of the list; the number names it.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut rules = lock(&self.rules);
        rules.0 += 1;
        let id = rules.0;
        rules.1.push(Rule { id, fault, seen: 0, fired: 0 });
        self.any.store(true, Ordering::Release);
        id
    }

    pub fn list(&self) -> Vec<Rule> {
        lock(&self.rules).1.clone()
    }

    /// Removes one rule, or all; numbers are not used again before the next [`Faults::reset`].
    pub fn clear(&self, id: Option<u64>) -> usize {
        let mut rules = lock(&self.rules);
        let before = rules.1.len();
        rules.1.retain(|rule| id.is_some_and(|id| rule.id != id));
        self.any.store(!rules.1.is_empty(), Ordering::Release);
        before - rules.1.len()
    }

    /// As at the start: no rule, and the same decisions again for the same rules.
    pub fn reset(&self) {
        *lock(&self.rules) = (0, Vec::new());
        self.any.store(false, Ordering::Release);
    }

    /// What strikes this request now, if anything does.
    pub fn strike(&self, when: When, request: Request<'_>) -> Option<Kind> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = lock(&self.rules);
        let mut candidates = rules.1.iter_mut().filter(|rule| rule.fault.when == when);
        candidates.find_map(|rule| rule.ask(self.seed, request))
    }
}

impl Rule {
    fn ask(&mut self, seed: u64, request: Request<'_>) -> Option<Kind> {
        if !self.fault.matching.means(request) {
            return None;
        }
        self.seen += 1;
        let struck = match self.fault.often {
            Often::Always => true,
            // decided by the rule and the number alone, so that other rules do not shift it
            Often::Probability(p) => chance(mix(mix(seed ^ self.id) ^ self.seen), p),
            Often::First(count) => self.seen <= count,
            Often::Nth(number) => self.seen == number,
            Often::Every(step) => self.seen.is_multiple_of(step.max(1)),
        };
        if !struck || self.fault.limit.is_some_and(|limit| self.fired >= limit) {
            return None;
        }
        self.fired += 1;
        Some(self.fault.kind.clone())
    }
}

impl Matching {
    fn means(&self, request: Request<'_>) -> bool {
        let pattern = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| glob(wanted, found))
        };
        self.operation.is_none_or(|wanted| wanted == request.operation)
            && pattern(&self.method, request.method)
            && pattern(&self.path, request.path)
            && pattern(&self.mailbox, request.mailbox)
    }
}

/// Seconds as they stand in a rule, made safe: negative and not-a-number are nothing.
pub fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: Request<'_> = Request {
        operation: Operation::SendMail,
        method: "POST",
        path: "/v1.0/users/a@b.example/sendMail",
        mailbox: "a@b.example",
    };

    fn pattern(seed: u64, often: Often) -> Vec<bool> {
        let faults = Faults::new(seed);
        faults.add(Fault::answer(503).often(often));
        (0..50).map(|_| faults.strike(When::Before, SEND).is_some()).collect()
    }

    #[test]
    fn the_seed_decides_and_replays() {
        let often = Often::Probability(0.3);
        assert_eq!(pattern(1, often), pattern(1, often));
        assert_ne!(pattern(1, often), pattern(2, often));
    }

    #[test]
    fn counting_rules_strike_exactly() {
        let struck = |often| pattern(0, often).iter().filter(|hit| **hit).count();
        assert_eq!(struck(Often::First(3)), 3);
        assert_eq!(struck(Often::Nth(7)), 1);
        assert_eq!(struck(Often::Every(10)), 5);
        assert!(pattern(0, Often::Nth(7))[6]);
    }

    #[test]
    fn only_what_a_rule_means_is_struck_and_by_one_rule() {
        let faults = Faults::new(0);
        faults.add(Fault::answer(503).on(Operation::SendMessage));
        faults.add(Fault::answer(504).mailbox("*@other.example"));
        faults.add(Fault::throttle(2.128).mailbox("*@B.example").at_most(1));
        faults.add(Fault::close().after());
        let hit = faults.strike(When::Before, SEND).unwrap();
        assert!(matches!(hit, Kind::Answer(Fake { status: 429, .. })));
        assert_eq!(faults.strike(When::Before, SEND), None, "its limit is reached");
        assert_eq!(faults.strike(When::After, SEND), Some(Kind::Close { reset: false }));
        assert_eq!(faults.clear(None), 4);
        assert_eq!(faults.strike(When::After, SEND), None);
    }

    #[test]
    fn rules_are_written_in_json() {
        let json = r#"{"match": {"operation": "send_message", "mailbox": "*"}, "when": "after",
                       "often": {"probability": 0.05}, "kind": {"answer": {"status": 504}}}"#;
        let fault: Fault = serde_json::from_str(json).unwrap();
        assert_eq!((fault.when, fault.often), (When::After, Often::Probability(0.05)));
        let close: Fault = serde_json::from_str(r#"{"kind": {"close": {}}}"#).unwrap();
        assert_eq!(close, Fault::close());
        assert!(serde_json::from_str::<Fault>(r#"{"kind": {"close": {}}, "wen": 1}"#).is_err());
    }
}
