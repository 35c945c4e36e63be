//! `mailbridge doctor`: the six steps of setting an app up, walked against the live service, for
//! each connection and for each mailbox that the pipelines name.
//!
//! What is right and wrong is known by [`mailbridge_graph::doctor`]; here it is asked for each
//! connection and shown. It sends nothing and changes nothing.

mod report;
mod setup;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use mailbridge_core::{Code, Error};
use mailbridge_graph::{
    Connection,
    doctor::{self, Examination, Needs},
};
use tokio::task::JoinSet;

use crate::{
    config::{
        self, Problems, Use,
        model::{Level, Log},
    },
    exit::Exit,
    log,
    names::known,
    registry::Registry,
    run::report::tell,
    sandboxes,
};

pub use report::Report;
use setup::Shell;

const AFTER_HELP: &str = "\
Examples:
  mailbridge doctor pipelines.yaml                           what is right, what is not, the cure
  mailbridge doctor --format json pipelines.yaml             for scripts; see `schema doctor`
  mailbridge doctor --print-setup pipelines.yaml > setup.sh  to register the app as it is needed

Exit codes: 0 no step failed (there may be warnings), 1 a step failed, 78 wrong configuration.";

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Doctor {
    /// Configuration files (.yaml, .toml, .json); later ones win
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only this connection
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// A mailbox to try besides those that the pipelines name; may be repeated
    #[arg(long = "mailbox", value_name = "ADDRESS")]
    mailboxes: Vec<String>,
    /// For people (text) or for programs (json)
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,
    /// Print the script that takes the six steps, filled in for this configuration
    #[arg(long, conflicts_with_all = ["mailboxes", "format"])]
    print_setup: bool,
    /// The language of that script: bash (with az) or powershell
    #[arg(
        long,
        value_enum,
        default_value_t,
        requires = "print_setup",
        hide_possible_values = true
    )]
    shell: Shell,
}

/// For whom it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

