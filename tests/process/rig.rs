//! One test's world: a bus, a sandbox, and the program between them.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use mailbridge_core::{
    Message,
    contract::{Outcome, Status, decode},
};
use mailbridge_sandbox::{
    Budgets, Builder, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Handle,
    Running, Sandbox,
};
use mailbridge_testkit::program::{Launch, Program};

use crate::bus::{Bus, DEAD, OUTCOMES, On};

/// How long a test waits for something that ought to happen soon.
pub const SOON: Duration = Duration::from_mins(1);
/// How long a test waits for a whole load.
pub const LOAD: Duration = Duration::from_mins(8);

pub struct Rig {
    pub bus: Bus,
    pub sandbox: Running,
    /// Starts the program; again after a kill.
    pub launch: Launch,
    http: std::net::SocketAddr,
}

/// What differs from test to test.
#[derive(Clone)]
pub struct Plan {
    pub guarantee: &'static str,
    /// Who the program is.
    pub identity: Identity,
    /// Lines for the connection, four spaces deep.
    pub connection: &'static str,
    /// Whether state is kept on the bus.
    pub state: bool,
    /// Mailboxes that requests may name.
    pub allow: &'static str,
    /// Lines for the pipeline, six spaces deep.
    pub pipeline: String,
    /// More arguments for `run`.
    pub args: Vec<&'static str>,
    pub sandbox: Builder,
    /// Bytes of the largest message, where it is more than the bus takes by itself.
    pub payload_max: Option<usize>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            guarantee: "once",
            identity: secret,
            connection: "",
            state: false,
            allow: "*@contoso.example",
            pipeline: "      deadline: 5s\n      settle_time: 5s".to_owned(),
            args: Vec::new(),
            sandbox: Sandbox::builder().seed(7).budgets(Budgets::graph()),
            payload_max: None,
        }
    }
}

/// In an identity: the target that outcomes go to.
pub const TO_OUTCOMES: &str = "TO_OUTCOMES";

