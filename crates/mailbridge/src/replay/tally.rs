//! What a replay tells on standard output: what was chosen, and how much became of what. Never what
//! stands in a mail, nor who gets it.

use std::{collections::BTreeMap, fmt};

use mailbridge_core::{Code, Error, Position, contract::Replay};
use serde_json::json;

use crate::run::report::tell;

/// How it is told.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: a JSON object a line
    Json,
}

/// What is told, and of what.
pub struct Told {
    /// How.
    pub format: Format,
    /// Whether nothing is really put back.
    pub dry_run: bool,
    /// Where the letters are, in words.
    pub place: String,
}

/// What became of the letters.
#[derive(Default)]
pub(super) struct Tally {
    /// All that were there, as far as it came.
    pub read: u64,
    /// Put back; in a dry run, chosen.
    pub replayed: u64,
    /// Not chosen.
    pub left_out: u64,
    /// Of other pipelines.
    pub others: u64,
    /// Chosen and not put back, by why.
    unfit: BTreeMap<(Code, String), u64>,
}

impl Tally {
    pub(super) fn unfit(&mut self, error: &Error) {
        *self.unfit.entry((error.code(), error.detail().to_owned())).or_default() += 1;
    }

    /// Whether all that was chosen was put back.
    pub(super) fn is_complete(&self) -> bool {
        self.unfit.is_empty()
    }
}

impl Told {
    /// One letter that would be put back.
    pub(super) fn letter(&self, letter: &Replay, position: &Position) {
        let Replay { message: _, pipeline: _, status, code, key, time } = letter;
        let time = time.map(|time| time.to_string());
        if self.format == Format::Json {
            let letter = json!({
                "key": key, "status": status, "code": code, "time": time,
                "position": position.as_str(),
            });
            return tell(format_args!("{letter}\n"));
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (key, status, code, time) = (text(key), text(status), text(code), text(&time));
        tell(format_args!("{key:<24}  {status:<8}  {code:<28}  {time:<30}  {position}\n"));
    }

    /// The end.
    pub(super) fn summary(&self, tally: &Tally, interrupted: bool) {
        if self.format == Format::Text {
            return tell(format_args!("{}", Summary { told: self, tally }));
        }
        let unfit = tally.unfit.iter().map(
            |((code, why), count)| json!({ "code": code.as_str(), "reason": why, "count": count }),
        );
        let summary = json!({ "summary": {
            "dry_run": self.dry_run,
            "replayed": if self.dry_run { 0 } else { tally.replayed },
            "would_be_replayed": self.dry_run.then_some(tally.replayed),
            "left_out": tally.left_out,
            "of_other_pipelines": tally.others,
            "not_replayable": unfit.collect::<Vec<_>>(),
            "interrupted": interrupted,
        }});
        tell(format_args!("{summary}\n"));
    }
}

struct Summary<'a> {
    told: &'a Told,
    tally: &'a Tally,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { told, tally } = self;
        let mut row = |what: &str, text: &str| writeln!(f, "  {what:<16}{text}");
        let what = if told.dry_run { "to be replayed" } else { "replayed" };
        let nothing = if tally.read == 0 { ": no letter is left here" } else { "" };
        row(what, &format!("{}{nothing}", tally.replayed))?;
        if tally.left_out > 0 {
            row("left out", &format!("{} by the filter", tally.left_out))?;
        }
        if tally.others > 0 {
            row("left out", &format!("{} of other pipelines", tally.others))?;
        }
        if !tally.unfit.is_empty() {
            row("not replayable", &tally.unfit.values().sum::<u64>().to_string())?;
            for ((code, why), count) in &tally.unfit {
                row("", &format!("{count} {code}: {why}"))?;
            }
        }
        row("dead letters", &told.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_stays_and_why() {
        let place = "events (nats): subject mail.dead".to_owned();
        let told = Told { format: Format::Text, dry_run: false, place };
        let mut tally = Tally { read: 9, replayed: 4, left_out: 2, others: 1, ..Tally::default() };
        for _ in 0..2 {
            tally.unfit(&Error::permanent(Code::RequestInvalid, "no payload").with("n", 1));
        }
        assert!(!tally.is_complete());
        let wanted = "  replayed        4
  left out        2 by the filter
  left out        1 of other pipelines
  not replayable  2
                  2 request_invalid: no payload
  dead letters    events (nats): subject mail.dead
";
        assert_eq!(Summary { told: &told, tally: &tally }.to_string(), wanted);
        let tally = Tally::default();
        let summary = Summary { told: &told, tally: &tally }.to_string();
        assert!(summary.contains("replayed        0: no letter is left here"), "{summary}");
    }
}
