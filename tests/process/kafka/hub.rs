//! Graph's calls by way of an event hub, which is a topic: the sandbox keeps what Graph would put
//! there, and the test carries it to the broker, as Azure does.

use std::net::SocketAddr;

use mailbridge_core::contract::{MailCloudEvent, decode};
use mailbridge_sandbox::{Budgets, Bulk, HubMessage, LifecycleEvent, Running, Sandbox};
use mailbridge_testkit::program::{Launch, Program};
use rdkafka::{Message as _, producer::FutureRecord, util::Timeout};
use serde_json::Value;

use super::rig::{Plan, Rig};
use crate::rig::{LOAD, SOON, free_port, http_client, mailbox, secret, until};

const HUB: &str = "EventHub:https://ns.servicebus.windows.net/eventhubname/calls?tenantId=a.org";

struct World {
    rig: Rig,
    sandbox: Running,
    http: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let rig = Rig::new(Plan { topics: false, ..Plan::default() }).await;
        rig.make_topic("events", 1).await;
        let sandbox = Sandbox::builder().seed(7).budgets(Budgets::graph());
        let sandbox = sandbox.start_local().await.expect("a sandbox");
        Self { rig, sandbox, http: free_port() }
    }

    fn start(&self, every: &str, backstop: &str) -> Program {
        let launch = Launch::mailbridge().expect("the program").args(["run"]);
        let (identity, _) = secret(&self.sandbox, launch.folder());
        let (broker, sandbox, http) = (&self.rig.broker, self.sandbox.base_url(), self.http);
        let topic = |what| self.rig.topic(what);
        let config = format!(
            r#"
http: {{ listen: "{http}" }}
connections:
  contoso:
{identity}
    cloud: {{ login: "{sandbox}", graph: "{sandbox}" }}
buses:
  log: {{ kafka: {{ brokers: ["{broker}"] }} }}
state: {{ bus: log, topic: "{}", create: true }}
pipelines:
  support:
    events:
      connection: contoso
      mailboxes: [{}]
      every: {every}
      backstop: {backstop}
      wake:
        event_hub:
          url: "{HUB}"
          from: {{ bus: log, topics: ["{}"], group: "{}" }}
      to: {{ bus: log, topic: "{}" }}
"#,
            topic("state"),
            mailbox(0),
            topic("calls"),
            self.rig.group(),
            topic("events"),
        );
        launch.config(&config).expect("a configuration").start().expect("it starts")
    }

    async fn get(&self, path: &str) -> String {
        let answer = http_client().get(format!("http://{}{path}", self.http)).send().await;
        match answer {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    fn arrive(&self, subject: &str, seed: u64) {
        let one = Bulk::new(mailbox(0), 1);
        let bulk = Bulk { seed, subject: subject.to_owned(), ..one };
        self.sandbox.handle().receive_many(&bulk).expect("it arrives");
    }

    async fn next(&self) -> HubMessage {
        let taken = tokio::time::timeout(SOON, self.sandbox.handle().take_from_hub()).await;
        let message = taken.expect("something is put into the hub");
        assert_eq!(message.hub, HUB);
        message
    }

    async fn carry(&self, body: &str) {
        let topic = self.rig.topic("calls");
        let record = FutureRecord::<str, str>::to(&topic).payload(body);
        self.rig.producer.send(record, Timeout::Never).await.expect("it is stored");
    }

    fn told(&self) -> usize {
        let records = self.rig.records("events");
        let events = records.iter().map(|it| {
            decode::read::<MailCloudEvent>(it.payload().expect("a value")).expect("an event")
        });
        events.count()
    }

    /// Waits until `/readyz` says so.
    async fn ready(&self, what: &str) {
        until(SOON, what, async || self.get("/readyz").await.contains(what)).await;
    }

    async fn counted(&self, result: &str) {
        let line = format!("mailbridge_notifications_total{{result=\"{result}\"}} 1");
        until(SOON, &line, async || self.get("/metrics").await.contains(&line)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_an_event_hub_wake_their_mailbox() {
    let world = World::new().await;
    world.rig.make_topic("calls", 1).await;
    // so seldom that only a call explains an event
    let _program = world.start("10m", "10m");
    // before it grants a subscription, Graph tries the hub, once for each of the two addresses
    for _ in 0..2 {
        let trial = world.next().await.body;
        assert!(trial.contains("Validation: Testing client application reachability"), "{trial}");
        world.carry(&trial).await;
    }
    let subscribed = "every mailbox has its subscription";
    let handle = world.sandbox.handle();
    until(SOON, subscribed, async || handle.subscriptions().len() == 1).await;
    // the look that follows a subscription is over
    world.ready("\"ready\":true").await;
    until(SOON, "it sleeps", async || {
        world.get("/status").await.contains("\"subscribed_until\":\"")
    })
    .await;

    assert_eq!(world.told(), 0, "nothing was there");
    world.arrive("one", 1);
    let call = world.next().await.body;
    // what is in the hub wakes nobody who does not read it, and what is forged wakes nobody
    let mut forged: Value = serde_json::from_str(&call).expect("JSON");
    forged["value"][0]["clientState"] = "guessed".into();
    world.carry(&forged.to_string()).await;
    world.counted("wrong_state").await;
    world.carry("no JSON at all").await;
    assert_eq!(world.told(), 0);

    world.carry(&call).await;
    until(LOAD, "the mail is told", async || world.told() == 1).await;
    world.counted("woken").await;
    let metrics = world.get("/metrics").await;
    assert!(!metrics.contains("result=\"unknown\""), "a trial is nobody's: {metrics}");

    // what becomes of the subscription is told by the hub as well
    let gone = handle.subscriptions()[0].id.clone();
    handle.lifecycle(None, LifecycleEvent::SubscriptionRemoved).expect("there is one");
    world.carry(&world.next().await.body).await;
    until(SOON, "there is another subscription", async || {
        handle.subscriptions().iter().any(|one| one.id != gone)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_cannot_be_read_is_told_and_mail_is_found_all_the_same() {
    let world = World::new().await;
    let _program = world.start("1s", "2s");
    world.ready("bus_stream_missing").await;
    assert!(world.get("/readyz").await.contains(&world.rig.topic("calls")));
    until(SOON, "the mailbox is known", async || {
        world.get("/status").await.contains("\"subscribed_until\":\"")
    })
    .await;
    world.arrive("one", 1);
    until(LOAD, "the mail is told", async || world.told() == 1).await;
    world.rig.make_topic("calls", 1).await;
    world.ready("\"ready\":true").await;
}
