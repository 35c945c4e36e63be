//! One test's world: mailboxes in a sandbox, the program, and a nats-server that has its events.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{self, stream};
use futures_util::StreamExt as _;
use mailbridge_core::contract::{Change, MailCloudEvent, MailEvent, decode};
use mailbridge_sandbox::{
    Arrival, Budgets, Builder, Bulk, DEMO_DOMAIN, Handle, Held, Running, Sandbox,
};
use mailbridge_testkit::{
    program::{Launch, Program},
    server::NatsServer,
};
use tokio::task::JoinSet;

use crate::rig::{self, LOAD, until};

pub struct World {
    pub nats: NatsServer,
    pub sandbox: Running,
    pub jetstream: jetstream::Context,
    /// Starts the program; again after a kill.
    pub launch: Launch,
    pub http: SocketAddr,
    /// Publications that were seen passing by, those that the stream dropped as repeats too.
    published: Arc<AtomicUsize>,
    plan: Plan,
    _listening: JoinSet<()>,
}

/// What differs from test to test.
#[derive(Clone)]
pub struct Plan {
    pub mailboxes: usize,
    /// In their place: what the pipeline finds its mailboxes by.
    pub rule: &'static str,
    /// How often they are looked at.
    pub every: &'static str,
    /// Lines for the pipeline, six spaces deep.
    pub pipeline: &'static str,
    /// Whether Graph calls.
    pub wake: bool,
    pub sandbox: Builder,
}

impl Default for Plan {
    fn default() -> Self {
        let sandbox = Sandbox::builder().seed(7).budgets(Budgets::graph());
        Self {
            mailboxes: 3,
            every: "1s",
            rule: "",
            pipeline: "      start: all",
            wake: false,
            sandbox,
        }
    }
}

impl World {
    pub async fn new(plan: Plan) -> Self {
        let nats = NatsServer::start().await.expect("a nats-server");
        let sandbox = plan.sandbox.clone().start_local().await.expect("a sandbox");
        let client = async_nats::connect(nats.url()).await.expect("a connection");
        let jetstream = jetstream::new(client.clone());
        let http = rig::free_port();
        let launch = Launch::mailbridge().expect("the program");
        let (identity, _) = rig::secret(&sandbox, launch.folder());
        let config = config(&plan, &identity, nats.url(), &sandbox.base_url(), http);
        let launch = launch.args(["run"]).config(&config).expect("a configuration");
        for (name, subject) in [("EVENTS", "mail.event.>"), ("DEAD", "mail.dead")] {
            let config = stream::Config {
                name: name.into(),
                subjects: vec![subject.into()],
                duplicate_window: Duration::from_mins(10),
                ..stream::Config::default()
            };
            jetstream.create_stream(config).await.expect("a stream");
        }
        let published = Arc::new(AtomicUsize::new(0));
        let mut listening = JoinSet::new();
        let mut seen = client.subscribe("mail.event.>").await.expect("a subscription");
        let count = Arc::clone(&published);
        listening.spawn(async move {
            while seen.next().await.is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { nats, sandbox, jetstream, launch, http, published, plan, _listening: listening }
    }

    /// One more worker of the same pipeline, and where it answers.
    pub fn another(&self) -> (Program, SocketAddr) {
        let http = rig::free_port();
        let launch = Launch::mailbridge().expect("the program").args(["run"]);
        let (identity, _) = rig::secret(&self.sandbox, launch.folder());
        let (nats, sandbox) = (self.nats.url(), self.sandbox.base_url());
        let config = config(&self.plan, &identity, nats, &sandbox, http);
        let launch = launch.config(&config).expect("a configuration");
        (launch.start().expect("the program starts"), http)
    }

    pub fn start(&self) -> Program {
        self.launch.start().expect("the program starts")
    }

    pub fn handle(&self) -> &Handle {
        self.sandbox.handle()
    }

    /// So many mails arrive in a mailbox; `name` goes before their numbers.
    pub fn arrive(&self, mailbox: usize, count: u64, name: &str) {
        let seed = name.bytes().fold(mailbox as u64, |seed, byte| seed * 31 + u64::from(byte));
        let bulk =
            Bulk { seed, subject: name.to_owned(), ..Bulk::new(rig::mailbox(mailbox), count) };
        self.handle().receive_many(&bulk).expect("they arrive");
    }

    /// One mail as RFC 5322 text.
    pub fn write(&self, mailbox: usize, mime: &str) {
        let arrival = Arrival::mime(rig::mailbox(mailbox), mime);
        self.handle().receive(&arrival).expect("it arrives");
    }

    /// What is really in a folder.
    pub fn held(&self, mailbox: usize, folder: &str) -> Vec<Held> {
        self.handle().contents(&rig::mailbox(mailbox), folder).expect("a folder")
    }

    /// Every event in the stream, in its order.
    pub async fn events(&self) -> Vec<MailCloudEvent> {
        let messages = self.messages("EVENTS").await;
        let read =
            |it: &jetstream::message::StreamMessage| decode::read(&it.payload).expect("an event");
        messages.iter().map(read).collect()
    }

    /// The mails that were told to have been received, by mailbox, in the stream's order.
    pub async fn received(&self) -> BTreeMap<String, Vec<MailEvent>> {
        let mut received = BTreeMap::<_, Vec<MailEvent>>::new();
        for event in self.events().await {
            assert_eq!(event.change, Change::Received, "{}", event.event.id);
            received.entry(event.mailbox.clone()).or_default().push(event.event.data);
        }
        received
    }

    pub async fn messages(&self, stream: &str) -> Vec<jetstream::message::StreamMessage> {
        /// Asked for at once.
        const AHEAD: usize = 64;
        let mut stream = self.jetstream.get_stream(stream).await.expect("the stream");
        let state = stream.info().await.expect("stream info").state.clone();
        if state.messages == 0 {
            return Vec::new();
        }
        let sequences = futures_util::stream::iter(state.first_sequence..=state.last_sequence);
        let messages = sequences.map(|sequence| stream.get_raw_message(sequence)).buffered(AHEAD);
        messages.map(|message| message.expect("a message")).collect().await
    }

    /// Waits until so many events are in the stream.
    pub async fn published(&self, count: u64, within: Duration) {
        until(within, &format!("{count} events are in the stream"), async || {
            self.stored().await >= count
        })
        .await;
    }

    /// How many events are in the stream.
    pub async fn stored(&self) -> u64 {
        let mut stream = self.jetstream.get_stream("EVENTS").await.expect("the stream");
        stream.info().await.expect("stream info").state.messages
    }

    /// How often something was published, repeats that the stream has dropped included.
    pub fn publications(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }

    /// Waits until every mail of these mailboxes is in the stream, and then holds the stream
    /// against the inboxes: each once, in the order of arrival.
    pub async fn assert_as_in_inboxes(&self, mailboxes: usize) {
        let all: Vec<_> = (0..mailboxes).map(|n| self.held(n, "inbox")).collect();
        let count = all.iter().map(Vec::len).sum::<usize>();
        self.published(count as u64, LOAD).await;
        let received = self.received().await;
        for (n, held) in all.iter().enumerate() {
            let told = received.get(&rig::mailbox(n)).map(Vec::as_slice).unwrap_or_default();
            let told: Vec<_> = told.iter().map(|mail| mail.message_id.0.as_str()).collect();
            let there: Vec<_> = held.iter().map(|mail| mail.immutable_id.as_str()).collect();
            assert!(told == there, "mailbox {n}: {} told, {} there", told.len(), there.len());
        }
    }

    /// `/readyz`, `/status` or `/metrics`.
    pub async fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.http);
        rig::http_client().get(url).send().await.ok()?.text().await.ok()
    }

