//! From what has been checked to what runs: connections are opened, the sandbox is started if one of them
//! goes there, and a pipeline gets what it needs.

use std::{collections::BTreeMap, sync::Arc};

use mailbridge_core::{Input, Mail, Output, Result, plugin::Build};
use mailbridge_engine::{
    Observer, Requests, StoreHost,
    events::{Board, Events, Pool, callback::Callbacks},
    health::Health,
    ledger::Ledger,
};
use mailbridge_graph::{Bearer, Connection, Expiry, Notify, Options, Resolved, Tenants};
use mailbridge_sandbox::Running;

use super::{place, report::Report, told::Told};
use crate::{
    config::{EventsPipeline, LedgerSetup, Pipeline, TokenBus},
    sandboxes,
};

/// Connections that are open.
pub struct Connections {
    open: BTreeMap<String, Opened>,
    options: Options,
    /// The sandbox, if one of them goes there.
    pub sandbox: Option<Running>,
}

/// One of them.
struct Opened {
    mail: Arc<Tenants>,
    /// Whether it goes to the sandbox of this process.
    sandboxed: bool,
    /// Tells when its credentials end, until it is dropped.
    _expiry: Option<Expiry>,
    /// Its first tenant, for what else wants its tokens.
    resolved: Option<Resolved>,
}

impl Connections {
    /// Opens connections. `mailboxes` are those they are used for, patterns included; `notify`, by
    /// connection, wants to know when its credentials end.
    pub async fn open(
        connections: BTreeMap<String, Connection>,
        mailboxes: impl Iterator<Item = &str>,
        options: Options,
        notify: BTreeMap<String, Arc<dyn Notify>>,
    ) -> Result<Self> {
        let mut opened = Self { open: BTreeMap::new(), options, sandbox: None };
        opened.add(connections, mailboxes, notify).await?;
        Ok(opened)
    }

    /// Opens more, each in place of one of its name; none, where one of them cannot be opened.
    ///
    /// A sandbox that runs is as it was started: a mailbox of another domain is none of its own.
    pub async fn add(
        &mut self,
        connections: BTreeMap<String, Connection>,
        mailboxes: impl Iterator<Item = &str>,
        mut notify: BTreeMap<String, Arc<dyn Notify>>,
    ) -> Result<()> {
        if self.sandbox.is_none() && connections.values().any(sandboxes::goes_there) {
            self.sandbox = Some(sandboxes::start(sandboxes::domains(mailboxes)).await?);
        }
        let mut added = BTreeMap::new();
        for (name, connection) in connections {
            let opened = self.one(&name, connection, notify.remove(&name))?;
            added.insert(name, opened);
        }
        self.open.extend(added);
        Ok(())
    }

    fn one(
        &self,
        name: &str,
        connection: Connection,
        notify: Option<Arc<dyn Notify>>,
    ) -> Result<Opened> {
        let sandbox = self.sandbox.as_ref().filter(|_| sandboxes::goes_there(&connection));
        let tenancies = match sandbox {
            Some(running) => {
                let (connection, access) = sandboxes::enter(connection, running);
                connection.resolve_all(Some(&access))?
            }
            None => connection.resolve_all(None)?,
        };
        // all tenants of a connection share its credentials
        let resolved = tenancies.first().map(|tenancy| tenancy.resolved.clone());
        Ok(Opened {
            sandboxed: sandbox.is_some(),
            _expiry: resolved.as_ref().map(|first| Expiry::start(name, first, notify)),
            mail: Arc::new(Tenants::open(name, tenancies, self.options)?),
            resolved,
        })
    }

    /// Closes those that are not used any more, as soon as nobody has them in hand.
    pub fn keep(&mut self, used: impl Fn(&str) -> bool) {
        self.open.retain(|name, _| used(name));
    }

    /// Whether a connection goes to the sandbox of this process.
    pub fn is_sandboxed(&self, name: &str) -> bool {
        self.open.get(name).is_some_and(|opened| opened.sandboxed)
    }

    /// Gives buses the tokens that they let themselves in by.
    ///
    /// # Errors
    /// When this machine cannot do TLS.
    pub fn give_tokens(&self, buses: Vec<TokenBus>) -> Result<()> {
        for bus in buses {
            let opened = self.open.get(&bus.wants.connection);
            let Some(resolved) = opened.and_then(|it| it.resolved.clone()) else { continue };
            give(bus, resolved)?;
        }
        Ok(())
    }

    /// A connection by name.
    pub fn get(&self, name: &str) -> Option<Arc<Tenants>> {
        self.open.get(name).map(|opened| Arc::clone(&opened.mail))
    }

    /// All of them, by name.
    pub fn all(&self) -> BTreeMap<String, Arc<Tenants>> {
        self.open.iter().map(|(name, opened)| (name.clone(), Arc::clone(&opened.mail))).collect()
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

/// An events pipeline that is ready to run.
pub fn events(pipeline: EventsPipeline, connection: Arc<Tenants>, shared: &Shared) -> Events {
    let EventsPipeline { name, section, filter, files, hub, .. } = pipeline;
    let EventsPipeline { state, leases, to, commits, dead_letters, .. } = pipeline;
    Events {
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
    }
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
