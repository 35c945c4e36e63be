//! One test's world: a nats-server, a sandbox, and the program between them.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{self, consumer::pull, stream},
};
use futures_util::{StreamExt as _, stream as streams};
use mailbridge_core::contract::{Outcome, Status, decode};
use mailbridge_sandbox::{
    Budgets, Builder, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Handle,
    Running, Sandbox,
};
use mailbridge_testkit::{
    program::{Launch, Program},
    server::NatsServer,
};

/// How long a test waits for something that ought to happen soon.
pub const SOON: Duration = Duration::from_mins(1);
/// How long a test waits for a whole load.
pub const LOAD: Duration = Duration::from_mins(8);

pub struct Rig {
    pub nats: NatsServer,
    pub sandbox: Running,
    pub jetstream: jetstream::Context,
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
    /// Where state is kept, as one line.
    pub state: &'static str,
    /// Mailboxes that requests may name.
    pub allow: &'static str,
    /// Lines for the pipeline, six spaces deep.
    pub pipeline: String,
    /// More arguments for `run`.
    pub args: Vec<&'static str>,
    pub sandbox: Builder,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            guarantee: "once",
            identity: secret,
            connection: "",
            state: "",
            allow: "*@contoso.example",
            pipeline: "      deadline: 5s\n      settle_time: 5s".to_owned(),
            args: Vec::new(),
            sandbox: Sandbox::builder().seed(7).budgets(Budgets::graph()),
        }
    }
}

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
    pub async fn new(plan: Plan) -> Self {
        Self::over(NatsServer::start().await.expect("a nats-server"), plan).await
    }

    /// Over a server that takes large messages.
    pub async fn with_payloads_up_to(bytes: usize, plan: Plan) -> Self {
        let config = format!("max_payload: {bytes}");
        let nats = NatsServer::with_config(&config).await.expect("a nats-server");
        Self::over(nats, plan).await
    }

    async fn over(nats: NatsServer, plan: Plan) -> Self {
        let sandbox = plan.sandbox.clone().start_local().await.expect("a sandbox");
        let client = async_nats::connect(nats.url()).await.expect("a connection");
        let jetstream = jetstream::new(client);
        let http = free_port();
        let launch = Launch::mailbridge().expect("the program");
        let (identity, environment) = (plan.identity)(&sandbox, launch.folder());
        let config = config(&plan, &identity, nats.url(), &sandbox.base_url(), http);
        let launch =
            launch.args(["run"]).args(&plan.args).config(&config).expect("a configuration");
        let launch =
            environment.into_iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        for (name, subject) in [("OUTCOMES", "mail.outcome"), ("DEAD", "mail.dead")] {
            let config = stream::Config {
                name: name.into(),
                subjects: vec![subject.into()],
                ..stream::Config::default()
            };
            jetstream.create_stream(config).await.expect("a stream");
        }
        let requests = stream::Config {
            name: "MAIL".into(),
            subjects: vec!["mail.send.>".into()],
            retention: stream::RetentionPolicy::WorkQueue,
            ..stream::Config::default()
        };
        let requests = jetstream.create_stream(requests).await.expect("a stream");
        let consumer = pull::Config {
            durable_name: Some("mailbridge".into()),
            ack_wait: Duration::from_secs(12),
            max_ack_pending: 10_000,
            filter_subject: "mail.send.>".into(),
            ..pull::Config::default()
        };
        requests.create_consumer(consumer).await.expect("a consumer");
        Self { nats, sandbox, jetstream, launch, http }
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

    pub async fn publish(&self, payload: impl Into<bytes::Bytes>, headers: HeaderMap) {
        let published =
            self.jetstream.publish_with_headers("mail.send.test", headers, payload.into()).await;
        published.expect("sent").await.expect("stored");
    }

    /// Publishes requests `first..first + count`, spread over `mailboxes`.
    pub async fn publish_load(&self, first: usize, count: usize, mailboxes: usize) {
        streams::iter(first..first + count)
            .map(|n| self.publish(request(n, &mailbox(n % mailboxes)), HeaderMap::new()))
            .buffer_unordered(128)
            .collect::<Vec<()>>()
            .await;
    }

    /// Waits until the consumer has nothing left, and checks that nothing is left on the way.
    pub async fn drained(&self, within: Duration) {
        let stream = self.jetstream.get_stream("MAIL").await.expect("the stream");
        let mut consumer =
            stream.get_consumer::<pull::Config>("mailbridge").await.expect("the consumer");
        until(within, "the consumer has nothing left", async || {
            let info = consumer.info().await.expect("consumer info");
            info.num_pending == 0 && info.num_ack_pending == 0
        })
        .await;
        // the server removes what was acknowledged a moment after it has counted that
        let mut stream = self.jetstream.get_stream("MAIL").await.expect("the stream");
        until(SOON, "nothing is left", async || {
            stream.info().await.expect("stream info").state.messages == 0
        })
        .await;
    }

    /// Waits until so many mails were really sent.
    pub async fn sent(&self, count: u64, within: Duration) {
        let what = format!("{count} mails are sent");
        until(within, &what, async || self.handle().truth().sent_total() >= count).await;
    }

    /// Every message of a stream.
    pub async fn messages(&self, stream: &str) -> Vec<jetstream::message::StreamMessage> {
        let mut stream = self.jetstream.get_stream(stream).await.expect("the stream");
        let state = stream.info().await.expect("stream info").state.clone();
        let mut messages = Vec::new();
        if state.messages == 0 {
            return messages;
        }
        for sequence in state.first_sequence..=state.last_sequence {
            messages.push(stream.get_raw_message(sequence).await.expect("a message"));
        }
        messages
    }

    /// The final outcomes by key.
    pub async fn outcomes(&self) -> BTreeMap<String, Vec<Outcome>> {
        let mut outcomes = BTreeMap::<_, Vec<Outcome>>::new();
        for message in self.messages("OUTCOMES").await {
            let outcome: Outcome = decode::read(&message.payload).expect("an outcome");
            outcomes.entry(outcome.data.key.clone()).or_default().push(outcome);
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
        assert!(self.messages("DEAD").await.is_empty(), "nothing is dead-lettered");
    }

    /// `/readyz`: the status and the body.
    pub async fn readyz(&self) -> Option<(u16, serde_json::Value)> {
        let answer = http_client().get(format!("http://{}/readyz", self.http)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
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

#[expect(clippy::disallowed_methods, reason = "a test's own client of the program's HTTP side")]
pub fn http_client() -> reqwest::Client {
    reqwest::Client::new()
}

/// Asks again and again until it is so.
pub async fn until(within: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + within;
    let mut ask = tokio::time::interval(Duration::from_millis(20));
    loop {
        ask.tick().await;
        if holds().await {
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

pub fn free_port() -> std::net::SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address")
}

fn config(
    plan: &Plan,
    identity: &str,
    nats: &str,
    sandbox: &str,
    http: std::net::SocketAddr,
) -> String {
    let Plan { guarantee, connection, state, allow, pipeline, .. } = plan;
    let state = if state.is_empty() { String::new() } else { format!("state: {state}") };
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
  events: {{ nats: {{ servers: ["{nats}"] }} }}
pipelines:
  orders:
    requests:
      from: {{ bus: events, stream: MAIL, consumer: mailbridge, subjects: ["mail.send.>"] }}
      connection: contoso
      mailbox: noreply@{DEMO_DOMAIN}
      allow_mailboxes: ["{allow}"]
      guarantee: {guarantee}
      outcomes: {{ bus: events, subject: mail.outcome }}
      dead_letters: {{ bus: events, subject: mail.dead }}
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
