//! One test's world: mailboxes in a sandbox, the program, and a bus that has its events.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use mailbridge_core::{
    Message,
    contract::{Change, MailCloudEvent, MailEvent, decode},
};
use mailbridge_sandbox::{
    Arrival, Budgets, Builder, Bulk, DEMO_DOMAIN, Handle, Held, Running, Sandbox,
};
use mailbridge_testkit::program::{Launch, Program};
use tokio::task::JoinSet;

use crate::{
    bus::{Bus, DEAD, EVENTS, On},
    rig::{self, LOAD, until},
};

pub struct World {
    pub bus: Bus,
    pub sandbox: Running,
    /// Starts the program; again after a kill.
    pub launch: Launch,
    pub http: SocketAddr,
    /// Publications that were seen passing by on NATS, those that the stream dropped as repeats too.
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
    /// Over NATS.
    pub async fn new(plan: Plan) -> Self {
        Self::over(On::Nats, plan).await
    }

    pub async fn over(on: On, plan: Plan) -> Self {
        let bus = Bus::start(on, None).await;
        for what in [EVENTS, DEAD] {
            bus.make(what).await;
        }
        let sandbox = plan.sandbox.clone().start_local().await.expect("a sandbox");
        let http = rig::free_port();
        let launch = Launch::mailbridge().expect("the program");
        let (identity, _) = rig::secret(&sandbox, launch.folder());
        let config = config(&plan, &identity, &bus, &sandbox.base_url(), http);
        let launch = launch.args(["run"]).config(&config).expect("a configuration");
        let published = Arc::new(AtomicUsize::new(0));
        let mut listening = JoinSet::new();
        if let Bus::Nats(nats) = &bus {
            let mut seen = nats.watch("mail.event.>").await;
            let count = Arc::clone(&published);
            listening.spawn(async move {
                while seen.next().await.is_some() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { bus, sandbox, launch, http, published, plan, _listening: listening }
    }

    /// One more worker of the same pipeline, and where it answers.
    pub fn another(&self) -> (Program, SocketAddr) {
        let http = rig::free_port();
        let launch = Launch::mailbridge().expect("the program").args(["run"]);
        let (identity, _) = rig::secret(&self.sandbox, launch.folder());
        let config = config(&self.plan, &identity, &self.bus, &self.sandbox.base_url(), http);
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
        let messages = self.messages(EVENTS).await;
        let read = |it: &Message| decode::read(&it.payload).expect("an event");
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

    pub async fn messages(&self, what: &str) -> Vec<Message> {
        self.bus.messages(what).await
    }

    /// Waits until so many events are in the stream.
    pub async fn published(&self, count: u64, within: Duration) {
        until(within, &format!("{count} events are in the stream"), async || {
            self.bus.holds(EVENTS, count).await
        })
        .await;
    }

    /// How many events are in the stream.
    pub async fn stored(&self) -> u64 {
        self.bus.stored(EVENTS).await
    }

    /// How often something was published, with what the bus keeps from its readers: repeats that a
    /// stream has dropped, and events of transactions that came to nothing.
    pub fn publications(&self) -> usize {
        match &self.bus {
            Bus::Nats(_) => self.published.load(Ordering::Relaxed),
            Bus::Kafka(kafka) => kafka.written(EVENTS),
        }
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

fn config(plan: &Plan, identity: &str, bus: &Bus, sandbox: &str, http: SocketAddr) -> String {
    let Plan { mailboxes, rule, every, pipeline, wake, .. } = plan;
    let mailboxes: Vec<_> = (0..*mailboxes).map(rig::mailbox).collect();
    let list = format!("[{}]", mailboxes.join(", "));
    let mailboxes = if rule.is_empty() { &list } else { *rule };
    let wake = if *wake {
        format!("      wake: {{ webhook: {{ public_url: \"http://{http}\" }} }}")
    } else {
        String::new()
    };
    let (section, state) = (bus.section(), bus.state());
    let (events, dead) = (bus.target(EVENTS), bus.target(DEAD));
    format!(
        r#"
http: {{ listen: "{http}" }}
connections:
  contoso:
{identity}
    cloud: {{ login: "{sandbox}", graph: "{sandbox}" }}
buses:
  events: {section}
state: {state}
pipelines:
  support:
    events:
      connection: contoso
      mailboxes: {mailboxes}
      every: {every}
      to: {events}
      dead_letters: {dead}
{wake}
{pipeline}
"#
    )
}

/// The domain of every mailbox.
pub const DOMAIN: &str = DEMO_DOMAIN;
