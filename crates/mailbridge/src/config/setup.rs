//! A configuration that has been checked: everything is built, nothing is opened.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mailbridge_compose::Composer;
use mailbridge_core::{
    AsRequests, Decoder, FileStore, Files, Filter, StateStore,
    plugin::{Build, Bus, SourceEnd, TargetEnd, WantsTokens},
};
use mailbridge_engine::Settings;
use mailbridge_graph::Connection;

use super::{
    expectation::Test,
    fingerprint::{Fingerprint, Fingerprints},
    model::{Http, Log, Report, events::EventsSection, telemetry::Telemetry},
    problem::Problem,
    uses::Use,
};

/// What would run.
pub struct Setup {
    /// Connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// By connection: where it is told that one of its credentials ends.
    pub notify: BTreeMap<String, Port<dyn TargetEnd>>,
    /// Buses that let themselves in by a connection's tokens.
    pub token_buses: Vec<TokenBus>,
    /// Pipelines of requests, in the order of their names.
    pub pipelines: Vec<Pipeline>,
    /// Pipelines of events, in the order of their names.
    pub events: Vec<EventsPipeline>,
    /// The HTTP side.
    pub http: Http,
    /// Logs.
    pub log: Log,
    /// Traces.
    pub telemetry: Telemetry,
    /// What is told to a person.
    pub report: Report,
    /// What works, but should be known.
    pub warnings: Vec<Problem>,
    /// What each part rests on.
    pub fingerprints: Fingerprints,
    /// The buses, for whoever reads the configuration again.
    pub buses: Buses,
}

/// A bus that lets itself in by a connection's tokens.
pub struct TokenBus {
    /// The bus's name.
    pub name: String,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// What it wants.
    pub wants: WantsTokens,
}

impl Setup {
    /// Whether nothing would run.
    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty() && self.events.is_empty()
    }

    /// What is done with connections: each with its name.
    pub fn uses(&self) -> impl Iterator<Item = (&str, Use<'_>)> {
        let requests = self.pipelines.iter();
        let requests = requests.map(|it| (it.connection.as_str(), Use::Requests(&it.settings)));
        let events = self.events.iter().map(|it| &it.section);
        requests.chain(events.map(|it| (it.connection.as_str(), Use::Events(it))))
    }
}

/// One requests pipeline.
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The connection's name.
    pub connection: String,
    /// How it works.
    pub settings: Settings,
    /// How requests are made of events, if they are.
    pub compose: Option<Arc<Composer>>,
    /// Events and what is to become of them; none where they were not asked for.
    pub tests: Vec<Test>,
    /// What requests may refer to.
    pub files: Arc<dyn Files>,
    /// Against producers that publish a request twice, and workers that hold it at once.
    pub ledger: Option<LedgerSetup>,
    /// Where requests come from.
    pub from: Port<dyn SourceEnd>,
    /// Where outcomes go.
    pub outcomes: Option<Port<dyn TargetEnd>>,
    /// Where dead letters go.
    pub dead_letters: Port<dyn TargetEnd>,
}

impl Pipeline {
    /// How messages become requests.
    pub fn decoder(&self) -> Arc<dyn Decoder> {
        match &self.compose {
            Some(composer) => Arc::clone(composer) as Arc<dyn Decoder>,
            None => Arc::new(AsRequests),
        }
    }
}

/// One events pipeline.
pub struct EventsPipeline {
    /// Its name.
    pub name: String,
    /// How it works, as it is written.
    pub section: EventsSection,
    /// Which events are wanted; all, without it.
    pub filter: Option<Arc<dyn Filter>>,
    /// Where large content is put, if anywhere.
    pub files: Option<Arc<dyn FileStore>>,
    /// Where Graph's calls come from, if by a bus.
    pub hub: Option<Port<dyn SourceEnd>>,
    /// Where it is kept how far each folder was read.
    pub state: Port<dyn Build<dyn StateStore>>,
    /// Where workers meet that share the mailboxes, if several can.
    pub leases: Option<Port<dyn Build<dyn StateStore>>>,
    /// Where events go.
    pub to: Port<dyn TargetEnd>,
    /// Whether `to` commits events and what is kept in `state` together.
    pub commits: bool,
    /// Where it is told of what no event can be made of.
    pub dead_letters: Option<Port<dyn TargetEnd>>,
}

/// The ledger of a pipeline.
pub struct LedgerSetup {
    /// Where it is kept.
    pub store: Port<dyn Build<dyn StateStore>>,
    /// How long a claim lasts unless it is renewed.
    pub lease: Duration,
}

/// One end of a pipeline on a bus.
pub struct Port<P: ?Sized> {
    /// Builds it.
    pub build: Arc<P>,
    /// The same in words, such as `events (nats): stream MAIL, consumer mailbridge`.
    pub told: String,
}

/// Buses by name, each with what it was built of.
pub type Buses = BTreeMap<String, (Fingerprint, NamedBus)>;

/// A bus with its plugin's name. Clones are one bus.
#[derive(Clone)]
pub struct NamedBus {
    /// The plugin's name.
    pub plugin: &'static str,
    /// The bus.
    pub bus: Arc<dyn Bus>,
}
