//! `mailbridge run`: runs what a configuration says.

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc};

use mailbridge_core::{Code, Error, Mailbox, Result};
use mailbridge_graph::Options;
use tokio::task::JoinSet;

use crate::{
    config::{
        self, Setup,
        model::{Listen, Report as Wanted, events::EventsSection},
        text,
    },
    exit::Exit,
    http::{Bound, Called, Metrics, Overview, Side, Witnesses},
    letters, log,
    registry::Registry,
    run::{
        program::Program,
        progress,
        reload::Reload,
        report::{End, Report, tell},
        signals::Signals,
        wiring::{Connections, Shared},
    },
    telemetry::Telemetry,
    tour,
};

/// The arguments.
#[derive(clap::Args)]
pub struct Run {
    /// Configuration files (.yaml, .toml, .json); later ones win. MAILBRIDGE_A__B=x overrides a.b
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to serve /livez, /readyz, /status and /metrics, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS", value_parser = text::argument::<Listen>)]
    http: Option<Listen>,
    /// What to tell a person on standard output
    #[arg(long, value_enum)]
    report: Option<Wanted>,
    /// Follow the files on SIGHUP only, and not whenever they change
    #[arg(long)]
    no_watch: bool,
    /// Send again in doubt without looking in the mailbox: doubles mails. For tests that prove it
    #[arg(long, hide = true)]
    unsafe_never_look: bool,
}

impl Run {
    /// Runs until the inputs end or a signal comes.
    pub async fn run(self, registry: &Registry, wishes: &log::Wishes) -> Exit {
        let mut setup = match config::read(&self.files, registry) {
            Ok(setup) => setup,
            Err(problems) => {
                eprintln!("{problems}");
                return Exit::Config;
            }
        };
        log::start(wishes, &setup.log);
        for warning in &setup.warnings {
            let (place, key) = (&warning.place, warning.key.join("."));
            tracing::warn!(%place, key, "{}", warning.message);
        }
        setup.http.listen = self.http.or(setup.http.listen);
        setup.report = self.report.unwrap_or(setup.report);
        let options = Options { look_first: !self.unsafe_never_look, ..Options::default() };
        let again = Again { files: self.files, registry, watch: !self.no_watch };
        run(setup, options, again).await.unwrap_or_else(|error| {
            let code = error.code();
            tracing::error!(%code, %error, cure = code.cure(), "nothing was started");
            Exit::Failed
        })
    }
}

/// Runs what is set up, and what is to follow it.
async fn run(mut setup: Setup, options: Options, again: Again<'_>) -> Result<Exit> {
    let unwilling = |cause: io::Error| {
        Error::permanent(Code::Internal, "signals cannot be taken").with("cause", cause.kind())
    };
    let signals = Signals::new().map_err(unwilling)?;
    let Again { files, registry, watch } = again;
    let reload = Reload::new(files, registry, &setup.fingerprints, watch).map_err(unwilling)?;
    // First what may be refused: the port, and counting, which must begin before anything counts.
    let side = match &setup.http.listen {
        Some(listen) => Some((Bound::new(listen).await?, Metrics::start()?)),
        None => None,
    };
    let telemetry = Telemetry::start(&setup.telemetry).await;
    let ends = ends(&setup);
    let mailboxes = listed(&setup);
    let report = Report::new(setup.report).map(Arc::new);
    let sends = !setup.pipelines.is_empty();
    let shared = Shared { report: report.clone(), ..Shared::default() };
    let (health, callbacks) = (shared.health.clone(), shared.callbacks.clone());
    let mut program = Program::start(&mut setup, options, shared).await?;
    let _letters = letters(mailboxes, &setup, &program.connections);
    let seen = program.seen();
    let _backfill = progress::watch(seen.clone());
    let _serving = side.map(|(bound, metrics)| {
        let asked = Witnesses { health: health.clone(), seen: seen.clone() };
        let called = Called { pipelines: seen.clone(), callbacks };
        serve(bound, Side { asked, metrics, boards: Overview { health, seen }, called })
    });
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pipelines = program.len(), "started");
    let exit = program.until_done(signals, reload).await;
    if let Some(telemetry) = telemetry.filter(|_| !matches!(exit, Exit::Signal(_))) {
        telemetry.finish().await;
    }
    tracing::info!("stopped");
    if let Some(report) = report {
        report.finish(&ends);
        match &program.connections.sandbox {
            Some(sandbox) if sends => tour::after_sandbox(sandbox.handle(), &report.codes()),
            Some(_) => tour::after_inbox(),
            None => {}
        }
    }
    Ok(exit)
}

/// What the configuration is read from, again and again.
struct Again<'a> {
    files: Vec<PathBuf>,
    registry: &'a Registry,
    /// Whether it is looked at without being asked.
    watch: bool,
}

/// The mailboxes that events pipelines name, by connection.
fn listed(setup: &Setup) -> BTreeSet<(String, String)> {
    let sections = setup.events.iter().map(|pipeline| &pipeline.section);
    let mailboxes = sections.flat_map(|section: &EventsSection| {
        let of = |mailbox: &Mailbox| (section.connection.clone(), mailbox.as_str().to_lowercase());
        section.listed().iter().map(of)
    });
    mailboxes.collect()
}

/// Has mail arrive in the sandbox of this process, where pipelines read mailboxes there, until what it
/// returns is dropped.
fn letters(
    mailboxes: BTreeSet<(String, String)>,
    setup: &Setup,
    connections: &Connections,
) -> Option<JoinSet<()>> {
    let sandbox = connections.sandbox.as_ref()?.handle();
    let there = mailboxes.into_iter().filter(|(name, _)| connections.is_sandboxed(name));
    let mailboxes: BTreeSet<String> = there.map(|(_, mailbox)| mailbox).collect();
    if mailboxes.is_empty() {
        return None;
    }
    let mailboxes = Vec::from_iter(mailboxes);
    letters::first(sandbox, &mailboxes);
    tracing::info!(mailboxes = mailboxes.len(), "mail arrives in the sandbox of this process");
    if setup.report != Wanted::None {
        tell(format_args!("mail arrives in the sandbox; Ctrl-C ends it\n\n"));
    }
    let mut arriving = JoinSet::new();
    arriving.spawn(letters::arrive(sandbox.clone(), mailboxes));
    Some(arriving)
}

/// Serves health and metrics until what it returns is dropped.
fn serve(bound: Bound, served: Side) -> JoinSet<()> {
    tracing::info!(address = %bound.address(), "health and metrics are served");
    let mut side = JoinSet::new();
    side.spawn(served.metrics.clone().keep_up());
    let serve = bound.serve(served);
    side.spawn(async move {
        if let Err(cause) = serve.await {
            tracing::error!(%cause, "the HTTP side has ended");
        }
    });
    side
}

/// Where each pipeline's results went.
fn ends(setup: &Setup) -> Vec<End> {
    let end = |what, told: &String| End { what, told: told.clone() };
    let requests = setup.pipelines.iter().flat_map(|pipeline| {
        let outcomes = pipeline.outcomes.iter().map(|port| end("outcomes", &port.told));
        outcomes.chain([end("dead letters", &pipeline.dead_letters.told)]).collect::<Vec<_>>()
    });
    let events = setup.events.iter().flat_map(|pipeline| {
        let dead_letters = pipeline.dead_letters.iter();
        let dead_letters = dead_letters.map(|port| end("dead letters", &port.told));
        [end("events to", &pipeline.to.told)].into_iter().chain(dead_letters).collect::<Vec<_>>()
    });
    requests.chain(events).collect()
}
