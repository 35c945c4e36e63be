//! What runs now, for whoever asks: it changes when the configuration is read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use mailbridge_engine::events::{Board, Pool};
use mailbridge_graph::Tenants;
use serde::Serialize;
use tokio::sync::watch;

/// What is looked at. Cheap to clone.
pub type Seen = watch::Receiver<Shown>;

/// What is shown.
#[derive(Clone, Default)]
pub struct Shown {
    /// By pipeline: how the mailboxes of its events are.
    pub boards: BTreeMap<String, Board>,
    /// By pipeline: with whom those are shared.
    pub pools: BTreeMap<String, Pool>,
    /// The pipelines that Graph calls.
    pub called: BTreeSet<String>,
    /// The connections, by name.
    pub connections: BTreeMap<String, Arc<Tenants>>,
    /// The files.
    pub config: Config,
}

/// How the program stands to its configuration files.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// When what runs was read.
    pub read_at: Timestamp,
    /// What the files have said since, if they have mistakes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// A reading that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// Each as `file:line: key: message`; none repeats a value.
    pub mistakes: Vec<String>,
}

impl Shown {
    /// Forgets a pipeline.
    pub fn forget(&mut self, pipeline: &str) {
        self.boards.remove(pipeline);
        self.pools.remove(pipeline);
        self.called.remove(pipeline);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { read_at: Timestamp::now(), refused: None }
    }
}
