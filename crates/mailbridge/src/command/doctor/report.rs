//! How an examination looks: as JSON, whose shape is `mailbridge schema doctor`, and in a terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
};

use mailbridge_graph::doctor::{Examination, Observation, Severity, Status, StepReport};
use schemars::JsonSchema;
use serde::Serialize;

/// Lines are no longer than this, also on a wide terminal.
const WIDTH_MAX: usize = 100;
/// And no shorter than this: below it wrapping reads worse than a cut.
const WIDTH_MIN: usize = 50;

/// What `mailbridge doctor` found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "mailbridge doctor")]
pub struct Report {
    /// Whether no step failed and the configuration is right.
    pub ok: bool,
    /// Mistakes in the configuration, as `file:line: key: message`; with one, nothing was asked.
    problems: Vec<String>,
    /// The connections, by name.
    connections: Vec<Examination>,
}

impl Report {
    /// A report on these mistakes and connections.
    pub fn new(problems: Vec<String>, connections: Vec<Examination>) -> Self {
        let ok = problems.is_empty() && !connections.iter().any(Examination::failed);
        Self { ok, problems, connections }
    }

    /// As the standard output takes it: in colour on a terminal, unless `NO_COLOR` is set.
    pub fn shown(&self) -> impl fmt::Display {
        let terminal = io::stdout().is_terminal();
        let width = terminal_size::terminal_size().filter(|_| terminal);
        let width = width.map_or(WIDTH_MAX, |(width, _)| usize::from(width.0));
        let look =
            Look { colour: terminal && !no_color(), width: width.clamp(WIDTH_MIN, WIDTH_MAX) };
        let mut text = String::new();
        for examination in &self.connections {
            // writing to a String cannot fail
            look.connection(&mut text, examination).ok();
        }
        text
    }
}

/// no-color.org: set, and not empty.
#[expect(clippy::disallowed_methods, reason = "the program crate reads the environment")]
fn no_color() -> bool {
    std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty())
}

/// Where it is shown.
struct Look {
    colour: bool,
    width: usize,
}

/// The column in which the words about a step begin.
const STEP_INDENT: usize = 30;
/// The same for a finding.
const FINDING_INDENT: usize = 13;

impl Look {
    fn connection(&self, text: &mut String, examination: &Examination) -> fmt::Result {
        let Examination { connection, tenant, app, token_endpoint, graph, steps } = examination;
        if !text.is_empty() {
            writeln!(text)?;
        }
        writeln!(text, "connection {}", self.bold(connection))?;
        let lines = [("tenant", tenant), ("app", app), ("token", token_endpoint), ("graph", graph)];
        for (name, value) in lines {
            value.iter().try_for_each(|value| writeln!(text, "  {name:<6} {value}"))?;
        }
        writeln!(text)?;
        for step in steps {
            self.step(text, step)?;
        }
        writeln!(text, "\n  {}", verdict(steps))
    }

    fn step(&self, text: &mut String, step: &StepReport) -> fmt::Result {
        let StepReport { number, step: name, status, found, because_of, findings } = step;
        let words = match (found, because_of) {
            (Some(found), _) => found.clone(),
            (None, Some(step)) => format!("first cure step {}, {}", step.number(), step.name()),
            (None, None) => String::new(),
        };
        let status = self.painted(*status, &format!("{:<13}", word(*status)));
        let start = format!("  {number} {:<13}{status}", name.name());
        self.wrapped(text, &start, STEP_INDENT, &words)?;
        findings.iter().try_for_each(|finding| self.finding(text, finding))?;
        if findings.is_empty() { Ok(()) } else { writeln!(text) }
    }

    fn finding(&self, text: &mut String, finding: &Observation) -> fmt::Result {
        let Observation { id, severity, about, means, cure, code, details, ids, commands } =
            finding;
        let status = match severity {
            Severity::Warning => Status::Warning,
            Severity::Failed => Status::Failed,
        };
        let about = about.as_ref().map(|about| format!("  {about}")).unwrap_or_default();
        writeln!(text, "\n    {}{about}", self.painted(status, id.id()))?;
        let seen = code.iter().cloned();
        let seen = seen.chain(details.iter().map(|(name, value)| format!("{name} {value}")));
        let seen = seen.collect::<Vec<_>>().join(", ");
        for (name, words) in [("means", means), ("cure", cure), ("seen", &seen)] {
            if !words.is_empty() {
                self.wrapped(text, &format!("      {name:<7}"), FINDING_INDENT, words)?;
            }
        }
        for (index, (name, value)) in ids.iter().enumerate() {
            let start = if index == 0 { "ids" } else { "" };
            writeln!(text, "      {start:<7}{name} {value}")?;
        }
        if !commands.is_empty() {
            writeln!(text, "\n      in PowerShell:\n")?;
            // not wrapped: they are there to be copied
            commands.iter().try_for_each(|line| writeln!(text, "{line}"))?;
        }
        Ok(())
    }

    /// Words after a start that is `indent` columns wide, broken at spaces.
    fn wrapped(&self, text: &mut String, start: &str, indent: usize, words: &str) -> fmt::Result {
        let mut line = start.to_owned();
        let mut column = indent;
        for word in words.split_whitespace() {
            let length = word.chars().count();
            if column > indent && column + 1 + length > self.width {
                writeln!(text, "{}", line.trim_end())?;
                line = " ".repeat(indent);
                column = indent;
            }
            if column > indent {
                line.push(' ');
                column += 1;
            }
            line.push_str(word);
            column += length;
        }
        writeln!(text, "{}", line.trim_end())
    }

    fn painted(&self, status: Status, text: &str) -> String {
        let paint = match status {
            Status::Ok => "32",
            Status::Warning => "33",
            Status::Failed => "31",
            Status::NotReached => "2",
        };
        self.paint(paint, text)
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, paint: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{paint}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Warning => "warning",
        Status::Failed => "failed",
        Status::NotReached => "not reached",
    }
}

fn verdict(steps: &[StepReport]) -> String {
    let count = |status| steps.iter().filter(|step| step.status == status).count();
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 step {what}"),
        count => format!("{count} steps {what}"),
    };
    match (count(Status::Failed), count(Status::Warning)) {
        (0, 0) => "all six steps are right".to_owned(),
        (0, warned) => format!("it works; {}", plural(warned, "could be better")),
        (failed, _) => format!("{}; cure it and run this again", plural(failed, "failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(width: usize, words: &str) -> String {
        let mut text = String::new();
        Look { colour: false, width }.wrapped(&mut text, "  cure ", 7, words).unwrap();
        text
    }

    #[test]
    fn words_hang_below_their_start_and_none_is_cut() {
        assert_eq!(wrapped(20, "make a new secret"), "  cure make a new\n       secret\n");
        assert_eq!(wrapped(10, "unbreakably-long it"), "  cure unbreakably-long\n       it\n");
        assert_eq!(wrapped(20, ""), "  cure\n");
    }

    #[test]
    fn colour_is_around_words_only_when_asked_for() {
        let look = Look { colour: true, width: 80 };
        assert_eq!(look.painted(Status::Failed, "failed"), "\x1b[31mfailed\x1b[0m");
        let plain = Look { colour: false, width: 80 };
        assert_eq!(plain.painted(Status::Failed, "failed"), "failed");
    }
}
