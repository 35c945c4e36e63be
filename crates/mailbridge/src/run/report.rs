//! What a run tells a person on standard output: a line for each request that has ended and each event
//! that is out, and a summary.
//!
//! For people who try things out, and for runs over files. Services leave it off: there outcomes
//! are on their bus, counts in the metrics and failures in the log. Recipients and texts are never
//! shown.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mailbridge_core::{
    Code, Labels,
    contract::{OutcomeData, Status},
};
use mailbridge_engine::Observer;

use super::latency::Latencies;
use crate::config::model::Report as Wanted;

/// Watches a run and tells of it.
pub struct Report {
    lines: bool,
    colour: bool,
    started: Instant,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    accepted: u64,
    /// By code.
    rejected: BTreeMap<String, u64>,
    /// By code.
    unknown: BTreeMap<String, u64>,
    latencies: Latencies,
    /// Events that are out, by pipeline and change.
    events: BTreeMap<(String, String), u64>,
}

impl Report {
    /// A report, if one is wanted.
    pub fn new(wanted: Wanted) -> Option<Self> {
        (wanted != Wanted::None).then(|| Self {
            lines: wanted == Wanted::Outcomes,
            colour: io::stdout().is_terminal(),
            started: Instant::now(),
            tally: Mutex::default(),
        })
    }

    /// Tells how the run went. `ends` says what was connected to what.
    pub fn finish(&self, ends: &[End]) {
        let summary = Summary { took: self.started.elapsed(), tally: &self.tally(), ends };
        tell(format_args!("{summary}"));
    }

    /// Notes that an event is out.
    pub fn event(&self, labels: &Labels) {
        let label = |name| labels.get(name).unwrap_or_default().to_owned();
        let (pipeline, change) = (label("pipeline"), label("change"));
        let mut tally = self.tally();
        if self.lines {
            let (mailbox, folder) = (label("mailbox"), label("folder"));
            tell(format_args!("{change:<8}  {mailbox:<32}  {folder}\n"));
        }
        *tally.events.entry((pipeline, change)).or_default() += 1;
    }

    /// The codes of failures that were seen.
    pub fn codes(&self) -> Vec<String> {
        let tally = self.tally();
        tally.rejected.keys().chain(tally.unknown.keys()).cloned().collect()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Report {
    fn outcome(&self, data: &OutcomeData, took: Duration) {
        let mut tally = self.tally();
        tally.latencies.add(took);
        let code = || data.code.clone().unwrap_or_default();
        match data.status {
            Status::Accepted => tally.accepted += 1,
            Status::Rejected | Status::Expired => *tally.rejected.entry(code()).or_default() += 1,
            Status::Unknown => *tally.unknown.entry(code()).or_default() += 1,
            // ends no request
            Status::Bounced => {}
        }
        // The lines come whole because the tally is held.
        if self.lines {
            tell(format_args!("{}\n", Line { data, took, colour: self.colour }));
        }
    }
}

/// Writes to standard output. Whoever closed it does not want to know.
pub fn tell(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    out.write_fmt(text).and_then(|()| out.flush()).ok();
}

/// One outcome.
struct Line<'a> {
    data: &'a OutcomeData,
    took: Duration,
    colour: bool,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, took, colour } = self;
        let (status, paint) = match data.status {
            Status::Accepted => ("accepted", "\x1b[32m"),
            Status::Rejected => ("rejected", "\x1b[31m"),
            Status::Expired => ("expired ", "\x1b[31m"),
            Status::Unknown => ("unknown ", "\x1b[33m"),
            Status::Bounced => ("bounced ", "\x1b[33m"),
        };
        let (paint, plain) = if *colour { (paint, "\x1b[0m") } else { ("", "") };
        write!(f, "{paint}{status}{plain}  {:<24}  {:>8}  ", data.key, Short(*took).to_string())?;
        match (&data.code, &data.mailbox) {
            (Some(code), _) => {
                write!(f, "{code}: {}", data.reason.as_deref().unwrap_or_default())
            }
            (None, Some(mailbox)) => write!(f, "from {mailbox}"),
            (None, None) => Ok(()),
        }?;
        if data.dry_run { f.write_str(" (dry run)") } else { Ok(()) }
    }
}

/// One line of the summary about what a pipeline is connected to.
pub struct End {
    /// Such as `outcomes`.
    pub what: &'static str,
    /// Such as `files (local): path outcomes.ndjson`.
    pub told: String,
}

