//! Mails that come back: each is told to the producer of its request, and nothing else is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{
    Headers, Message,
    contract::{Outcome, Status},
};
use mailbridge_sandbox::{Arrival, Bounce, Budgets, DEMO_DOMAIN, Fault, Operation, Sandbox};
use mailbridge_testkit::program::Program;
use serde_json::{Value, json};

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig, SOON, mailbox, until},
};

over_each_bus!(
    five_of_a_hundred_come_back_once,
    killed_in_the_middle_none_is_missing_and_none_is_another_event,
);

const COUNT: usize = 100;
const MAILBOXES: usize = 4;
const STATUS: &str = "5.1.1";
const SAID: &str = "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn plan(guarantee: &'static str) -> Plan {
    let pipeline = "      deadline: 5s\n      settle_time: 5s\n      bounces: { every: 5s }";
    let payload_max = Some(8 * 1024 * 1024);
    let sandbox = Sandbox::builder()
        .seed(11)
        .budgets(Budgets::graph())
        .visibility_delay(Duration::ZERO..=Duration::from_secs(1));
    Plan { guarantee, pipeline: pipeline.to_owned(), sandbox, payload_max, ..Plan::default() }
}

/// Everybody at `nowhere.example` cannot be reached, which shows after a moment.
fn nobody_is_nowhere(rig: &Rig) {
    let rule = Bounce::of("*@nowhere.example").after(Duration::from_millis(300));
    rig.handle().add_bounce(rule.because(STATUS, SAID));
}

fn address(number: usize, bounces: bool) -> String {
    let domain = if bounces { "nowhere.example" } else { "example.org" };
    format!("someone-{number}@{domain}")
}

fn request(number: usize, bounces: bool) -> Value {
    json!({
        "id": format!("r{number}"),
        "mailbox": mailbox(number % MAILBOXES),
        "to": [address(number, bounces), format!("other-{number}@example.org")],
        "subject": format!("r{number}"),
        "text": "hello",
    })
}

fn attach(request: &mut Value, bytes: usize) {
    let content = STANDARD.encode(vec![7; bytes]);
    request["attachments"] = json!([{ "name": "a.bin", "content": content }]);
}

async fn publish(rig: &Rig, request: &Value) {
    let (headers, payload) =
        (Headers::new().with("traceparent", TRACE), request.to_string().into());
    rig.publish(Message { headers, payload, ..Message::default() }).await;
}

async fn bounced(rig: &Rig) -> BTreeMap<String, Vec<Outcome>> {
    let mut outcomes = rig.outcomes().await;
    for all in outcomes.values_mut() {
        all.retain(|outcome| outcome.data.status == Status::Bounced);
    }
    outcomes.retain(|_, all| !all.is_empty());
    outcomes
}

