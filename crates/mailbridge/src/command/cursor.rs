//! `mailbridge cursor`: how far each folder of events pipelines was read, as it is kept in the state
//! store, and changing that.
//!
//! Only the state store is spoken to, no mailbox and no bus. A change is a compare-and-swap like a
//! worker's own, so a worker that is at the folder loses nothing by it and stands down.

mod kept;
mod table;

use std::path::PathBuf;

use jiff::Timestamp;
use mailbridge_core::{Put, Result};
use mailbridge_engine::events::{Record, Start};

use self::kept::{Folder, Kept};
use crate::{
    config::{
        self, EventsPipeline,
        model::{Level, Log},
        text,
    },
    exit::Exit,
    log,
    names::known,
    registry::Registry,
    run::{report::tell, wiring},
};

const AFTER_HELP: &str = "\
Examples:
  mailbridge cursor list pipelines.yaml
  mailbridge cursor reset pipelines.yaml --mailbox support@contoso.com
  mailbridge cursor set pipelines.yaml --pipeline support --start 2026-01-01T00:00:00Z

Exit codes: 0 done, 1 failed or nothing fits, 2 wrong usage, 78 wrong configuration.";

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Cursor {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Show how far each folder was read
    List(List),
    /// Have folders read anew; what was published is still known, and not published again
    Reset(Reset),
    /// Have folders read anew from a time on, and publish all that was received since then
    Set(Set),
}

/// Which folders.
#[derive(clap::Args)]
struct Which {
    /// Configuration files (.yaml, .toml, .json); later ones win
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only this pipeline
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Only this mailbox
    #[arg(long, value_name = "ADDRESS")]
    mailbox: Option<String>,
    /// Only this folder, by its path such as inbox/Orders
    #[arg(long, value_name = "PATH")]
    folder: Option<String>,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Reset {
    #[command(flatten)]
    which: Which,
    /// Forget what was published too: all that the pipeline's `start` asks for is published again
    #[arg(long)]
    again: bool,
    /// Only say what would be changed
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
struct Set {
    #[command(flatten)]
    which: Which,
    /// From when on: now, all, or a time such as 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = text::argument::<Start>)]
    start: Start,
    /// Only say what would be changed
    #[arg(long)]
    dry_run: bool,
}

/// What becomes of a folder's record.
#[derive(Clone, Copy)]
enum Change {
    Reread,
    Again,
    From(Start),
}

impl Cursor {
    /// Does it.
    pub async fn run(self, registry: &Registry, wishes: &log::Wishes) -> Exit {
        log::start(wishes, &Log { level: Some(Level("warn".to_owned())), format: None });
        let (which, change, dry_run, json) = match self.what {
            What::List(List { which, json }) => (which, None, false, json),
            What::Reset(Reset { which, again, dry_run }) => {
                let change = if again { Change::Again } else { Change::Reread };
                (which, Some(change), dry_run, false)
            }
            What::Set(Set { which, start, dry_run }) => {
                (which, Some(Change::From(start)), dry_run, false)
            }
        };
        let pipelines = match which.pipelines(registry) {
            Ok(pipelines) => pipelines,
            Err(exit) => return exit,
        };
        let done = match change {
            None => list(&which, &pipelines, json).await,
            Some(change) => alter(&which, &pipelines, change, dry_run).await,
        };
        done.unwrap_or_else(|error| {
            eprintln!("{error}\n    cure: {}", error.code().cure());
            Exit::Failed
        })
    }
}

impl Which {
    fn pipelines(&self, registry: &Registry) -> Result<Vec<EventsPipeline>, Exit> {
        let setup = config::read(&self.files, registry).map_err(|problems| {
            eprintln!("{problems}");
            Exit::Config
        })?;
        wiring::give_tokens(&setup.connections, setup.token_buses).map_err(|error| {
            eprintln!("{error}\n    cure: {}", error.code().cure());
            Exit::Config
        })?;
        let mut pipelines = setup.events;
        if let Some(name) = &self.pipeline {
            let names: Vec<_> = pipelines.iter().map(|it| it.name.as_str()).collect();
            if !names.contains(&name.as_str()) {
                let known = known("pipelines of events", name, &names);
                eprintln!("there is no pipeline of events `{name}`; {known}");
                return Err(Exit::Usage);
            }
            pipelines.retain(|pipeline| pipeline.name == *name);
        }
        if pipelines.is_empty() {
            eprintln!("this configuration has no pipeline of events");
            return Err(Exit::Usage);
        }
        Ok(pipelines)
    }

    fn means(&self, folder: &Folder) -> bool {
        let same = |wanted: &Option<String>, is: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.to_lowercase() == is.to_lowercase())
        };
        match &folder.record {
            Ok(record) => {
                same(&self.mailbox, record.mailbox.as_str())
                    && same(&self.folder, &record.folder.path)
            }
            // nobody knows whose it is
            Err(_) => self.mailbox.is_none() && self.folder.is_none(),
        }
    }

    /// The folders that are meant, of one pipeline.
    async fn folders(&self, kept: &Kept) -> Result<Vec<Folder>> {
        let mut folders = kept.folders().await?;
        folders.retain(|folder| self.means(folder));
        Ok(folders)
    }
}

async fn list(which: &Which, pipelines: &[EventsPipeline], json: bool) -> Result<Exit> {
    let mut rows = Vec::new();
    for pipeline in pipelines {
        let folders = which.folders(&Kept::of(pipeline)).await?;
        rows.extend(folders.iter().map(|folder| table::Row::of(&pipeline.name, folder)));
    }
    if json {
        tell(format_args!("{}\n", table::json(&rows)));
    } else {
        tell(format_args!("{}", table::text(&rows)));
    }
    Ok(Exit::Done)
}

async fn alter(
    which: &Which,
    pipelines: &[EventsPipeline],
    change: Change,
    dry_run: bool,
) -> Result<Exit> {
    if matches!(change, Change::Again | Change::From(_)) {
        eprintln!(
            "warning: what was published before is forgotten; events whose ids the bus does not \
             know any more come twice"
        );
    }
    let (mut changed, mut lost) = (0_usize, 0_usize);
    for pipeline in pipelines {
        let kept = Kept::of(pipeline);
        for folder in which.folders(&kept).await? {
            let name = folder.name(&pipeline.name);
            let now = Timestamp::now();
            let next = match folder.record {
                Ok(record) => Some(changed_record(record, change, pipeline, now)),
                // whatever it says, it is of no use to anybody
                Err(_) => None,
            };
            let put = if dry_run {
                Put::Stored(folder.revision)
            } else {
                kept.put(&folder.key, next.as_ref(), folder.revision).await?
            };
            let verb = match (put, dry_run) {
                (Put::Conflict, _) => "left alone, since a worker has just changed it",
                (Put::Stored(_), true) => "would be read anew",
                (Put::Stored(_), false) => "will be read anew",
            };
            if put == Put::Conflict {
                lost += 1;
            } else {
                changed += 1;
            }
            tell(format_args!("{name}: {verb}\n"));
        }
    }
    if changed + lost == 0 {
        eprintln!("nothing is kept of such a folder; `mailbridge cursor list` shows what is");
    }
    Ok(if changed > 0 && lost == 0 { Exit::Done } else { Exit::Failed })
}

fn changed_record(
    mut record: Record,
    change: Change,
    pipeline: &EventsPipeline,
    now: Timestamp,
) -> Record {
    match change {
        Change::Reread => record.begin_again(),
        Change::Again => record.forget(pipeline.section.start(), now),
        Change::From(start) => record.forget(start, now),
    }
    record.saved_at = now;
    record
}
