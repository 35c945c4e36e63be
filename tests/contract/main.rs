//! What crosses the process boundary stays what it was: requests that producers wrote against an
//! older mailbridge still decode, and what is published keeps its shape. A file here is changed only
//! together with the changelog; a new shape gets a new file.

use std::{fs, path::Path};

use mailbridge_core::{
    Code, Error, Guarantee, Headers, Mailbox, Message, Position,
    contract::{
        Body, Bounce, DeadLetter, Key, Operation, Outcome, OutcomeData, OutgoingMail, Request,
        Status, Undelivered, decode,
    },
};
use serde_json::Value;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn request(name: &str) -> (Request, Key, Option<String>) {
    let message = Message { payload: file(name).into(), ..Message::default() };
    let decoded = decode::decode(&message, &Position::new("nats:MAIL/42"))
        .unwrap_or_else(|undecodable| panic!("{name}: {:?}", undecodable.error));
    (decoded.request, decoded.key, decoded.traceparent)
}

#[test]
fn every_kept_request_still_decodes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/requests");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the kept requests") {
        let name = entry.expect("an entry").file_name();
        request(&format!("requests/{}", name.to_string_lossy()));
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn a_full_request_means_what_it_says() {
    let (request, key, _) = request("requests/full.json");
    assert_eq!(key, Key::of_id("invoice-7"));
    assert_eq!(request.mailbox, Some(Mailbox::new("billing@contoso.com")));
    let Operation::Send(OutgoingMail::Composed(mail)) = request.operation else {
        panic!("a mail from parts")
    };
    let names: Vec<_> = mail.to.iter().map(|to| to.name.clone().unwrap_or_default()).collect();
    assert_eq!(names, ["Ann Ångström", "Bo"]);
    assert_eq!((mail.cc.len(), mail.bcc.len(), mail.reply_to.len()), (1, 1, 1));
    assert_eq!(mail.subject, "Rechnung für März");
    assert!(matches!(mail.body, Body::Both { .. }));
    assert_eq!(mail.attachments[1].content_id.as_deref(), Some("logo"));
    assert!(mail.read_receipt && mail.delivery_receipt && mail.save_to_sent_items);
}

#[test]
fn a_cloud_event_gives_key_and_trace() {
    let (_, key, trace) = request("requests/cloud_event.json");
    assert_eq!(key.as_str(), "/shop#42");
    assert_eq!(trace.as_deref(), Some(TRACE));
}

fn refused() -> OutcomeData {
    let position = Position::new("nats:MAIL/42");
    let key = Key::of_id("order-1001");
    let mut data = OutcomeData::new(Status::Rejected, "orders", Guarantee::Once, &key, &position);
    data.mailbox = Some(Mailbox::new("noreply@contoso.com"));
    data.attempts = 3;
    let error = Error::permanent(Code::GraphRecipientsRefused, "graph refuses a recipient");
    data.because(&error.with("status", 400))
}

#[test]
fn an_outcome_keeps_its_shape_and_its_id() {
    let mark = Key::of_id("order-1001").mark("orders");
    let time = "2026-01-01T00:00:00Z".parse().expect("a time");
    let outcome = Outcome::of(refused(), &mark, Some(TRACE.to_owned()), time);
    let again = Outcome::of(refused(), &mark, Some(TRACE.to_owned()), time);
    assert_eq!(outcome.id, again.id, "a replayed outcome is the same event");
    let mut value = serde_json::to_value(&outcome).expect("JSON");
    value["id"] = "REPLACED".into();
    let kept: Value = serde_json::from_slice(&file("outcome.json")).expect("JSON");
    assert_eq!(value, kept);
    decode::read::<Outcome>(&file("outcome.json")).expect("a kept outcome still decodes");
}

#[test]
fn a_bounce_keeps_its_shape_and_each_report_has_its_own_id() {
    let mark = Key::of_id("order-1001").mark("orders");
    let time: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let bounced = |report: &str| {
        let mut data = refused();
        data.status = Status::Bounced;
        let (address, status) = ("bob@example.org".to_owned(), Some("5.1.1".to_owned()));
        let diagnostic = Some("550 5.1.1 user unknown".to_owned());
        let recipients = vec![Undelivered { address, status, diagnostic }];
        data.bounce = Some(Bounce { report: report.to_owned(), received: time, recipients });
        let error = Error::permanent(Code::MailBounced, "it was not delivered");
        Outcome::of(data.because(&error), &mark, None, time)
    };
    assert_eq!(bounced("<1@x>").id, bounced("<1@x>").id);
    assert_ne!(bounced("<1@x>").id, bounced("<2@x>").id);
    let mut value = serde_json::to_value(bounced("<1@x>")).expect("JSON");
    value["id"] = "REPLACED".into();
    let kept: Value = serde_json::from_slice(&file("bounced.json")).expect("JSON");
    assert_eq!(value, kept);
    decode::read::<Outcome>(&file("bounced.json")).expect("a kept outcome still decodes");
}

#[test]
fn a_dead_letter_keeps_payload_and_headers_and_adds_its_own() {
    let original = Message {
        address: Some("mail.send.orders".into()),
        headers: Headers::new().with("x-origin", "shop").with("Nats-Msg-Id", "m-1"),
        payload: "{broken".into(),
        ..Message::default()
    };
    let data = refused();
    let mark = Key::of_id("order-1001").mark("orders");
    let time = "2026-01-01T00:00:00Z".parse().expect("a time");
    let letter = DeadLetter { original: &original, outcome: &data, mark: &mark, time }.to_message();
    assert_eq!(letter.payload, original.payload);
    let headers: Vec<_> = letter
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    assert_eq!(
        headers,
        [
            "x-origin: shop",
            "mailbridge-original-nats-msg-id: m-1",
            "mailbridge-status: rejected",
            "mailbridge-code: graph_recipients_refused",
            "mailbridge-reason: graph refuses a recipient (status: 400)",
            "mailbridge-attempts: 3",
            "mailbridge-key: order-1001",
            "mailbridge-pipeline: orders",
            "mailbridge-position: nats:MAIL/42",
            "mailbridge-time: 2026-01-01T00:00:00Z",
            "mailbridge-address: mail.send.orders",
        ]
    );
}
