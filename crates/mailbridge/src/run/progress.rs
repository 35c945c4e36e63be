//! How far a long backfill is: a bar in a terminal. Elsewhere the metrics tell it.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use mailbridge_engine::events::{Board, State};
use tokio::task::JoinSet;

use super::seen::Seen;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(250);
const TEMPLATE: &str =
    "{spinner} {bar:30} {pos} of {len} mailboxes caught up, {msg}, {elapsed} so far";

/// Shows it, as often as there is something to catch up with, until what it returns is dropped.
/// Nothing, where nobody looks.
pub fn watch(seen: Seen) -> Option<JoinSet<()>> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let mut watching = JoinSet::new();
    watching.spawn(show(seen));
    Some(watching)
}

async fn show(seen: Seen) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut bar: Option<Shown> = None;
    loop {
        ticks.tick().await;
        let now = Backfill::of(&seen.borrow().boards);
        if now.behind > 0 {
            bar.get_or_insert_with(|| Shown(new_bar())).update(&now);
        } else {
            // nothing of it is left
            bar = None;
        }
    }
}

/// How far all pipelines are together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Backfill {
    mailboxes: u64,
    behind: u64,
    published: u64,
    read: u64,
}

impl Backfill {
    fn of(boards: &BTreeMap<String, Board>) -> Self {
        boards.values().fold(Self::default(), |mut sum, board| {
            let counts = board.counts();
            sum.mailboxes += counts.values().sum::<u64>();
            sum.behind += counts.get(&State::CatchingUp).copied().unwrap_or_default();
            let (published, read) = board.totals();
            sum.published += published;
            sum.read += read;
            sum
        })
    }
}

/// A bar that is taken away when it is dropped.
struct Shown(ProgressBar);

impl Shown {
    fn update(&self, now: &Backfill) {
        self.0.set_length(now.mailboxes);
        self.0.set_position(now.mailboxes.saturating_sub(now.behind));
        self.0.set_message(format!("{} mails read, {} published", now.read, now.published));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_well_formed() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }

    #[test]
    fn nothing_is_behind_where_nothing_is_read() {
        let boards = BTreeMap::from([("p".to_owned(), Board::new())]);
        assert_eq!(Backfill::of(&boards), Backfill::default());
    }
}
