//! From a checked configuration to pipelines: connections are opened, the sandbox is started if a
//! connection goes there.

use std::{collections::BTreeMap, sync::Arc};

use mailbridge_core::{Mail, Mailbox, Output, Result, plugin::Build};
use mailbridge_engine::{Observer, Requests, health::Health};
use mailbridge_graph::{Connection, Graph, Options};
use mailbridge_sandbox::Running;

use crate::{config::Pipeline, sandboxes};

/// Connections that are open.
pub struct Connections {
    mails: BTreeMap<String, Arc<dyn Mail>>,
    /// The sandbox, if one of them goes there.
    pub sandbox: Option<Running>,
}

impl Connections {
    /// Opens connections. `mailboxes` are those they are used for, patterns included.
    pub async fn open(
        connections: BTreeMap<String, Connection>,
        mailboxes: impl Iterator<Item = &str>,
        options: Options,
    ) -> Result<Self> {
        let sandbox = if connections.values().any(sandboxes::goes_there) {
            Some(sandboxes::start(sandboxes::domains(mailboxes)).await?)
        } else {
            None
        };
        let mut mails = BTreeMap::new();
        for (name, connection) in connections {
            let resolved = match &sandbox {
                Some(running) if sandboxes::goes_there(&connection) => {
                    let (connection, access) = sandboxes::enter(connection, running);
                    connection.resolve(Some(&access))?
                }
                _ => connection.resolve(None)?,
            };
            let graph: Arc<dyn Mail> = Arc::new(Graph::new(&name, resolved, options)?);
            mails.insert(name, graph);
        }
        Ok(Self { mails, sandbox })
    }

    /// A connection by name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Mail>> {
        self.mails.get(name).cloned()
    }
}

/// The mailboxes, patterns included, that pipelines may use.
pub fn mailboxes(pipelines: &[Pipeline]) -> impl Iterator<Item = &str> {
    pipelines.iter().flat_map(|pipeline| {
        let settings = &pipeline.settings;
        let own = settings.mailbox.iter().map(Mailbox::as_str);
        own.chain(settings.allow_mailboxes.iter().map(String::as_str))
    })
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
        outcomes: pipeline.outcomes.map(|port| port.build as Arc<dyn Build<dyn Output>>),
        dead_letters: pipeline.dead_letters.build,
        settings: pipeline.settings,
        observer,
    }
}
