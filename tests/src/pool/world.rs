//! The servers of a pool, and the load on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{
    ConnectOptions,
    jetstream::{self, consumer::pull, stream},
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use mailbridge_sandbox::{
    Budgets, Bulk, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Running,
    Sandbox,
};
use mailbridge_testkit::server::NatsServer;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::Sizes;

/// Between two handfuls of load.
const TICK: Duration = Duration::from_millis(100);
/// How long the bus waits for a worker that has a request: less than any sleeps.
const ACK_WAIT: Duration = Duration::from_secs(7);
/// Longer than any run: what the streams have seen, they do not take again.
const WINDOW: Duration = Duration::from_hours(1);

/// Servers and streams, and what was put into them.
pub(super) struct World {
    pub nats: NatsServer,
    pub sandbox: Running,
    pub jetstream: jetstream::Context,
    pub sizes: Sizes,
    /// When each request was published, and each mail arrived, by mailbox.
    pub requested: Vec<Timestamp>,
    pub arrived: Vec<Vec<Timestamp>>,
    published: Arc<AtomicUsize>,
    _listening: JoinSet<()>,
}

pub(super) fn mailbox(number: usize) -> String {
    format!("m{number}@{DEMO_DOMAIN}")
}

/// Two users of the server: one who may do everything, and a worker, who may do what the guide says.
fn users() -> String {
    let guide = include_str!("../../../docs/guide/nats.md");
    let (_, permissions) = guide.split_once("```conf\n").expect("the guide has the permissions");
    let (permissions, _) = permissions.split_once("```").expect("they end");
    format!(
        "authorization {{ users = [
            {{ user: admin, password: admin }}
            {{ user: worker, password: worker, permissions {{ {permissions} }} }}
        ] }}"
    )
}

impl World {
    pub async fn start(sizes: Sizes) -> Self {
        let nats = NatsServer::with_config(&users()).await.expect("a nats-server");
        let sandbox = Sandbox::builder()
            .seed(7)
            .budgets(Budgets::graph())
            .latency(sizes.latency..=sizes.latency * 2)
            .visibility_delay(Duration::ZERO..=Duration::from_secs(2));
        let sandbox = sandbox.start_local().await.expect("a sandbox");
        let admin = ConnectOptions::with_user_and_password("admin".into(), "admin".into());
        let client = admin.connect(nats.url()).await.expect("a connection");
        let jetstream = jetstream::new(client.clone());
        for (name, subject) in [
            ("MAIL", "mail.send"),
            ("OUTCOMES", "mail.outcome"),
            ("EVENTS", "mail.event.>"),
            ("DEAD", "mail.dead"),
        ] {
            let config = stream::Config {
                name: name.into(),
                subjects: vec![subject.into()],
                duplicate_window: WINDOW,
                ..stream::Config::default()
            };
            jetstream.create_stream(config).await.expect("a stream");
        }
        let consumer = pull::Config {
            durable_name: Some("mailbridge".into()),
            ack_wait: ACK_WAIT,
            max_ack_pending: 10_000,
            ..pull::Config::default()
        };
        jetstream.create_consumer_on_stream(consumer, "MAIL").await.expect("a consumer");
        let mut seen = client.subscribe("mail.event.>").await.expect("a subscription");
        let published = Arc::new(AtomicUsize::new(0));
        let (count, mut listening) = (Arc::clone(&published), JoinSet::new());
        listening.spawn(async move {
            while seen.next().await.is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let arrived = vec![Vec::new(); sizes.mailboxes];
        Self {
            nats,
            sandbox,
            jetstream,
            sizes,
            requested: Vec::new(),
            arrived,
            published,
            _listening: listening,
        }
    }

    /// The configuration of a worker. They are identical.
    pub fn config(&self) -> String {
        let Sizes { mailboxes, lease, every, .. } = &self.sizes;
        let mailboxes: Vec<_> = (0..*mailboxes).map(mailbox).collect();
        format!(
            r#"
connections:
  contoso:
    tenant: {DEMO_TENANT_ID}
    client_id: {DEMO_CLIENT_ID}
    credential: {{ client_secret: "{DEMO_CLIENT_SECRET}" }}
    cloud: {{ login: "{graph}", graph: "{graph}" }}
buses:
  events: 
    nats: {{ servers: ["{nats}"], auth: {{ user: worker, password: worker }} }}
state: {{ bus: events, bucket: mailbridge }}
pipelines:
  orders:
    requests:
      from: {{ bus: events, stream: MAIL, consumer: mailbridge }}
      connection: contoso
      allow_mailboxes: ["*@{DEMO_DOMAIN}"]
      guarantee: once
      outcomes: {{ bus: events, subject: mail.outcome }}
      dead_letters: {{ bus: events, subject: mail.dead }}
      deadline: 3s
      settle_time: 5s
  support:
    events:
      connection: contoso
      mailboxes: [{mailboxes}]
      start: all
      body: none
      every: {every}s
      lease: {lease}ms
      to: {{ bus: events, subject: "mail.event.{{mailbox}}" }}
      dead_letters: {{ bus: events, subject: mail.dead }}
"#,
            graph = self.sandbox.base_url(),
            nats = self.nats.url(),
            mailboxes = mailboxes.join(", "),
            every = every.as_secs(),
            lease = lease.as_millis(),
        )
    }

    /// How often an event was published, repeats that the stream has dropped included.
    pub fn publications(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }

    /// Publishes requests and lets mails arrive, both evenly over the mailboxes, until it is
    /// done.
    pub async fn load(&mut self, is_done: impl Fn() -> bool) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (began, before) = (Instant::now(), (self.requested.len(), self.mails()));
        while !is_done() {
            ticks.tick().await;
            let due = |a_second: usize| a_second * millis(began.elapsed()) / 1000;
            while self.requested.len() < before.0 + due(self.sizes.requests) {
                self.request().await;
            }
            let mut mails = self.mails();
            while mails < before.1 + due(self.sizes.arrivals) {
                self.arrive(mails);
                mails += 1;
            }
        }
    }

    /// The same for so long.
    pub async fn load_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        self.load(|| Instant::now() >= until).await;
    }

    /// How many mails have arrived.
    pub fn mails(&self) -> usize {
        self.arrived.iter().map(Vec::len).sum()
    }

    async fn request(&mut self) {
        let number = self.requested.len();
        let request = serde_json::json!({
            "id": format!("r{number}"),
            "mailbox": mailbox(number % self.sizes.mailboxes),
            "to": [format!("someone-{number}@example.org")],
            "subject": format!("r{number}"),
            "text": "All work and no play makes a dull mail.",
        });
        self.requested.push(Timestamp::now());
        let stored = self.jetstream.publish("mail.send", request.to_string().into()).await;
        stored.expect("sent").await.expect("stored");
    }

    fn arrive(&mut self, number: usize) {
        let to = number % self.sizes.mailboxes;
        self.arrived[to].push(Timestamp::now());
        let (seed, subject) = (number as u64, format!("mail {number}"));
        let bulk = Bulk { seed, subject, ..Bulk::new(mailbox(to), 1) };
        self.sandbox.handle().receive_many(&bulk).expect("it arrives");
    }
}

fn millis(duration: Duration) -> usize {
    usize::try_from(duration.as_millis()).expect("not for years")
}
