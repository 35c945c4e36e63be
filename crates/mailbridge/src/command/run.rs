//! `mailbridge run`: runs what a configuration says.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use mailbridge_core::{Code, Error, Result};
use mailbridge_engine::{Observer, events::callback::Callbacks, health::Health};
use mailbridge_graph::{Notify, Options};
use tokio::task::JoinSet;

use crate::{
    config::{
        self, Setup,
        model::{Listen, Report as Wanted},
        text,
    },
    exit::Exit,
    http::{Bound, Called, Metrics, Side, Witnesses},
    log,
    registry::Registry,
    run::{
        notify::OnBus,
        report::{End, Report},
        signals::Signals,
        until_done,
        wiring::{self, Connections},
    },
    tour,
};

/// The arguments.
#[derive(clap::Args)]
pub struct Run {
    /// Configuration files (.yaml, .toml, .json); later ones win. MAILBRIDGE_A__B=x overrides a.b
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to serve /livez, /readyz and /metrics, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS", value_parser = text::argument::<Listen>)]
    http: Option<Listen>,
    /// What to tell a person on standard output
    #[arg(long, value_enum)]
    report: Option<Wanted>,
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
        run(setup, options).await.unwrap_or_else(|error| {
            let code = error.code();
            tracing::error!(%code, %error, cure = code.cure(), "nothing was started");
            Exit::Failed
        })
    }
}

async fn run(setup: Setup, options: Options) -> Result<Exit> {
    let signals = Signals::new().map_err(|cause| {
        Error::permanent(Code::Internal, "signals cannot be taken").with("cause", cause.kind())
    })?;
    let used: BTreeSet<String> = setup.uses().map(|(name, _)| name.to_owned()).collect();
    let mailboxes = setup.uses().flat_map(|(_, used)| used.mailboxes());
    let mailboxes: Vec<String> = mailboxes.map(str::to_owned).collect();
    let Setup { connections, notify, pipelines, report, http, .. } = setup;
    // First what may be refused: the port, and counting, which must begin before anything counts.
    let side = match &http.listen {
        Some(listen) => Some((Bound::new(listen).await?, Metrics::start()?)),
        None => None,
    };
    let connections = connections.into_iter().filter(|(name, _)| used.contains(name)).collect();
    let notify = notify.into_iter().map(|(name, port)| {
        let on_bus: Arc<dyn Notify> = Arc::new(OnBus(port.build));
        (name, on_bus)
    });
    let mailboxes = mailboxes.iter().map(String::as_str);
    let connections = Connections::open(connections, mailboxes, options, notify.collect()).await?;
    let ends = ends(&pipelines);
    let report = Report::new(report).map(Arc::new);
    let health = Health::new();
    let mut ready = Vec::new();
    for pipeline in pipelines {
        let Some(mail) = connections.get(&pipeline.connection) else {
            return Err(Error::permanent(Code::Internal, "a pipeline without its connection"));
        };
        let observer = report.clone().map(|report| report as Arc<dyn Observer>);
        ready.push(wiring::requests(pipeline, mail, &health, observer));
    }
    let asked = Witnesses { health, connections: Arc::new(connections.all()) };
    let called = Called { pipelines: Arc::default(), callbacks: Callbacks::new() };
    let _serving = side.map(|(bound, metrics)| serve(bound, Side { asked, metrics, called }));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pipelines = ready.len(), "started");
    let exit = until_done(ready, signals).await;
    tracing::info!("stopped");
    if let Some(report) = report {
        report.finish(&ends);
        if let Some(sandbox) = &connections.sandbox {
            tour::after_sandbox(sandbox.handle(), &report.codes());
        }
    }
    Ok(exit)
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
fn ends(pipelines: &[config::Pipeline]) -> Vec<End> {
    pipelines
        .iter()
        .flat_map(|pipeline| {
            let outcomes = pipeline.outcomes.as_ref();
            let outcomes = outcomes.map(|port| End { what: "outcomes", told: port.told.clone() });
            let told = pipeline.dead_letters.told.clone();
            outcomes.into_iter().chain([End { what: "dead letters", told }])
        })
        .collect()
}