struct Summary<'a> {
    took: Duration,
    tally: &'a Tally,
    ends: &'a [End],
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { took, tally, ends } = self;
        let Tally { accepted, rejected, unknown, latencies, events } = tally;
        let (refused, doubtful) = (rejected.values().sum::<u64>(), unknown.values().sum::<u64>());
        let total = accepted + refused + doubtful;
        writeln!(f)?;
        let mut row = |what: &str, text: fmt::Arguments<'_>| writeln!(f, "  {what:<14}{text}");
        if !events.is_empty() {
            let out = events.values().sum();
            let rate = rate(out, *took);
            row("events", format_args!("{out} in {}, {rate} a second", Short(*took)))?;
            for ((pipeline, change), count) in events {
                row("", format_args!("{count} {change} by {pipeline}"))?;
            }
        }
        if total == 0 && !events.is_empty() {
            return ends.iter().try_for_each(|end| row(end.what, format_args!("{}", end.told)));
        }
        row(
            "requests",
            format_args!("{total} in {}, {} a second", Short(*took), rate(total, *took)),
        )?;
        if total > 0 {
            let (half, most) = (latencies.percentile(50), latencies.percentile(99));
            row("latency", format_args!("{} median, {} p99", Short(half), Short(most)))?;
        }
        row("accepted", format_args!("{accepted}"))?;
        for (status, count, codes) in
            [("rejected", refused, rejected), ("unknown", doubtful, unknown)]
        {
            row(status, format_args!("{count}"))?;
            for (code, count) in codes {
                let meaning = code.parse::<Code>().map_or("", Code::meaning);
                row("", format_args!("{count} {code}: {meaning}"))?;
            }
        }
        ends.iter().try_for_each(|end| row(end.what, format_args!("{}", end.told)))
    }
}

/// So many a second, whole; for less than one in a second, what there was.
fn rate(count: u64, took: Duration) -> u128 {
    u128::from(count) * 1_000_000 / took.as_micros().max(1)
}

/// A duration with the two or three digits that people read.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match self.0.as_micros() {
            0..10_000 => write!(f, "{:.1} ms", seconds * 1e3),
            10_000..1_000_000 => write!(f, "{:.0} ms", seconds * 1e3),
            1_000_000..60_000_000 => write!(f, "{seconds:.1} s"),
            _ => write!(f, "{:.1} min", seconds / 60.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use mailbridge_core::{Error, Guarantee, Position, contract::Key};

    use super::*;

    fn outcome(key: &str, status: Status) -> OutcomeData {
        let position = Position::new("local:requests/1");
        OutcomeData::new(status, "p", Guarantee::Once, &Key::of_id(key), &position)
    }

    #[test]
    fn the_summary_counts_by_status_and_code() {
        let report = Report::new(Wanted::Summary).unwrap();
        let error = Error::permanent(Code::RequestNoRecipient, "no recipient").with("field", "to");
        for _ in 0..3 {
            report.outcome(&outcome("a", Status::Accepted), Duration::from_millis(12));
        }
        let rejected = outcome("b", Status::Rejected).because(&error);
        report.outcome(&rejected, Duration::from_millis(1));
        let ends = [End { what: "outcomes", told: "files (local): path -".to_owned() }];
        let tally = report.tally();
        let summary = Summary { took: Duration::from_secs(2), tally: &tally, ends: &ends };
        let wanted = "
  requests      4 in 2.0 s, 2 a second
  latency       12 ms median, 12 ms p99
  accepted      3
  rejected      1
                1 request_no_recipient: the mail has no recipient
  unknown       0
  outcomes      files (local): path -
";
        assert_eq!(summary.to_string(), wanted);
    }

    #[test]
    fn events_are_counted_by_pipeline_and_change() {
        let report = Report::new(Wanted::Summary).unwrap();
        for change in ["received", "moved", "received"] {
            report.event(&Labels::default().with("pipeline", "support").with("change", change));
        }
        let tally = report.tally();
        let summary = Summary { took: Duration::from_secs(1), tally: &tally, ends: &[] };
        let wanted = "
  events        3 in 1.0 s, 3 a second
                1 moved by support
                2 received by support
";
        assert_eq!(summary.to_string(), wanted);
    }

    #[test]
    fn a_line_says_what_became_of_a_request() {
        let error = Error::permanent(Code::RequestNoRecipient, "no recipient").with("field", "to");
        let data = outcome("order-1", Status::Rejected).because(&error);
        let line = Line { data: &data, took: Duration::from_micros(1234), colour: false };
        assert_eq!(
            line.to_string(),
            "rejected  order-1                     1.2 ms  request_no_recipient: no recipient \
             (field: to)"
        );
    }
}
