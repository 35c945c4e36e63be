//! What an item of a page is: something new, a change, or nothing to tell. Pure and total: every rule
//! about repeats and gaps is on this screen.

use jiff::{SignedDuration, Timestamp};
use mailbridge_core::{changes::Found, contract::Change};

use super::recent::Recent;

/// Graph's clock and ours may differ by so much, and changes may show so late.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// How far a folder has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For the first time, and what was there before is not told.
    Skim,
    /// For the first time, from its beginning.
    First,
    /// Once more from its beginning, because Graph has forgotten where we were.
    Again,
    /// To its end: what comes now has just happened.
    Steady,
}

/// What is known of a message from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was told in this folder, in a version with this stamp.
    Here(u32),
    /// It was told in another folder of the mailbox.
    Elsewhere,
    /// Nothing, and it was certainly never told.
    Never,
    /// Nothing: it was never told, or so long ago that it is forgotten.
    Perhaps,
}

/// What a folder's reading is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) phase: Phase,
    /// Messages that were received earlier do not exist for the pipeline.
    pub(super) since: Option<Timestamp>,
    /// What was received before is there already, while it is skimmed.
    pub(super) begun: Option<Timestamp>,
    /// When the folder was last known to be read to its end, or as far as it went.
    pub(super) checked: Option<Timestamp>,
    /// Graph was asked for nothing but what is new in the folder.
    pub(super) only_new: bool,
}

/// What to do about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Tell it.
    Tell(Change),
    /// It came in part, and it takes all of it to say.
    Fetch,
    /// Nothing; but it is known from now on.
    Note,
    /// Nothing, as if it were not there.
    Ignore,
}

impl Known {
    /// What the folder, and the other folders of its mailbox, know of a message.
    pub(super) fn of(found: &Found, here: &Recent, elsewhere: bool) -> Self {
        match here.stamp(&found.id) {
            Some(stamp) => Self::Here(stamp),
            None if elsewhere => Self::Elsewhere,
            None if here.is_past_edge(found.received) => Self::Never,
            None => Self::Perhaps,
        }
    }
}

impl View {
    /// Judges a message that is in the folder. `stamp` is that of its version.
    pub(super) fn judge(&self, found: &Found, known: Known, stamp: u32) -> Judgement {
        if let (Some(since), Some(received)) = (self.since, found.received)
            && received < since
        {
            return Judgement::Ignore;
        }
        if self.phase == Phase::Skim && found.received < self.begun {
            return Judgement::Note;
        }
        match known {
            Known::Here(told) if told == stamp => Judgement::Ignore,
            Known::Here(_) => Judgement::Tell(Change::Updated),
            // whoever looks at where it was tells that it moved
            Known::Elsewhere => Judgement::Note,
            // only what is new comes whole, but it takes its times to say so
            Known::Never | Known::Perhaps if !found.complete && found.received.is_none() => {
                Judgement::Fetch
            }
            Known::Never => Judgement::Tell(Change::Received),
            Known::Perhaps => self.perhaps(found),
        }
    }

    /// Of a message so old that it may have been told and forgotten.
    fn perhaps(&self, found: &Found) -> Judgement {
        match self.phase {
            // better twice, under one id, than never
            Phase::Skim | Phase::First => Judgement::Tell(Change::Received),
            // it was told, or it was there before: but what happened to it meanwhile was not
            Phase::Again => {
                let touched = match (found.modified, self.checked) {
                    (Some(modified), Some(checked)) => modified >= checked - SLACK,
                    _ => false,
                };
                if touched { Judgement::Tell(Change::Updated) } else { Judgement::Note }
            }
            // an old mail that is new in the folder, and nothing else, was asked for
            Phase::Steady if self.only_new && found.complete => Judgement::Tell(Change::Received),
            Phase::Steady => Judgement::Tell(Change::Updated),
        }
    }
}

#[cfg(test)]
mod tests;
