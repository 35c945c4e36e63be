//! Mails that come back, as the watch asks for them.

use std::time::Duration;

use jiff::Timestamp;
use mailbridge_core::{
    Attempt, Deadline, Doubt, Guarantee, Mail, Mailbox, NoFiles, Report, Reports,
};
use mailbridge_graph::{Graph, Options};
use mailbridge_sandbox::{Arrival, Bounce, Running};
use serde_json::{Value, json};

use crate::rig::{SETTLE, decoded, graph, mark, sandbox};

const MAILBOX: &str = "noreply@contoso.example";

fn mailbox() -> Mailbox {
    Mailbox::new(MAILBOX)
}

async fn send(graph: &Graph, request: &Value, guarantee: Guarantee, origin: &str) {
    let deadline = Deadline::fixed(Duration::from_secs(20));
    let attempt = Attempt {
        request: &decoded(request),
        mailbox: &mailbox(),
        mark: &mark("1"),
        origin: Some(origin),
        guarantee,
        doubt: Doubt::None,
        deadline: &deadline,
        files: &NoFiles,
    };
    graph.perform(attempt).await.unwrap();
    // until the mailbox shows it
    tokio::time::sleep(SETTLE).await;
}

async fn arrived(graph: &Graph) -> Vec<Report> {
    graph.arrived(&mailbox(), Timestamp::UNIX_EPOCH).await.unwrap()
}

/// What a mail of this kind is known to have carried when it has come back.
async fn carried(request: Value, guarantee: Guarantee, origin: &str) -> Option<String> {
    let sandbox = sandbox().await;
    sandbox.handle().add_bounce(Bounce::of("*@nowhere.example").because("5.7.1", "550 no"));
    let graph = graph(&sandbox, Options::default());
    send(&graph, &request, guarantee, origin).await;
    let [report] = arrived(&graph).await.try_into().unwrap();
    let original = graph.original(&mailbox(), &report).await.unwrap().unwrap();
    assert_eq!(original.message_id, sandbox.handle().truth().sent()[0].internet_message_id);
    let undelivered = graph.undelivered(&mailbox(), &report).await.unwrap().unwrap();
    assert_eq!(undelivered.len(), 1);
    assert_eq!(undelivered[0].address, "a@nowhere.example");
    assert_eq!(undelivered[0].status.as_deref(), Some("5.7.1"));
    assert_eq!(undelivered[0].diagnostic.as_deref(), Some("550 no"));
    for _ in 0..2 {
        graph.note(&mailbox(), &report).await.unwrap();
        assert_eq!(arrived(&graph).await, [], "what is noted is not shown again");
    }
    original.origin
}

fn mail(extra: &Value) -> Value {
    let mut mail = json!({ "to": ["a@nowhere.example", "b@x.org"], "subject": "s", "text": "t" });
    mail.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    mail
}

#[tokio::test]
async fn every_kind_of_mail_tells_whose_it_was_but_mime_in_one_request() {
    let (once, at_least_once) = (Guarantee::Once, Guarantee::AtLeastOnce);
    let large = json!({ "attachments": [{ "name": "a", "content": "AAAA".repeat(1_100_000) }] });
    let both = json!({ "html": "<p>h</p>" });
    let text = "{\"key\":\"o'1\"}";
    let origin = Some(text);
    for (extra, guarantee, expected) in [
        (json!({}), once, origin),
        (both.clone(), once, origin),
        (large.clone(), once, origin),
        (json!({}), at_least_once, origin),
        (large, at_least_once, origin),
        (both, at_least_once, None),
    ] {
        let carried = carried(mail(&extra), guarantee, text).await;
        assert_eq!(carried.as_deref(), expected, "{guarantee:?}");
    }
}

#[tokio::test]
async fn a_long_origin_is_read_whole() {
    let origin = format!("{{\"key\":\"{}\"}}", "ä".repeat(900));
    assert_eq!(carried(mail(&json!({})), Guarantee::Once, &origin).await, Some(origin));
}

fn receive(sandbox: &Running, headers: &str, status: &str, returned: &str) {
    let text = format!(
        "From: postmaster@x.org\r\nSubject: no\r\nMIME-Version: 1.0\r\n{headers}\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n\r\n\
         Final-Recipient: rfc822;a@x.org\r\n{status}\r\n\r\n--b\r\n{returned}\r\n--b--\r\n"
    );
    sandbox.handle().receive(&Arrival::mime(MAILBOX, text)).unwrap();
}

#[tokio::test]
async fn a_report_of_another_server_names_the_mail_in_what_it_returns() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    send(&graph, &mail(&json!({})), Guarantee::Once, "origin").await;
    let id = &sandbox.handle().truth().sent()[0].internet_message_id;
    let headers = format!("Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: {id}\r\n");
    receive(&sandbox, "", "Action: failed", &headers);
    receive(&sandbox, &format!("In-Reply-To: {id}\r\n"), "Action: delayed", "");
    receive(&sandbox, "In-Reply-To: <other'@x.org>\r\n", "Action: failed", "");
    let reports = arrived(&graph).await;
    let of = async |index: usize| {
        let report: &Report = &reports[index];
        let original = graph.original(&mailbox(), report).await.unwrap();
        let undelivered = graph.undelivered(&mailbox(), report).await.unwrap();
        (original.and_then(|it| it.origin), undelivered.map(|it| it.len()))
    };
    // newest first
    assert_eq!(of(0).await, (None, Some(1)));
    assert_eq!(of(1).await, (Some("origin".to_owned()), None));
    assert_eq!(of(2).await, (Some("origin".to_owned()), Some(1)));
}

#[tokio::test]
async fn only_what_has_come_since_is_shown_and_of_every_page() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    let early = Timestamp::now();
    for _ in 0..130 {
        receive(&sandbox, "", "Action: failed", "");
    }
    let ordinary = "From: a@x.org\r\nSubject: NDR\r\n\r\nREPORT.IPM.Note.NDR";
    sandbox.handle().receive(&Arrival::mime(MAILBOX, ordinary)).unwrap();
    assert_eq!(graph.arrived(&mailbox(), early).await.unwrap().len(), 130);
    let late = Timestamp::now() + Duration::from_mins(1);
    assert_eq!(graph.arrived(&mailbox(), late).await.unwrap(), []);
}