/// A counter of this program.
async fn count(rig: &Rig, name: &str) -> usize {
    let metrics = rig.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Waits until the watch has looked at all that is there now.
async fn looked(rig: &Rig) {
    let looks = "mailbridge_bounce_looks_total{pipeline=\"orders\",code=\"\"}";
    let enough = count(rig, looks).await + 2 * (MAILBOXES + 1);
    until(SOON, "everything is looked at", async || count(rig, looks).await >= enough).await;
}

async fn stop(mut program: Program) -> Vec<String> {
    program.sigterm().expect("asked to stop");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    program.lines().into_iter().map(|line| line.text).collect()
}

/// A hundred mails of several forms, of which these come back.
async fn comes_back(on: On, guarantee: &'static str, returns: [usize; 5]) {
    let rig = Rig::new(on, plan(guarantee)).await;
    nobody_is_nowhere(&rig);
    for number in 0..COUNT {
        let mut request = request(number, returns.contains(&number));
        match number % 5 {
            1 => request["html"] = "<p>hello</p>".into(),
            2 => attach(&mut request, 20_000),
            3 => attach(&mut request, if number == 43 { 3_500_000 } else { 2_000 }),
            4 => {
                request["html"] = "<p>hello</p>".into();
                attach(&mut request, 3_000);
            }
            _ => {}
        }
        publish(&rig, &request).await;
    }
    let program = rig.start();
    rig.drained(LOAD).await;
    until(SOON, "all that come back are told", async || bounced(&rig).await.len() >= 5).await;
    looked(&rig).await;
    assert_eq!(count(&rig, "mailbridge_bounces_total").await, 5);
    let log = stop(program).await;

    let outcomes = bounced(&rig).await;
    let wanted: BTreeSet<_> = returns.iter().map(|number| format!("r{number}")).collect();
    assert_eq!(outcomes.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    for number in returns {
        let [outcome] = outcomes[&format!("r{number}")].as_slice() else { panic!("told once") };
        told(&rig, number, outcome, guarantee);
    }
    let all = rig.outcomes().await;
    for number in 0..COUNT {
        let statuses: Vec<_> = all[&format!("r{number}")].iter().map(|it| it.data.status).collect();
        assert_eq!(statuses[0], Status::Accepted, "r{number}");
        assert_eq!(statuses.len(), 1 + usize::from(returns.contains(&number)), "r{number}");
    }
    assert_eq!(rig.copies().len(), COUNT);
    assert!(rig.dead().await.is_empty());
    assert!(!log.iter().any(|line| line.contains("nowhere.example")), "recipients reach the log");
}

fn told(rig: &Rig, number: usize, outcome: &Outcome, guarantee: &str) {
    assert_eq!(outcome.kind, "mailbridge.request.bounced");
    assert_eq!(outcome.traceparent.as_deref(), Some(TRACE));
    let data = &outcome.data;
    assert_eq!(data.mailbox.as_ref().map(ToString::to_string), Some(mailbox(number % MAILBOXES)));
    assert_eq!(serde_json::to_value(data.guarantee).expect("JSON"), guarantee);
    assert_eq!(data.code.as_deref(), Some("mail_bounced"));
    assert_eq!(data.attempts, 1);
    assert!(data.position.starts_with(&rig.bus.positions()), "{}", data.position);
    let sent = rig.handle().truth().sent();
    let sent = sent.iter().find(|sent| sent.subject == data.key).expect("it was sent");
    assert_eq!(data.internet_message_id.as_ref(), Some(&sent.internet_message_id));
    let bounce = data.bounce.as_ref().expect("what the report says");
    let [recipient] = bounce.recipients.as_slice() else { panic!("one of the two recipients") };
    assert_eq!(recipient.address, address(number, true));
    assert_eq!(recipient.status.as_deref(), Some(STATUS));
    assert_eq!(recipient.diagnostic.as_deref(), Some(SAID));
}

async fn five_of_a_hundred_come_back_once(on: On) {
    // text; text and html; an attachment; one that is uploaded; all of it
    comes_back(on, "once", [10, 21, 32, 43, 54]).await;
}

/// What goes as MIME in one request carries nothing, so of text and html nothing is told here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_of_a_hundred_come_back_at_least_once() {
    comes_back(On::Nats, "at_least_once", [10, 25, 32, 43, 57]).await;
}

async fn killed_in_the_middle_none_is_missing_and_none_is_another_event(on: On) {
    let rig = Rig::new(on, plan("once")).await;
    nobody_is_nowhere(&rig);
    // the first notes do not get through, so what was told will be told again
    rig.handle().add_fault(Fault::answer(503).on(Operation::UpdateMessage).first(3));
    let (mails, bounces) = (24, 12);
    for number in 0..mails {
        let mut request = request(number, number < bounces);
        request["mailbox"] = format!("noreply@{DEMO_DOMAIN}").into();
        publish(&rig, &request).await;
    }
    let mut program = rig.start();
    rig.drained(LOAD).await;
    until(SOON, "some are told", async || !bounced(&rig).await.is_empty()).await;
    program.kill9().expect("killed");
    program.wait_exit(SOON).await.expect("it is gone");
    let before = bounced(&rig).await.len();
    assert!(before < bounces, "it was killed in the middle: {before}");
    let program = rig.start();
    let all = async || bounced(&rig).await.len() == bounces;
    until(LOAD, "none is missing", all).await;
    let again = count(&rig, "mailbridge_bounces_total").await;
    assert!(before + again > bounces, "what has no note is told again, as the same event");
    stop(program).await;
    for (key, outcomes) in bounced(&rig).await {
        let ids: BTreeSet<_> = outcomes.iter().map(|outcome| &outcome.id).collect();
        assert_eq!(ids.len(), 1, "{key}");
    }
    assert_eq!(rig.copies().values().sum::<usize>(), mails);
}

/// A report as Exchange has them, about some mail.
fn report(about: &str) -> String {
    format!(
        "From: postmaster@example.org\r\nTo: {to}\r\nSubject: Undeliverable: x\r\n\
         Message-ID: <{number}@example.org>\r\nIn-Reply-To: {about}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n\r\n\
         Final-Recipient: rfc822;someone@nowhere.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         --b--\r\n",
        to = mailbox(0),
        number = about.len(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_somebody_elses_mail_tells_nothing_and_is_left_as_it_is() {
    let rig = Rig::new(On::Nats, plan("once")).await;
    nobody_is_nowhere(&rig);
    let own = "From: m0@contoso.example\r\nTo: x@example.org\r\nSubject: by hand\r\n\
        Message-ID: <by-hand@contoso.example>\r\n\r\nhello";
    rig.handle().receive(&Arrival::mime(mailbox(0), own)).expect("a person's mail");
    for about in ["<by-hand@contoso.example>", "<never-heard-of@example.org>"] {
        rig.handle().receive(&Arrival::mime(mailbox(0), report(about))).expect("a report");
    }
    publish(&rig, &request(0, true)).await;
    publish(&rig, &request(4, false)).await;
    let program = rig.start();
    rig.drained(LOAD).await;
    until(SOON, "ours is told", async || !bounced(&rig).await.is_empty()).await;
    looked(&rig).await;
    stop(program).await;
    let told: Vec<_> = bounced(&rig).await.into_keys().collect();
    assert_eq!(told, ["r0"]);
    let notes = &rig.handle().requests()[&Operation::UpdateMessage];
    assert_eq!(notes.get("200"), Some(&1), "one note: {notes:?}");
}
