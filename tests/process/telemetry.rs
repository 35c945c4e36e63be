//! One trace from a producer over a bus, through the program and Graph, to whoever reads the outcome;
//! and mail that is sent whatever becomes of traces.

mod collector;

use std::time::Duration;

use mailbridge_core::{Headers, Message};
use mailbridge_sandbox::{Fault, Operation};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;
use tokio::net::TcpListener;

use self::collector::{Collector, Seen};
use crate::{
    bus::{EVENTS, OUTCOMES, On, over_each_bus},
    inbound::world::{self, World},
    rig::{LOAD, Plan, Rig, SOON, free_port, mailbox, plain, until},
};

over_each_bus!(one_trace_goes_from_the_producer_to_the_outcome);

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PRODUCER: &str = "b7ad6b7169203331";
/// Planted wherever mail is; a span has none of them.
const MARKERS: [&str; 5] =
    ["planted-to", "planted-subject", "planted-text", "planted-from", "s3cr3t"];

fn traceparent() -> String {
    format!("00-{TRACE}-{PRODUCER}-01")
}

fn planted(id: &str) -> String {
    json!({
        "id": id, "mailbox": "planted-from@contoso.example", "to": "planted-to@example.org",
        "subject": "planted-subject", "text": "planted-text",
    })
    .to_string()
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

fn only<'a>(spans: &'a [Seen], kind: SpanKind, name: &str) -> &'a Seen {
    let found: Vec<_> = spans.iter().filter(|it| it.kind() == kind && it.name() == name).collect();
    assert_eq!(found.len(), 1, "{kind:?} {name} in {spans:#?}");
    found[0]
}

/// What a mail that was sent leaves behind; the span that its outcome comes from.
fn assert_sent(spans: &[Seen], system: &str) -> String {
    // over Kafka it comes back while an earlier worker's attempt could still show in the mailbox
    let status = |it: &Seen| it.get("mailbridge.status").expect("how it ended");
    let mut ended: Vec<_> = spans.iter().filter(|it| it.kind() == SpanKind::Consumer).collect();
    ended.retain(|it| status(it) != "again");
    let [process] = ended[..] else { panic!("one that ended: {spans:#?}") };
    assert_eq!((process.name(), status(process).as_str()), ("process orders", "accepted"));
    assert_eq!(process.parent(), PRODUCER, "the producer's child");
    assert_eq!(process.get("messaging.system").as_deref(), Some(system));
    let calls = spans.iter().filter(|it| it.parent() == process.id());
    let mut sends = calls.filter(|it| it.kind() == SpanKind::Client && it.name().contains("send"));
    let sent = sends.next_back().expect("the call that sends");
    assert_eq!(sent.get("http.request.method").as_deref(), Some("POST"));
    assert_eq!(sent.get("http.response.status_code").as_deref(), Some("202"));
    assert!(sent.get("azure.service.request.id").is_some(), "{sent:#?}");
    assert!(sent.get("url.template").expect("a template").starts_with("/users/{id}/"));
    let published = only(spans, SpanKind::Producer, "publish outcome");
    assert_eq!(published.parent(), process.id());
    published.id()
}

async fn one_trace_goes_from_the_producer_to_the_outcome(on: On) {
    let collector = Collector::start().await;
    let mut rig = Rig::new(on, Plan::default()).await;
    rig.launch = rig
        .launch
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer s3cr3t")
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=mails,deployment.environment.name=test");
    let headers = Headers::new().with("traceparent", traceparent()).with("tracestate", "shop=1");
    rig.publish(Message { headers, ..plain(planted("r1")) }).await;
    let mut program = rig.start();
    rig.drained(SOON).await;

    let system = if on == On::Nats { "nats" } else { "kafka" };
    let publisher = assert_sent(&collector.ended(TRACE, SOON).await, system);
    let outcomes = rig.bus.messages(OUTCOMES).await;
    let handed_on = |name: &str| outcomes[0].headers.get(name).map(ToString::to_string);
    assert_eq!(handed_on("traceparent"), Some(format!("00-{TRACE}-{publisher}-01")));
    assert_eq!(handed_on("tracestate").as_deref(), Some("shop=1"));
    let outcome = rig.outcomes().await.remove("r1").expect("an outcome").remove(0);
    assert_eq!(outcome.traceparent, Some(traceparent()), "the event keeps its producer's");
    assert_eq!(collector.service().as_deref(), Some("mails"));
    assert!(collector.authorization().iter().all(|it| it == "Bearer s3cr3t"));

    program.sigterm().expect("asked to stop");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    let raw = collector.raw();
    assert!(has(&raw, "process orders"), "the search finds what is there");
    for marker in MARKERS {
        assert!(!has(&raw, marker), "{marker} is in a span");
    }
    assert!(!program.lines().iter().any(|line| line.text.contains("s3cr3t")));
}

