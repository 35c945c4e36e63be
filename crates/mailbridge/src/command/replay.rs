//! `mailbridge replay`: puts dead letters of a pipeline back where its requests come from.
//!
//! Here are the arguments and what is said before and after; how letters are put back is in
//! [`crate::replay`].

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use jiff::Timestamp;
use mailbridge_core::{Code, Error, Guarantee, Span, contract::Status, plugin::Begin};

use crate::{
    config::{
        self, Pipeline,
        model::{Level, Log},
    },
    exit::Exit,
    log,
    names::{known, nearest},
    registry::Registry,
    replay::{Filter, Format, Run, Told},
    run::{signals::Signals, wiring},
};

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = "Workers may run meanwhile. Put right what the code names first:
`mailbridge explain CODE`.
A letter is forgotten only after its request is stored, so an interrupted replay is run again:
what may have been put back twice carries its key and a doubt, and the mailbox is looked at first.
With `guarantee: at_least_once` nobody looks, and such a mail may be sent twice.

Examples:
  mailbridge replay pipelines.yaml --dry-run
  mailbridge replay pipelines.yaml --code request_mailbox_not_allowed
  mailbridge replay pipelines.yaml orders --status unknown --since 2h
  mailbridge replay pipelines.yaml orders --key order-4711

Exit codes: 0 all that was chosen is put back, 1 some of it is not, 2 wrong usage,
78 wrong configuration, 130 stopped by Ctrl-C.")]
pub struct Replay {
    /// The configuration file (.yaml, .toml, .json)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The pipeline's name, when the configuration has several
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Only letters with this code; may be repeated
    #[arg(long = "code", value_name = "CODE", value_parser = code)]
    codes: Vec<Code>,
    /// Only letters that ended so
    #[arg(long, value_enum, value_name = "STATUS")]
    status: Option<Ended>,
    /// Only the letters of this request; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Only letters since this time, such as 2026-11-22T10:00:00Z, or since so long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only letters until this time, or until so long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Put back so many at most
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Begin with the first letter that is still there, also those that were put back before. Each
    /// is looked for in the mailbox first; with `guarantee: at_least_once` it is sent again
    #[arg(long)]
    all_again: bool,
    /// List what would be put back, and change nothing but who has seen it
    #[arg(long)]
    dry_run: bool,
    /// How it is told
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// How a request ended that has a dead letter.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Ended {
    /// It was not sent
    Rejected,
    /// It was not sent because it was too late
    Expired,
    /// It may have been sent
    Unknown,
}

impl Replay {
    /// Puts letters back.
    pub async fn run(self, registry: &Registry, wishes: &log::Wishes) -> Exit {
        let mut setup = match config::read(std::slice::from_ref(&self.file), registry) {
            Ok(setup) => setup,
            Err(problems) => {
                eprintln!("{problems}");
                return Exit::Config;
            }
        };
        log::start(wishes, &quiet_for_people(setup.log));
        let token_buses = std::mem::take(&mut setup.token_buses);
        if let Err(error) = wiring::give_tokens(&setup.connections, token_buses) {
            eprintln!("{error}\n    cure: {}", error.code().cure());
            return Exit::Config;
        }
        let names: Vec<_> = setup.pipelines.iter().map(|it| it.name.clone()).collect();
        let pipeline = match (self.chosen(&names), &mut setup.pipelines) {
            (Ok(index), pipelines) => pipelines.swap_remove(index),
            (Err(message), _) => {
                eprintln!("{message}");
                return Exit::Usage;
            }
        };
        let run = match self.open(&pipeline).await {
            Ok(run) => run,
            Err((place, error)) => {
                let (name, code) = (&pipeline.name, error.code());
                eprintln!(
                    "nothing was put back: pipelines.{name}.requests.{place}: {code}: {error}\n{}",
                    code.cure()
                );
                let wrong = code == Code::ConfigInvalid;
                return if wrong { Exit::Config } else { Exit::Failed };
            }
        };
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(cause) => {
                eprintln!("signals cannot be taken ({})", cause.kind());
                return Exit::Failed;
            }
        };
        run.run(signals).await
    }

    /// Which pipeline it is.
    fn chosen(&self, names: &[String]) -> Result<usize, String> {
        let all: Vec<_> = names.iter().map(String::as_str).collect();
        match (&self.pipeline, names) {
            (None, [_]) => Ok(0),
            (None, _) => Err(format!("say which pipeline: {}", all.join(", "))),
            (Some(name), _) => names.iter().position(|known| known == name).ok_or_else(|| {
                let hint = known("pipelines", name, &all);
                format!("there is no pipeline `{name}`; {hint}")
            }),
        }
    }

    /// Reaches both ends, first the one that is written to: where that is refused, the other is not
    /// touched. An error comes with its place in the pipeline.
    async fn open(self, pipeline: &Pipeline) -> Result<Run, (&'static str, Error)> {
        let output = pipeline.from.build.write_back().await.map_err(|error| ("from", error))?;
        let begin = if self.all_again { Begin::Anew } else { Begin::WhereLeft };
        let reader = format!("mailbridge-replay-{}", pipeline.name);
        let back = pipeline.dead_letters.build.read_back(&reader, begin).await;
        let back = back.map_err(|error| ("dead_letters", error))?;
        let looks = pipeline.settings.guarantee == Guarantee::Once;
        Ok(Run {
            back,
            output: output.into(),
            filter: Filter {
                pipeline: pipeline.name.clone(),
                codes: self.codes.iter().map(|code| code.as_str().to_owned()).collect(),
                status: self.status.map(|ended| match ended {
                    Ended::Rejected => Status::Rejected.as_str(),
                    Ended::Expired => Status::Expired.as_str(),
                    Ended::Unknown => Status::Unknown.as_str(),
                }),
                keys: self.keys,
                since: self.since,
                until: self.until,
            },
            limit: self.limit,
            seen_are_doubtful: looks,
            all_are_doubtful: looks && self.all_again,
            told: Told {
                format: self.format,
                dry_run: self.dry_run,
                place: pipeline.dead_letters.told.clone(),
            },
        })
    }
}

/// Beside a bar only what somebody must know.
fn quiet_for_people(log: Log) -> Log {
    let level = log.level.or_else(|| io::stderr().is_terminal().then(|| Level("warn".to_owned())));
    Log { level, ..log }
}

fn code(text: &str) -> Result<Code, String> {
    text.parse().map_err(|()| {
        let all: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        match nearest(text, &all) {
            Some(near) => format!("did you mean {near}?"),
            None => "codes are listed by `mailbridge explain`".to_owned(),
        }
    })
}

/// A time, or how long ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = text.parse::<Span>().ok();
    let ago = ago.and_then(|ago| Timestamp::now().checked_sub(ago.get()).ok());
    ago.ok_or_else(|| {
        "expected a time such as 2026-11-22T10:00:00Z, or a span such as 2h".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_or_a_while_ago() {
        assert_eq!(moment("1970-01-01T00:00:10Z").unwrap().as_second(), 10);
        let ago = Timestamp::now().as_second() - moment("2h").unwrap().as_second();
        assert!((7200..7260).contains(&ago), "{ago}");
        for text in ["yesterday", "2 h", "2026-11-22", ""] {
            assert!(moment(text).unwrap_err().contains("such as 2h"), "{text}");
        }
    }

    #[test]
    fn a_mistyped_code_is_told_its_neighbour() {
        assert_eq!(code("request_not_json"), Ok(Code::RequestNotJson));
        assert!(code("request_notjson").unwrap_err().contains("request_not_json"));
    }
}
