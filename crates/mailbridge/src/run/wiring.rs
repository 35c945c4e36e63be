//! From a checked configuration to pipelines: connections are opened, the sandbox is started if a
//! connection goes there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mailbridge_core::{Code, Error, Input, Mail, Output, Result, plugin::Build};
use mailbridge_engine::{
    Observer, Requests, StoreHost,
    events::{Board, Events, Pool, callback::Callbacks},
    health::Health,
    ledger::Ledger,
};
use mailbridge_graph::{Bearer, Connection, Expiry, Notify, Options, Resolved, Tenants};
use mailbridge_sandbox::Running;

use super::{Ready, place, report::Report, told::Told};
use crate::{
    config::{EventsPipeline, LedgerSetup, Pipeline, TokenBus},
    sandboxes,
};

/// Connections that are open.
pub struct Connections {
    mails: BTreeMap<String, Arc<Tenants>>,
    /// Those that go to the sandbox.
    sandboxed: BTreeSet<String>,
    /// Tell when credentials end, until they are dropped.
    _expiries: Vec<Expiry>,
    /// The first tenant of each, for what else wants its tokens.
    resolved: BTreeMap<String, Resolved>,
    /// The sandbox, if one of them goes there.
    pub sandbox: Option<Running>,
}

impl Connections {
    /// Opens connections. `mailboxes` are those they are used for, patterns included; `notify`, by
    /// connection, wants to know when its credentials end.
    pub async fn open(
        connections: BTreeMap<String, Connection>,
        mailboxes: impl Iterator<Item = &str>,
        options: Options,
        mut notify: BTreeMap<String, Arc<dyn Notify>>,
    ) -> Result<Self> {
        let sandbox = if connections.values().any(sandboxes::goes_there) {
            Some(sandboxes::start(sandboxes::domains(mailboxes)).await?)
        } else {
            None
        };
        let there = connections.iter().filter(|(_, it)| sandboxes::goes_there(it));
        let sandboxed = there.map(|(name, _)| name.clone()).collect();
        let (mut mails, mut expiries) = (BTreeMap::new(), Vec::new());
        let mut resolved = BTreeMap::new();
        for (name, connection) in connections {
            let tenancies = match &sandbox {
                Some(running) if sandboxes::goes_there(&connection) => {
                    let (connection, access) = sandboxes::enter(connection, running);
                    connection.resolve_all(Some(&access))?
                }
                _ => connection.resolve_all(None)?,
            };
            // all tenants of a connection share its credentials
            let first = tenancies.first().map(|tenancy| &tenancy.resolved);
            resolved.extend(first.cloned().map(|first| (name.clone(), first)));
            let notify = notify.remove(&name);
            expiries.extend(first.map(|first| Expiry::start(&name, first, notify)));
            let mail = Tenants::open(&name, tenancies, options)?;
            mails.insert(name, Arc::new(mail));
        }
        Ok(Self { mails, sandboxed, _expiries: expiries, resolved, sandbox })
    }

    /// Whether a connection goes to the sandbox of this process.
    pub fn is_sandboxed(&self, name: &str) -> bool {
        self.sandboxed.contains(name)
    }

    /// Gives buses the tokens that they let themselves in by.
    ///
    /// # Errors
    /// When this machine cannot do TLS.
    pub fn give_tokens(&self, buses: Vec<TokenBus>) -> Result<()> {
        for bus in buses {
            let Some(resolved) = self.resolved.get(&bus.wants.connection) else { continue };
            give(bus, resolved.clone())?;
        }
        Ok(())
    }

    /// A connection by name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Mail>> {
        self.mails.get(name).map(|mail| Arc::clone(mail) as Arc<dyn Mail>)
    }

    /// All of them, by name.
    pub fn all(&self) -> BTreeMap<String, Arc<Tenants>> {
        self.mails.clone()
    }
}

/// Gives buses the tokens that they let themselves in by, where no connection is opened.
///
/// # Errors
/// `config_invalid` for a connection to the sandbox, which runs with pipelines only.
pub fn give_tokens(connections: &BTreeMap<String, Connection>, buses: Vec<TokenBus>) -> Result<()> {
    for bus in buses {
        let Some(connection) = connections.get(&bus.wants.connection) else { continue };
        give(bus, connection.clone().resolve(None)?)?;
    }
    Ok(())
}

fn give(TokenBus { name, bus, wants }: TokenBus, resolved: Resolved) -> Result<()> {
    // what the log says of these tokens is the bus's, not the connection's
    bus.give_tokens(Arc::new(Bearer::new(&name, resolved, &wants.resource)?));
    Ok(())
}