/// A request that fails ends in a dead letter of the same trace, by Graph's own word for the failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_known_by_graphs_request_id() {
    let collector = Collector::start().await;
    let mut rig = Rig::new(On::Nats, Plan::default()).await;
    rig.launch = rig.launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    rig.handle().add_fault(Fault::answer(400).on(Operation::SendMail));
    rig.handle().add_fault(Fault::answer(400).on(Operation::CreateMessage));
    let mut program = rig.start();
    rig.publish(plain(planted("r1"))).await;
    rig.drained(SOON).await;
    program.sigterm().expect("asked to stop");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());

    // what was left was sent at the stop, and a request without a context begins a trace
    let spans = collector.spans();
    let process = only(&spans, SpanKind::Consumer, "process orders");
    assert_eq!(process.parent(), "", "it begins the trace");
    let id = process.get("azure.service.request.id").expect("graph's id");
    let failed = |it: &&Seen| it.kind() == SpanKind::Client && it.get("error.type").is_some();
    let call = spans.iter().find(failed).expect("the call that failed");
    assert_eq!(call.get("azure.service.request.id"), Some(id.clone()));
    let outcome = rig.outcomes().await.remove("r1").expect("an outcome").remove(0);
    let reason = outcome.data.reason.expect("a reason");
    assert!(reason.contains(&format!("request-id: {id}")), "{reason}");
    let logged = program.lines().iter().any(|line| line.text.contains(&id));
    assert!(logged, "the log has it too");
    let letter = only(&spans, SpanKind::Producer, "publish dead letter");
    let dead = rig.dead().await;
    let context = dead[0].headers.get("traceparent").expect("a context").to_owned();
    assert_eq!(context, format!("00-{}-{}-01", process.trace(), letter.id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_arrives_begins_a_trace_that_its_event_takes_along() {
    let collector = Collector::start().await;
    let plan = world::Plan { mailboxes: 1, ..world::Plan::default() };
    let mut world = World::new(plan).await;
    world.launch = world.launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    world.arrive(0, 1, "planted");
    let mut program = world.start();
    world.published(1, LOAD).await;
    let published = async || collector.spans().iter().any(|it| it.name() == "publish event");
    until(SOON, "the span of the event", published).await;
    program.sigterm().expect("asked to stop");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());

    let spans = collector.spans();
    let event = only(&spans, SpanKind::Producer, "publish event");
    let linked = event.links();
    let turn = spans.iter().find(|it| linked.contains(&it.id())).expect("the turn that found it");
    assert_eq!(turn.name(), "read mailbox");
    let mut pages = spans.iter().filter(|it| it.parent() == turn.id());
    assert!(pages.any(|it| it.name() == "GET /users/{id}/mailFolders/{id}/messages/delta"));
    let messages = world.messages(EVENTS).await;
    let context = messages[0].headers.get("traceparent").expect("a context").to_owned();
    assert_eq!(context, format!("00-{}-{}-01", event.trace(), event.id()));
    for secret in ["planted", &mailbox(0)] {
        assert!(!has(&collector.raw(), secret), "{secret} is in a span");
    }
}

/// One collector is not there, another takes connections and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_sent_without_a_collector() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = free_port();
    for address in [gone, silent.local_addr().expect("its address")] {
        let mut rig = Rig::new(On::Nats, Plan::default()).await;
        let endpoint = format!("http://{address}");
        rig.launch = rig.launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        rig.publish_load(0, 200, 10).await;
        let mut program = rig.start();
        rig.drained(LOAD).await;
        rig.assert_exactly_once(200).await;
        until(SOON, "what is dropped is counted", async || {
            let metrics = rig.metrics().await;
            let mut dropped =
                metrics.lines().filter(|line| line.starts_with("mailbridge_spans_dropped_total{"));
            dropped.any(|line| !line.ends_with(" 0"))
        })
        .await;
        program.sigterm().expect("asked to stop");
        let stopped = program.wait_exit(Duration::from_secs(20)).await.expect("it stops");
        assert!(stopped.success());
        let lines = program.lines();
        let told = lines.iter().filter(|line| line.text.contains("the collector takes no spans"));
        assert_eq!(told.count(), 1, "told once: {address}");
    }
}
