//! Who asked for tokens how often: for tests that count, and for the service's own loop detection.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::lock::lock;

/// Client ids are made up by whoever asks; beyond so many, new ones are counted as one.
const CLIENTS: usize = 10_000;
const EVERYBODY_ELSE: &str = "other";

/// Token requests of one client.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct TokenCount {
    /// All of them, whatever came of them
    pub requests: u64,
    pub granted: u64,
    /// By AADSTS number. What a managed identity's endpoint refuses is not counted: it has no
    /// numbers, and nobody is known by then
    pub refused: BTreeMap<u32, u64>,
}

/// Token requests by client id, in lower case.
pub type TokenCounts = BTreeMap<String, TokenCount>;

/// The book of token requests.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    counts: TokenCounts,
    /// Requests of the last minute, by client
    recent: HashMap<String, VecDeque<Timestamp>>,
    /// Ids of assertions that were used, until they would be refused for their age anyway
    used: HashMap<(String, String), Timestamp>,
}

impl Ledger {
    /// Notes a request; `true` when the client asked more often in the last minute than it may.
    pub fn request(&self, client: &str, limit: Option<u32>, now: Timestamp) -> bool {
        let mut book = lock(&self.0);
        book.count(client).requests += 1;
        let Some(limit) = limit else { return false };
        let minute_ago = now.saturating_sub(SignedDuration::from_mins(1));
        let since = minute_ago.unwrap_or(Timestamp::MIN);
        let recent = book.recent.entry(client.to_ascii_lowercase()).or_default();
        recent.retain(|at| *at > since);
        recent.push_back(now);
        recent.len() > usize::try_from(limit).unwrap_or(usize::MAX)
    }

    pub fn granted(&self, client: &str) {
        lock(&self.0).count(client).granted += 1;
    }

    pub fn refused(&self, client: &str, number: u32) {
        *lock(&self.0).count(client).refused.entry(number).or_default() += 1;
    }

    /// Notes the id of an assertion; `false` when it was used before.
    pub fn first_use(&self, client: &str, jti: &str, until: Timestamp, now: Timestamp) -> bool {
        let mut book = lock(&self.0);
        book.used.retain(|_, until| *until >= now);
        let key = (client.to_ascii_lowercase(), jti.to_owned());
        book.used.insert(key, until).is_none()
    }

    pub fn counts(&self) -> TokenCounts {
        lock(&self.0).counts.clone()
    }

    /// Forgets counts, not the assertions that were used.
    pub fn reset(&self) {
        let mut book = lock(&self.0);
        book.counts.clear();
        book.recent.clear();
    }
}

impl Book {
    fn count(&mut self, client: &str) -> &mut TokenCount {
        let mut client = client.to_ascii_lowercase();
        if self.counts.len() >= CLIENTS && !self.counts.contains_key(&client) {
            EVERYBODY_ELSE.clone_into(&mut client);
        }
        self.counts.entry(client).or_default()
    }
}
