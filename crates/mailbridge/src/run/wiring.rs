//! From a checked configuration to pipelines: connections are opened, the sandbox is started if a
//! connection goes there.

use std::{collections::BTreeMap, sync::Arc};

use mailbridge_core::{Mail, Output, Result, plugin::Build};
use mailbridge_engine::{Observer, Requests, StoreHost, health::Health, ledger::Ledger};
use mailbridge_graph::{Connection, Expiry, Notify, Options, Tenants};
use mailbridge_sandbox::Running;

use crate::{
    config::{LedgerSetup, Pipeline},
    sandboxes,
};

/// Connections that are open.
pub struct Connections {
    mails: BTreeMap<String, Arc<Tenants>>,
    /// Tell when credentials end, until they are dropped.
    _expiries: Vec<Expiry>,
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
        let (mut mails, mut expiries) = (BTreeMap::new(), Vec::new());
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
            let notify = notify.remove(&name);
            expiries.extend(first.map(|first| Expiry::start(&name, first, notify)));
            let mail = Tenants::open(&name, tenancies, options)?;
            mails.insert(name, Arc::new(mail));
        }
        Ok(Self { mails, _expiries: expiries, sandbox })
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

/// The ledger as this worker sees it.
fn ledger(setup: LedgerSetup) -> Ledger {
    let store = Arc::new(StoreHost::new(setup.store.build));
    Ledger::new(store, setup.lease, Arc::new(jiff::Timestamp::now))
}