/// What is shared by all pipelines.
#[derive(Default)]
pub struct Shared {
    /// Where they tell how they are.
    pub health: Health,
    /// Whom Graph calls.
    pub callbacks: Callbacks,
    /// Who tells a person of them.
    pub report: Option<Arc<Report>>,
}

/// All pipelines, and what is asked about those of events.
#[derive(Default)]
pub struct Wired {
    /// The pipelines.
    pub ready: Ready,
    /// By name: how their mailboxes are.
    pub boards: BTreeMap<String, Board>,
    /// Those that Graph calls.
    pub called: BTreeSet<String>,
    /// By name: with whom their mailboxes are shared.
    pub pools: BTreeMap<String, Pool>,
}

/// Puts pipelines and connections together.
pub fn wire(
    requests: Vec<Pipeline>,
    events: Vec<EventsPipeline>,
    connections: &Connections,
    shared: &Shared,
) -> Result<Wired> {
    let lost = || Error::permanent(Code::Internal, "a pipeline without its connection");
    let mut wired = Wired::default();
    for pipeline in requests {
        let mail = connections.get(&pipeline.connection).ok_or_else(lost)?;
        let observer = shared.report.clone().map(|report| report as Arc<dyn Observer>);
        let pipeline = self::requests(pipeline, mail, &shared.health, observer);
        wired.ready.requests.push(pipeline);
    }
    for pipeline in events {
        let pipeline = self::events(pipeline, connections, shared).ok_or_else(lost)?;
        let name = &pipeline.name;
        wired.boards.insert(name.clone(), pipeline.board.clone());
        wired.pools.extend(pipeline.pool.clone().map(|pool| (name.clone(), pool)));
        let by_http = pipeline.settings.webhook.as_ref().filter(|_| pipeline.hub.is_none());
        wired.called.extend(by_http.map(|_| name.clone()));
        wired.ready.events.push(pipeline);
    }
    Ok(wired)
}

/// A pipeline that is ready to run.
pub fn requests(
    pipeline: Pipeline,
    mail: Arc<dyn Mail>,
    health: &Health,
    observer: Option<Arc<dyn Observer>>,
) -> Requests {
    Requests {
        health: health.register(&pipeline.name),
        decoder: pipeline.decoder(),
        name: pipeline.name,
        input: pipeline.from.build,
        mail,
        files: pipeline.files,
        ledger: pipeline.ledger.map(ledger),
        outcomes: pipeline.outcomes.map(|port| port.build as Arc<dyn Build<dyn Output>>),
        dead_letters: pipeline.dead_letters.build,
        settings: pipeline.settings,
        observer,
    }
}

/// An events pipeline that is ready to run; nothing, without its connection.
fn events(pipeline: EventsPipeline, connections: &Connections, shared: &Shared) -> Option<Events> {
    let EventsPipeline { name, section, filter, files, hub, .. } = pipeline;
    let EventsPipeline { state, leases, to, commits, dead_letters, .. } = pipeline;
    let connection = Arc::clone(connections.mails.get(&section.connection)?);
    Some(Events {
        mail: Arc::clone(&connection) as Arc<dyn Mail>,
        changes: connection,
        store: Arc::new(StoreHost::new(state.build)),
        clock: Arc::new(jiff::Timestamp::now),
        to: match &shared.report {
            Some(report) => Arc::new(Told::new(to.build, Arc::clone(report))),
            None => to.build,
        },
        commits,
        pool: leases.map(|leases| Pool {
            pipeline: name.clone(),
            store: Arc::new(StoreHost::new(leases.build)),
            worker: worker(),
            place: place::here(),
            is_gone: place::is_gone,
            lease: section.lease(),
        }),
        dead_letters: dead_letters.map(|port| port.build as Arc<dyn Build<dyn Output>>),
        files,
        filter,
        callbacks: shared.callbacks.clone(),
        hub: hub.map(|port| port.build as Arc<dyn Build<dyn Input>>),
        settings: section.settings(&name),
        health: shared.health.register(&name),
        board: Board::new(),
        name,
    })
}

/// This process among others, for people: such as `mailbridge-0/1`.
fn worker() -> String {
    let host = gethostname::gethostname();
    format!("{}/{}", host.to_string_lossy(), std::process::id())
}

/// The ledger as this worker sees it.
fn ledger(setup: LedgerSetup) -> Ledger {
    let store = Arc::new(StoreHost::new(setup.store.build));
    Ledger::new(store, setup.lease, Arc::new(jiff::Timestamp::now))
}