impl Doctor {
    /// As `check --online` has it.
    pub fn of(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            connection: None,
            mailboxes: Vec::new(),
            format: Format::Text,
            print_setup: false,
            shell: Shell::default(),
        }
    }

    /// Examines and tells.
    pub async fn run(self, registry: &Registry, wishes: &log::Wishes) -> Exit {
        // The answer says all that matters here; the log is there for who asks for it.
        log::start(wishes, &Log { level: Some(Level("off".to_owned())), format: None });
        if self.print_setup {
            return self.print_setup();
        }
        let setup = match config::read_connections(&self.files, registry) {
            Ok(setup) => setup,
            Err(problems) => return self.refused(&problems),
        };
        let used: Vec<_> = setup.uses().collect();
        match self.chosen(setup.connections.clone()) {
            Ok(connections) => self.examine(connections, &used).await,
            Err(message) => {
                eprintln!("{message}");
                Exit::Usage
            }
        }
    }

    /// All connections, or the one that was asked for.
    fn chosen<T>(&self, mut all: BTreeMap<String, T>) -> Result<BTreeMap<String, T>, String> {
        let Some(name) = &self.connection else { return Ok(all) };
        if let Some(found) = all.remove_entry(name) {
            return Ok(BTreeMap::from([found]));
        }
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        Err(format!("there is no connection `{name}`; {}", known("connections", name, &names)))
    }

    /// A configuration with mistakes: which steps they belong to.
    fn refused(&self, problems: &Problems) -> Exit {
        eprintln!("{problems}");
        let written = config::read_as_written(&self.files).unwrap_or_default();
        let connections = self.chosen(written.connections).unwrap_or_default();
        let examined = connections.iter().map(|(name, it)| doctor::examine_written(name, it));
        let mistaken = examined.filter(Examination::failed).collect();
        self.tell(&Report::new(problems.lines(), mistaken));
        Exit::Config
    }

    async fn examine(
        &self,
        connections: BTreeMap<String, Connection>,
        used: &[(&str, Use<'_>)],
    ) -> Exit {
        match self.examinations(connections, used).await {
            Ok(examinations) => {
                let report = Report::new(Vec::new(), examinations);
                self.tell(&report);
                if report.ok { Exit::Done } else { Exit::Failed }
            }
            Err(error) => {
                eprintln!("{error}; {}", error.code().cure());
                Exit::Failed
            }
        }
    }

    /// Connections wait for each other in nothing, so they are examined at once.
    async fn examinations(
        &self,
        connections: BTreeMap<String, Connection>,
        used: &[(&str, Use<'_>)],
    ) -> mailbridge_core::Result<Vec<Examination>> {
        let sandbox = if connections.values().any(sandboxes::goes_there) {
            let named = used.iter().flat_map(|(_, it)| it.mailboxes());
            let domains: BTreeSet<_> =
                sandboxes::domains(named.chain(self.mailboxes.iter().map(String::as_str)));
            Some(sandboxes::start(domains).await?)
        } else {
            None
        };
        let mut running = JoinSet::new();
        for (name, connection) in connections {
            let needs = self.needs(&name, used);
            let tenancies = match &sandbox {
                Some(running) if sandboxes::goes_there(&connection) => {
                    let (connection, access) = sandboxes::enter(connection, running);
                    connection.resolve_all(Some(&access))?
                }
                _ => connection.resolve_all(None)?,
            };
            for tenancy in tenancies {
                let (name, needs) = (name.clone(), needs.clone());
                running.spawn(async move { doctor::examine(&name, tenancy, &needs).await });
            }
        }
        let mut examined = Vec::new();
        while let Some(ended) = running.join_next().await {
            examined.push(ended.map_err(|cause| {
                Error::permanent(Code::Internal, "an examination broke off").with("cause", cause)
            })??);
        }
        examined.sort_by(|a, b| (&a.connection, &a.tenant).cmp(&(&b.connection, &b.tenant)));
        Ok(examined)
    }

    fn needs(&self, connection: &str, used: &[(&str, Use<'_>)]) -> Needs {
        let mut needs = needs(used.iter().copied().filter(|(name, _)| *name == connection));
        self.mailboxes.iter().for_each(|mailbox| needs.mailbox(mailbox));
        needs
    }

    fn tell(&self, report: &Report) {
        match self.format {
            Format::Json => match serde_json::to_string_pretty(report) {
                Ok(json) => tell(format_args!("{json}\n")),
                Err(cause) => eprintln!("the report cannot be written as JSON: {cause}"),
            },
            Format::Text => tell(format_args!("{}", report.shown())),
        }
    }

    fn print_setup(&self) -> Exit {
        let written = match config::read_as_written(&self.files) {
            Ok(written) => written,
            Err(problems) => {
                eprintln!("{problems}");
                return Exit::Config;
            }
        };
        let chosen = match self.chosen(written.connections.clone()) {
            Ok(chosen) if chosen.len() > 1 => {
                let names: Vec<_> = chosen.keys().map(String::as_str).collect();
                Err(format!("say which --connection: {}", names.join(", ")))
            }
            Ok(mut chosen) => chosen.pop_first().ok_or_else(|| {
                "there is no connection in this configuration that can be read".to_owned()
            }),
            Err(message) => Err(message),
        };
        match chosen {
            Ok((name, connection)) => {
                let needs = needs(written.uses().filter(|(of, _)| *of == name));
                tell(format_args!("{}", setup::script(self.shell, &name, &connection, &needs)));
                Exit::Done
            }
            Err(message) => {
                eprintln!("{message}");
                Exit::Usage
            }
        }
    }
}

fn needs<'a>(used: impl Iterator<Item = (&'a str, Use<'a>)>) -> Needs {
    let mut needs = Needs::default();
    used.for_each(|(_, it)| it.add_to(&mut needs));
    needs
}
