//! How delta queries misbehave: everything that clients of Graph have reported.
//!
//! What is wrong with a page follows from the seed and from the page alone, so a link that is
//! fetched twice gives the same page twice. All of it may be changed while the sandbox runs.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::dice::{chance, mix};
use crate::error::GraphError;
use crate::mailbox::journal::Lateness;
use crate::text::glob;

/// What goes wrong with delta queries. All probabilities are from 0 to 1, and 0 by default.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeltaFaults {
    /// Only in mailboxes (by address) that fit this pattern with `*`; everywhere without it
    pub mailbox: Option<String>,
    /// A page that is not the last comes empty, with a link to go on; up to three in a row
    pub empty: f64,
    /// An item stands twice on its page
    pub repeat: f64,
    /// An item of the page before stands on this page too
    pub repeat_later: f64,
    /// The items of a page come in another order
    pub shuffle: f64,
    /// A change in a mailbox that is followed is not told before `late_seconds` have passed since
    /// it could have been, whatever is told after it
    pub late: f64,
    pub late_seconds: f64,
    /// A request with a token makes all tokens of its folder worthless
    pub evict: f64,
    /// How a worthless token is answered; one way or another of those known, when not given
    pub resync: Option<Resync>,
}

impl DeltaFaults {
    /// The faults of one mailbox.
    #[must_use]
    pub fn of(&self, mailbox: &str) -> Self {
        let meant = self.mailbox.as_ref().is_none_or(|pattern| glob(pattern, mailbox));
        if meant { self.clone() } else { Self::default() }
    }

    pub fn lateness(&self, seed: u64) -> Lateness {
        let by = super::seconds(self.late_seconds);
        Lateness { probability: self.late, by, seed: mix(seed ^ 0x1a7e) }
    }

    pub fn repeats(&self) -> bool {
        self.repeat > 0.0 || self.repeat_later > 0.0
    }
}

/// The answer to a token that is worth nothing any more.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resync {
    /// 410 comes with `Location`
    pub status: u16,
    pub code: String,
}

/// Codes and spellings that clients have met (learn.microsoft.com/graph/delta-query-overview,
/// learn.microsoft.com/graph/errors, github.com/alcionai/corso).
const CODES: [&str; 6] = [
    "syncStateNotFound",
    "SyncStateNotFound",
    "SyncStateInvalid",
    "syncStateInvalid",
    "resyncRequired",
    "ResyncRequired",
];

const STATUSES: [u16; 3] = [410, 400, 404];

impl Resync {
    /// One of the known ways, by a number.
    fn any(number: u64) -> Self {
        let pick = |number: u64, length: usize| {
            usize::try_from(number % length as u64).unwrap_or_default()
        };
        let status = STATUSES[pick(number, STATUSES.len())];
        let code = CODES[pick(mix(number), CODES.len())].to_owned();
        Self { status, code }
    }

    /// The refusal. `location` is where to begin again.
    pub fn refusal(wanted: Option<&Self>, number: u64, location: String) -> GraphError {
        let Self { status, code } = wanted.cloned().unwrap_or_else(|| Self::any(number));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::GONE);
        let message = "The sync state generation is not found; a full synchronization is needed.";
        let error = GraphError::new(status, code, message);
        let location = (status == StatusCode::GONE).then_some(location);
        GraphError { location, ..error }
    }
}

/// The dice of one page.
#[derive(Clone, Copy, Debug)]
pub struct PageDice(pub u64);

impl PageDice {
    /// Decides about one thing on the page.
    pub fn strikes(self, about: u64, probability: f64) -> bool {
        probability > 0.0 && chance(mix(self.0 ^ mix(about)), probability)
    }

    /// Another order, the same for the same page.
    pub fn shuffle<T>(self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = mix(self.0 ^ (last as u64).rotate_left(17)) % (last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_refuse_a_token_comes_up() {
        let ways: std::collections::BTreeSet<(u16, String)> = (0..500)
            .map(|number| {
                let refusal = Resync::refusal(None, mix(number), "there".to_owned());
                assert_eq!(refusal.location.is_some(), refusal.status == StatusCode::GONE);
                (refusal.status.as_u16(), refusal.code.into_owned())
            })
            .collect();
        assert_eq!(ways.len(), CODES.len() * STATUSES.len());
        let wanted = Resync { status: 404, code: "X".to_owned() };
        let refusal = Resync::refusal(Some(&wanted), 1, String::new());
        assert_eq!((refusal.status.as_u16(), refusal.code.as_ref()), (404, "X"));
    }

    #[test]
    fn a_shuffle_keeps_everything_and_repeats_itself() {
        let mut items: Vec<u32> = (0..20).collect();
        PageDice(9).shuffle(&mut items);
        let mut again: Vec<u32> = (0..20).collect();
        PageDice(9).shuffle(&mut again);
        assert_eq!(items, again);
        assert_ne!(items, (0..20).collect::<Vec<u32>>());
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<u32>>());
    }
}