/// Lines of the connection, four spaces deep, and the program's environment; files go into the
/// folder.
pub type Identity = fn(&Running, &Path) -> (String, Vec<(&'static str, String)>);

/// The demo app with its secret in a file.
pub fn secret(_: &Running, folder: &Path) -> (String, Vec<(&'static str, String)>) {
    std::fs::write(folder.join("secret"), DEMO_CLIENT_SECRET).expect("a secret file");
    let lines = format!(
        "    tenant: {DEMO_TENANT_ID}\n    client_id: {DEMO_CLIENT_ID}\n    \
         credential: {{ client_secret: {{ file: secret }} }}"
    );
    (lines, Vec::new())
}

impl Rig {
    pub async fn new(on: On, plan: Plan) -> Self {
        let bus = Bus::start(on, plan.payload_max).await;
        for what in [OUTCOMES, DEAD] {
            bus.make(what).await;
        }
        bus.make_requests().await;
        let sandbox = plan.sandbox.clone().start_local().await.expect("a sandbox");
        let http = free_port();
        let launch = Launch::mailbridge().expect("the program");
        let (identity, environment) = (plan.identity)(&sandbox, launch.folder());
        let config = config(&plan, &identity, &bus, &sandbox.base_url(), http);
        let launch =
            launch.args(["run"]).args(&plan.args).config(&config).expect("a configuration");
        let launch =
            environment.into_iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        Self { bus, sandbox, launch, http }
    }

    pub fn start(&self) -> Program {
        self.launch.start().expect("the program starts")
    }

    pub fn handle(&self) -> &Handle {
        self.sandbox.handle()
    }

    pub fn write_secret(&self, secret: &str) {
        let folder = self.launch.folder();
        std::fs::write(folder.join("secret.new"), secret).expect("a secret file");
        std::fs::rename(folder.join("secret.new"), folder.join("secret")).expect("a rename");
    }

    pub async fn publish(&self, message: Message) {
        self.bus.publish(message).await;
    }

    /// Publishes requests `first..first + count`, spread over `mailboxes`.
    pub async fn publish_load(&self, first: usize, count: usize, mailboxes: usize) {
        stream::iter(first..first + count)
            .map(|n| self.publish(plain(request(n, &mailbox(n % mailboxes)))))
            .buffer_unordered(128)
            .collect::<Vec<()>>()
            .await;
    }

    /// Waits until every request is done, and checks that nothing is left on the way.
    pub async fn drained(&self, within: Duration) {
        self.bus.drained(within).await;
    }

    /// Waits until so many mails were really sent.
    pub async fn sent(&self, count: u64, within: Duration) {
        let what = format!("{count} mails are sent");
        until(within, &what, async || self.handle().truth().sent_total() >= count).await;
    }

    /// Every dead letter.
    pub async fn dead(&self) -> Vec<Message> {
        self.bus.messages(DEAD).await
    }

    /// The final outcomes by key, each once: whoever reads a bus that keeps repeats drops them by
    /// their id.
    pub async fn outcomes(&self) -> BTreeMap<String, Vec<Outcome>> {
        let mut outcomes = BTreeMap::<_, Vec<Outcome>>::new();
        for message in self.bus.messages(OUTCOMES).await {
            let outcome: Outcome = decode::read(&message.payload).expect("an outcome");
            let known = outcomes.entry(outcome.data.key.clone()).or_default();
            match known.iter().find(|known| known.id == outcome.id) {
                Some(same) => assert_eq!(same.data.status, outcome.data.status),
                None => known.push(outcome),
            }
        }
        outcomes
    }

    /// How often each subject was really sent.
    pub fn copies(&self) -> HashMap<String, usize> {
        let mut copies = HashMap::new();
        for sent in self.handle().truth().sent() {
            *copies.entry(sent.subject).or_default() += 1;
        }
        copies
    }

    /// Every request 0..count was sent exactly once and has exactly one outcome, `accepted`.
    pub async fn assert_exactly_once(&self, count: usize) {
        let copies = self.copies();
        let doubled: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
        assert!(doubled.is_empty(), "sent more than once: {doubled:?}");
        assert_eq!(copies.len(), count, "every mail was sent");
        let outcomes = self.outcomes().await;
        assert_eq!(outcomes.len(), count, "every request has an outcome");
        for (key, outcomes) in &outcomes {
            let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.data.status).collect();
            assert_eq!(statuses, [Status::Accepted], "{key}");
        }
        assert!(self.dead().await.is_empty(), "nothing is dead-lettered");
    }

    /// `/readyz`: the status and the body.
    pub async fn readyz(&self) -> Option<(u16, serde_json::Value)> {
        let answer = http_client().get(format!("http://{}/readyz", self.http)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// `/status`.
    pub async fn status(&self) -> serde_json::Value {
        let answer = http_client().get(format!("http://{}/status", self.http)).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    pub async fn metrics(&self) -> String {
        let answer = http_client().get(format!("http://{}/metrics", self.http)).send().await;
        answer.expect("an answer").text().await.expect("text")
    }

    /// Waits until `/readyz` is green.
    pub async fn green(&self) {
        let green = async || self.readyz().await.is_some_and(|(status, _)| status == 200);
        until(SOON, "/readyz is green", green).await;
    }

    /// Waits until `/readyz` is red because of this; gives its body.
    pub async fn red(&self, because: &str) -> String {
        let mut last = None;
        until(SOON, &format!("/readyz is red with {because}"), async || {
            last = self.readyz().await.map(|(status, body)| (status, body.to_string()));
            last.as_ref().is_some_and(|(status, body)| *status == 503 && body.contains(because))
        })
        .await;
        last.expect("an answer").1
    }
}

/// A test's own client of the program's HTTP side.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder().timeout(SOON).build().expect("a client")
}

/// Asks again and again until it is so.
pub async fn until(within: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + within;
    let mut ask = tokio::time::interval(Duration::from_millis(20));
    loop {
        ask.tick().await;
        // also the asking may have no end, of a program that takes connections and answers nothing
        let held = tokio::time::timeout_at(deadline, holds()).await;
        assert!(held.is_ok(), "within {within:?}, and without an answer: {what}");
        if held.unwrap_or_default() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "within {within:?}: {what}");
    }
}

pub fn mailbox(n: usize) -> String {
    format!("m{n}@{DEMO_DOMAIN}")
}

/// A request of about 2 KB whose subject is its id.
pub fn request(n: usize, mailbox: &str) -> String {
    let text = "All work and no play makes a dull mail. ".repeat(45);
    serde_json::json!({
        "id": format!("r{n}"),
        "mailbox": mailbox,
        "to": [format!("someone-{n}@example.org")],
        "subject": format!("r{n}"),
        "text": text,
    })
    .to_string()
}

/// A message with nothing but this.
pub fn plain(payload: impl Into<bytes::Bytes>) -> Message {
    Message { payload: payload.into(), ..Message::default() }
}

pub fn free_port() -> std::net::SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address")
}

fn config(
    plan: &Plan,
    identity: &str,
    bus: &Bus,
    sandbox: &str,
    http: std::net::SocketAddr,
) -> String {
    let Plan { guarantee, connection, state, allow, pipeline, .. } = plan;
    let state = if *state { format!("state: {}", bus.state()) } else { String::new() };
    let (section, source) = (bus.section(), bus.source());
    let [outcomes, dead] = [OUTCOMES, DEAD].map(|what| bus.target(what));
    let identity = identity.replace(TO_OUTCOMES, &outcomes);
    format!(
        r#"
http: {{ listen: "{http}" }}
{state}
connections:
  contoso:
    provider: microsoft365
    grant_type: client_credentials
{identity}
    cloud: {{ login: "{sandbox}", graph: "{sandbox}" }}
{connection}
buses:
  events: {section}
pipelines:
  orders:
    requests:
      from: {source}
      connection: contoso
      mailbox: noreply@{DEMO_DOMAIN}
      allow_mailboxes: ["{allow}"]
      guarantee: {guarantee}
      outcomes: {outcomes}
      dead_letters: {dead}
{pipeline}
"#
    )
}

/// A line of `/proc/PID/status`, in KiB.
pub fn kib(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).expect("the line");
    kib.parse().expect("a number")
}
