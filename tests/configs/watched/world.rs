//! What is watched: workers that send and read, against one sandbox and one nats-server, and an
//! exporter of the server's lag.

use std::{fmt::Write as _, net::SocketAddr, ops::Range, time::Duration};

use async_nats::jetstream::{self, consumer::pull, stream};
use axum::{Router, extract::State, routing::get};
use futures_util::StreamExt as _;
use jiff::{Timestamp, ToSpan as _};
use mailbridge_sandbox::{
    Arrival, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Running, Sandbox,
};
use mailbridge_testkit::{
    program::{Launch, Program},
    server::NatsServer,
};
use tokio::{net::TcpListener, task::JoinSet};

/// A worker with its streams, and how it is. Its names begin with `name`.
#[derive(Clone, Copy)]
pub struct Lot {
    pub name: &'static str,
    secret: &'static str,
    /// Days until the credentials end: of the connection that sends, of the one that reads.
    days: [i64; 2],
}

impl Lot {
    pub const WELL: Self = Self { name: "well", secret: DEMO_CLIENT_SECRET, days: [300, 90] };
    pub const ILL: Self = Self { name: "ill", secret: "not-the-secret", days: [-1, 10] };

    /// One of the two that are read.
    pub fn mailbox(self, number: usize) -> String {
        format!("{}-{number}@{DEMO_DOMAIN}", self.name)
    }

    /// The stream of requests.
    fn stream(self) -> String {
        format!("{}_mail", self.name)
    }

    fn consumer(self) -> String {
        format!("mailbridge-{}", self.name)
    }
}

pub struct World {
    pub sandbox: Running,
    nats: NatsServer,
    jetstream: jetstream::Context,
    programs: Vec<(Program, SocketAddr)>,
    exporter: SocketAddr,
    _serving: JoinSet<()>,
}

impl World {
    pub async fn new() -> Self {
        let nats = NatsServer::start().await.expect("a nats-server");
        let sandbox = Sandbox::builder().seed(7).start_local().await.expect("a sandbox");
        let client = async_nats::connect(nats.url()).await.expect("a connection");
        let jetstream = jetstream::new(client);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let exporter = listener.local_addr().expect("its address");
        let mut serving = JoinSet::new();
        let app = Router::new().route("/metrics", get(lag)).with_state(jetstream.clone());
        serving.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { sandbox, nats, jetstream, programs: Vec::new(), exporter, _serving: serving }
    }

    /// Makes the lot's streams, and the consumer that a worker which was here before has left.
    pub async fn prepare(&self, lot: Lot) {
        let Lot { name, .. } = lot;
        for (stream, subject) in [(lot.stream(), "send.>"), (format!("{name}_rest"), "rest.>")] {
            let config = stream::Config {
                name: stream,
                subjects: vec![format!("{name}.{subject}")],
                duplicate_window: Duration::from_mins(2),
                ..stream::Config::default()
            };
            self.jetstream.create_stream(config).await.expect("a stream");
        }
        let consumer = pull::Config {
            durable_name: Some(lot.consumer()),
            ack_wait: Duration::from_mins(3),
            max_ack_pending: 100_000,
            filter_subject: format!("{name}.send.>"),
            ..pull::Config::default()
        };
        let made = self.jetstream.create_consumer_on_stream(consumer, lot.stream()).await;
        made.expect("a consumer");
    }

    /// Publishes requests of these numbers; every tenth is not one.
    pub async fn publish(&self, lot: Lot, numbers: Range<usize>) {
        let subject = format!("{}.send.test", lot.name);
        futures_util::stream::iter(numbers)
            .map(async |number| {
                let request = serde_json::json!({
                    "id": format!("r{number}"), "to": "bob@example.org", "subject": "Hello",
                    "mailbox": lot.mailbox(usize::from(number % 10 == 8)), "text": "Dear Bob",
                });
                let request = if number % 10 == 9 { "no".to_owned() } else { request.to_string() };
                let sent = self.jetstream.publish(subject.clone(), request.into()).await;
                sent.expect("sent").await.expect("stored");
            })
            .buffer_unordered(256)
            .collect::<Vec<()>>()
            .await;
    }