    /// A call such as Graph makes: the status of its answer.
    pub async fn call(&self, path: &str, body: &str) -> u16 {
        let url = format!("http://{}{path}", self.http);
        let answer = rig::http_client().post(url).body(body.to_owned()).send().await;
        answer.expect("an answer").status().as_u16()
    }

    /// Waits until `/readyz` is green.
    pub async fn green(&self) {
        until(rig::SOON, "/readyz is green", async || {
            self.get("/readyz").await.is_some_and(|body| body.contains("\"ready\":true"))
        })
        .await;
    }
}

fn config(plan: &Plan, identity: &str, nats: &str, sandbox: &str, http: SocketAddr) -> String {
    let Plan { mailboxes, rule, every, pipeline, wake, .. } = plan;
    let mailboxes: Vec<_> = (0..*mailboxes).map(rig::mailbox).collect();
    let list = format!("[{}]", mailboxes.join(", "));
    let mailboxes = if rule.is_empty() { &list } else { *rule };
    let wake = if *wake {
        format!("      wake: {{ webhook: {{ public_url: \"http://{http}\" }} }}")
    } else {
        String::new()
    };
    format!(
        r#"
http: {{ listen: "{http}" }}
connections:
  contoso:
{identity}
    cloud: {{ login: "{sandbox}", graph: "{sandbox}" }}
buses:
  events: {{ nats: {{ servers: ["{nats}"] }} }}
state: {{ bus: events, bucket: mailbridge, create: true }}
pipelines:
  support:
    events:
      connection: contoso
      mailboxes: {mailboxes}
      every: {every}
      to: {{ bus: events, subject: "mail.event.{{mailbox}}" }}
      dead_letters: {{ bus: events, subject: mail.dead }}
{wake}
{pipeline}
"#
    )
}

/// The domain of every mailbox.
pub const DOMAIN: &str = DEMO_DOMAIN;
