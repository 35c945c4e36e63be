//! How far a replay is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::tally::Tally;

/// How often a line is logged where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);
const WITH_END: &str = "{bar:30} {pos} of {len} letters read, {msg}, {eta} left";
const WITHOUT_END: &str = "{spinner} {pos} letters read, {msg}";

/// Tells it.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    count: Option<u64>,
    told_at: Instant,
}

impl Progress {
    /// `count` is how much there is, where that is known. A list needs no bar.
    pub(super) fn new(count: Option<u64>, dry_run: bool) -> Self {
        let bar = (!dry_run && io::stderr().is_terminal()).then(|| bar(count));
        Self { bar, count, told_at: Instant::now() }
    }

    pub(super) fn at(&mut self, tally: &Tally) {
        let Tally { read, replayed, .. } = *tally;
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(format!("{replayed} put back"));
        } else if self.told_at.elapsed() >= EVERY {
            self.told_at = Instant::now();
            tracing::info!(read, replayed, letters = self.count, "putting dead letters back");
        }
    }

    /// Nothing of a bar is left: the summary says it all.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(count: Option<u64>) -> ProgressBar {
    let bar = count.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = if count.is_some() { WITH_END } else { WITHOUT_END };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_are_well_formed() {
        for template in [WITH_END, WITHOUT_END] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