    /// A mail arrives in the lot's first mailbox.
    pub fn arrive(&self, lot: Lot, number: usize) {
        let mime = format!("From: ada@example.org\r\nSubject: {number}\r\n\r\nHello\r\n");
        let arrival = Arrival::mime(lot.mailbox(0), mime);
        self.sandbox.handle().receive(&arrival).expect("it arrives");
    }

    /// Starts the lot's worker.
    pub fn start(&mut self, lot: Lot) {
        let http = free_port();
        let launch = Launch::mailbridge().expect("the program").args(["run"]);
        for (file, secret) in [("sends", lot.secret), ("reads", DEMO_CLIENT_SECRET)] {
            std::fs::write(launch.folder().join(file), secret).expect("a secret file");
        }
        let config = config(lot, self.nats.url(), &self.sandbox.base_url(), http);
        let launch = launch.config(&config).expect("a configuration");
        self.programs.push((launch.start().expect("the program starts"), http));
    }

    /// Who is to be scraped.
    pub fn targets(&self) -> Vec<SocketAddr> {
        let workers = self.programs.iter().map(|(_, http)| *http);
        workers.chain([self.exporter]).collect()
    }
}

/// The lag, under the names of prometheus-nats-exporter (`-jsz=consumers`).
async fn lag(State(jetstream): State<jetstream::Context>) -> String {
    let mut told = String::new();
    for lot in [Lot::WELL, Lot::ILL] {
        let name = lot.consumer();
        // it has none when the lot is not in the test
        let Ok(stream) = jetstream.get_stream(lot.stream()).await else { continue };
        let consumer = stream.get_consumer::<pull::Config>(&name).await;
        let mut consumer = consumer.expect("the consumer");
        let pending = consumer.info().await.expect("consumer info").num_pending;
        let stream = lot.stream();
        let labels = format!("stream_name=\"{stream}\",consumer_name=\"{name}\"");
        writeln!(told, "jetstream_consumer_num_pending{{{labels}}} {pending}").expect("a string");
    }
    told
}

fn free_port() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address")
}

fn config(lot: Lot, nats: &str, sandbox: &str, http: SocketAddr) -> String {
    let Lot { name, days, .. } = lot;
    let [sends, reads] = days.map(|days| Timestamp::now() + (days * 24 + 1).hours());
    let (stream, consumer) = (lot.stream(), lot.consumer());
    let [first, second] = [0, 1].map(|number| lot.mailbox(number));
    let connection = |it: &str, ends: Timestamp| {
        format!(
            "  {name}-{it}:
    tenant: {DEMO_TENANT_ID}
    client_id: {DEMO_CLIENT_ID}
    credential: {{ client_secret: {{ file: {it} }}, expires: {ends} }}
    cloud: {{ login: '{sandbox}', graph: '{sandbox}' }}"
        )
    };
    format!(
        "http: {{ listen: '{http}' }}
connections:
{}
{}
buses:
  events: {{ nats: {{ servers: ['{nats}'] }} }}
state: {{ bus: events, bucket: {name}, create: true }}
pipelines:
  {name}-orders:
    requests:
      from:
        bus: events
        stream: {stream}
        consumer: {consumer}
        subjects: ['{name}.send.>']
      connection: {name}-sends
      mailbox: {first}
      allow_mailboxes: ['*@{DEMO_DOMAIN}']
      outcomes: {{ bus: events, subject: {name}.rest.outcome }}
      dead_letters: {{ bus: events, subject: {name}.rest.dead }}
  {name}-support:
    events:
      connection: {name}-reads
      mailboxes: ['{first}', '{second}']
      every: 1s
      start: all
      to: {{ bus: events, subject: {name}.rest.event }}
",
        connection("sends", sends),
        connection("reads", reads),
    )
}
