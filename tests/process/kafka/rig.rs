//! One test's world: topics on a broker, a sandbox, and as many workers as the test starts.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
    path::PathBuf,
    time::Duration,
};

use mailbridge_core::contract::{Outcome, Status, decode};
use mailbridge_sandbox::{Budgets, Builder, DEMO_DOMAIN, Handle, Running, Sandbox};
use mailbridge_testkit::program::{Launch, Program};
use rdkafka::{Message as _, message::OwnedMessage};

use crate::bus::{DEAD, OUTCOMES, REQUESTS, Topics};
use crate::rig::{SOON, free_port, http_client, secret, until};

pub struct Rig {
    topics: Topics,
    pub sandbox: Running,
    plan: Plan,
}

/// Its topics are what a test asks for most.
impl Deref for Rig {
    type Target = Topics;

    fn deref(&self) -> &Topics {
        &self.topics
    }
}

/// What differs from test to test.
#[derive(Clone)]
pub struct Plan {
    pub partitions: i32,
    /// Whether the topics are there before the program starts.
    pub topics: bool,
    /// Whether state is kept on the same broker.
    pub state: bool,
    /// More keys for the pipeline's `from`.
    pub from: &'static str,
    /// Lines for the pipeline, six spaces deep.
    pub pipeline: &'static str,
    /// More sections of the file.
    pub sections: String,
    pub sandbox: Builder,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            partitions: 3,
            topics: true,
            state: false,
            from: "",
            pipeline: "      deadline: 5s\n      settle_time: 5s",
            sections: String::new(),
            sandbox: Sandbox::builder().seed(7).budgets(Budgets::graph()),
        }
    }
}

/// One running program.
pub struct Worker {
    pub program: Program,
    /// The file that it runs.
    pub config: PathBuf,
    http: std::net::SocketAddr,
}

impl Rig {
    /// On the broker that all tests of this process share.
    pub async fn new(plan: Plan) -> Self {
        Self::of(Topics::shared(None).await, plan).await
    }

    /// On a broker of the test's own.
    pub async fn over(broker: &str, plan: Plan) -> Self {
        Self::of(Topics::at(broker), plan).await
    }

    async fn of(topics: Topics, plan: Plan) -> Self {
        let sandbox = plan.sandbox.clone().start_local().await.expect("a sandbox");
        if plan.topics {
            topics.make_topic(REQUESTS, plan.partitions).await;
            topics.make_topic(OUTCOMES, 1).await;
            topics.make_topic(DEAD, 1).await;
        }
        Self { topics, sandbox, plan }
    }

    pub fn handle(&self) -> &Handle {
        self.sandbox.handle()
    }

    /// Starts one more worker.
    pub fn start(&self) -> Worker {
        self.start_with(&[])
    }

    pub fn start_with(&self, args: &[&str]) -> Worker {
        let http = free_port();
        let launch = Launch::mailbridge().expect("the program").args(["run"]).args(args);
        let (identity, _) = secret(&self.sandbox, launch.folder());
        let launch = launch.config(&self.config(&identity, http)).expect("a configuration");
        let config = launch.folder().join("config.yaml");
        Worker { program: launch.start().expect("the program starts"), config, http }
    }

    fn config(&self, identity: &str, http: std::net::SocketAddr) -> String {
        let Plan { from, pipeline, sections, .. } = &self.plan;
        let sandbox = self.sandbox.base_url();
        let state =
            format!("state: {{ bus: events, topic: \"{}\", create: true }}", self.topic("state"));
        let state = if self.plan.state { state } else { String::new() };
        let (bus, source) = (self.section(), self.source());
        let source = source.trim_end_matches(" }");
        let [outcomes, dead] = [OUTCOMES, DEAD].map(|what| self.target(what));
        format!(
            r#"
http: {{ listen: "{http}" }}
{state}
{sections}
connections:
  contoso:
    provider: microsoft365
    grant_type: client_credentials
{identity}
    cloud: {{ login: "{sandbox}", graph: "{sandbox}" }}
buses:
  events: {bus}
pipelines:
  orders:
    requests:
      from: {source}{from} }}
      connection: contoso
      mailbox: noreply@{DEMO_DOMAIN}
      allow_mailboxes: ["*@{DEMO_DOMAIN}"]
      outcomes: {outcomes}
      dead_letters: {dead}
{pipeline}
"#
        )
    }

    /// Waits until everything that was produced is committed.
    pub async fn drained(&self, ends: &HashMap<i32, i64>, within: Duration) {
        until(within, "all offsets are committed", async || {
            let committed = self.committed();
            ends.iter().all(|(partition, end)| committed.get(partition) == Some(end))
        })
        .await;
    }

    pub async fn sent(&self, count: u64, within: Duration) {
        let what = format!("{count} mails are sent");
        until(within, &what, async || self.handle().truth().sent_total() >= count).await;
    }

    /// How often each subject was really sent.
    pub fn copies(&self) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for sent in self.handle().truth().sent() {
            *copies.entry(sent.subject).or_default() += 1;
        }
        copies
    }

    /// Every outcome, as they stand in the topic.
    pub fn all_outcomes(&self) -> Vec<Outcome> {
        let records = self.records("outcome");
        let outcome =
            |it: &OwnedMessage| decode::read(it.payload().expect("a payload")).expect("an outcome");
        records.iter().map(outcome).collect()
    }

    /// The outcomes by key. One that was published by a worker that died before its commit is
    /// published again, with the same id.
    pub fn outcomes(&self) -> BTreeMap<String, Outcome> {
        let mut outcomes = BTreeMap::new();
        for record in self.records("outcome") {
            let payload = record.payload().expect("a payload");
            let outcome: Outcome = decode::read(payload).expect("an outcome");
            let key = outcome.data.key.clone();
            assert_eq!(record.key(), Some(key.as_bytes()), "keyed by what it is about");
            let known = outcomes.entry(key).or_insert_with(|| outcome.clone());
            assert_eq!((&known.id, known.data.status), (&outcome.id, outcome.data.status));
        }
        outcomes
    }

    /// Every request r0..r`count` was sent exactly once, and is told as accepted.
    pub fn assert_exactly_once(&self, count: usize) {
        let copies = self.copies();
        let doubled: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
        assert!(doubled.is_empty(), "sent more than once: {doubled:?}");
        assert_eq!(copies.len(), count, "every mail was sent");
        let outcomes = self.outcomes();
        assert_eq!(outcomes.len(), count, "every request has an outcome");
        assert!(outcomes.values().all(|outcome| outcome.data.status == Status::Accepted));
        assert!(self.records("dead").is_empty(), "nothing is dead-lettered");
    }
}

impl Worker {
    /// Ends it at once, and waits until it is gone.
    pub async fn kill(mut self) {
        self.program.kill9().expect("killed");
        self.program.wait_exit(SOON).await.expect("it is gone");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.program.sigterm().expect("asked to stop");
        assert!(self.program.wait_exit(SOON).await.expect("it stops").success());
    }

    /// Waits until `/readyz` answers so, with this in it.
    pub async fn ready(&self, status: u16, because: &str) -> String {
        let mut last = String::new();
        until(SOON, &format!("/readyz says {status}: {because}"), async || {
            let answer = http_client().get(format!("http://{}/readyz", self.http)).send().await;
            let Ok(answer) = answer else { return false };
            let found = answer.status().as_u16();
            last = answer.text().await.unwrap_or_default();
            found == status && last.contains(because)
        })
        .await;
        last
    }

    /// What it answers to that.
    pub async fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.http);
        let answer = http_client().get(url).send().await.expect("an answer");
        answer.text().await.expect("a text")
    }
}
