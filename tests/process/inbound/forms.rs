//! The forms of an event, and what a pipeline asks of each mail.

use std::collections::BTreeSet;

use mailbridge_core::{Message, contract::AttachmentKind};
use mailbridge_sandbox::Pointer;
use serde_json::Value;

use super::world::{Plan, World};
use crate::{
    bus::{EVENTS, On, over_each_bus},
    rig::{self, SOON},
};

over_each_bus!(
    graphs_own_json_is_passed_on_as_it_is,
    binary_mode_has_the_attributes_in_headers_and_the_data_in_the_payload,
    plain_is_the_data_alone,
    headers_mime_and_every_kind_of_attachment_are_told_where_asked_for,
    an_attachment_that_graph_does_not_open_is_told_of_and_the_mail_is_whole_without_it,
    a_filter_sees_people_importance_and_attachments,
);

/// A mail with a file, another mail and an image in it.
const MIXED: &str = concat!(
    "From: Ann <ann@example.org>\r\nTo: m0@contoso.example\r\nSubject: mixed\r\nImportance: high\r\n",
    "X-Ticket: 42\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
    "--b\r\nContent-Type: text/plain\r\n\r\nsee below\r\n",
    "--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n",
    "Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n",
    "--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n",
    "From: bob@example.org\r\nSubject: inner\r\n\r\nwithin\r\n--b--\r\n",
);

/// The one event of the one mail, as the stream has it.
async fn one(on: On, pipeline: &'static str) -> (World, Message) {
    let world = World::over(on, Plan { mailboxes: 1, pipeline, ..Plan::default() }).await;
    world.write(0, MIXED);
    let _program = world.start();
    world.published(1, SOON).await;
    let message = world.messages(EVENTS).await.remove(0);
    (world, message)
}

fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).expect("JSON")
}

/// An attribute's header: `ce-` on NATS, `ce_` on Kafka.
fn attribute<'a>(on: On, message: &'a Message, name: &str) -> Option<&'a str> {
    let prefix = if on == On::Nats { "ce-" } else { "ce_" };
    message.headers.get(&format!("{prefix}{name}"))
}

async fn graphs_own_json_is_passed_on_as_it_is(on: On) {
    let (world, message) = one(on, "      start: all\n      format: graph").await;
    let event = json(&message);
    assert_eq!(event["type"], "mailbridge.mail.received");
    let data = &event["data"];
    assert_eq!((&data["subject"], &data["importance"]), (&"mixed".into(), &"high".into()));
    assert_eq!(data["from"]["emailAddress"]["address"], "ann@example.org");
    assert_eq!(data["id"], world.held(0, "inbox")[0].immutable_id.as_str());
}

async fn binary_mode_has_the_attributes_in_headers_and_the_data_in_the_payload(on: On) {
    let (_world, message) = one(on, "      start: all\n      event: binary").await;
    assert_eq!(attribute(on, &message, "type"), Some("mailbridge.mail.received"));
    assert_eq!(attribute(on, &message, "specversion"), Some("1.0"));
    assert_eq!(attribute(on, &message, "mailbox"), Some(rig::mailbox(0).as_str()));
    assert_eq!(message.headers.get("content-type"), Some("application/json"));
    let data = json(&message);
    assert_eq!((&data["subject"], data.get("specversion")), (&"mixed".into(), None));
}

async fn plain_is_the_data_alone(on: On) {
    let (_world, message) = one(on, "      start: all\n      event: plain").await;
    assert_eq!(attribute(on, &message, "type"), None);
    assert_eq!(json(&message)["subject"], "mixed");
}

async fn headers_mime_and_every_kind_of_attachment_are_told_where_asked_for(on: On) {
    let pipeline = "      start: all\n      headers: true\n      mime: inline\n      \
                    attachments: { inline: 256KiB }";
    let (world, message) = one(on, pipeline).await;
    let text = String::from_utf8(message.payload.to_vec()).expect("text");
    assert!(text.to_lowercase().contains("x-ticket"), "{text}");
    let mail = world.received().await.remove(&rig::mailbox(0)).expect("it").remove(0);
    assert!(mail.mime.is_some(), "{text}");
    let attachments = mail.attachments.expect("attachments");
    let kinds: Vec<_> = attachments.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [AttachmentKind::File, AttachmentKind::Item]);
    let contents: Vec<_> = attachments.iter().map(|it| it.content.is_some()).collect();
    assert_eq!(contents, [true, true]);
}

async fn an_attachment_that_graph_does_not_open_is_told_of_and_the_mail_is_whole_without_it(
    on: On,
) {
    let pipeline = "      start: all\n      attachments: { inline: 256KiB }";
    let world = World::over(on, Plan { mailboxes: 1, pipeline, ..Plan::default() }).await;
    world.write(0, MIXED);
    let mixed = Pointer::subject(rig::mailbox(0), "mixed");
    world.handle().break_attachment(&mixed, 0).expect("it is there");
    world.arrive(0, 2, "behind");
    let _program = world.start();
    world.published(3, SOON).await;
    let told = world.received().await.remove(&rig::mailbox(0)).expect("events");
    let mixed = told[0].attachments.as_ref().expect("attachments");
    let there: Vec<_> = mixed.iter().map(|it| it.content.is_some()).collect();
    assert_eq!(there, [false, true]);
    assert!(!told[0].left_out.is_empty(), "and it is said why");
}

async fn a_filter_sees_people_importance_and_attachments(on: On) {
    let pipeline = "      start: all\n      attachments: metadata\n      when: >-\n        \
                    data.from.address == 'ann@example.org' and data.importance == 'high' and\n        \
                    data.to | selectattr('address', 'eq', 'm0@contoso.example') | list and\n        \
                    data.attachments | selectattr('name', 'eq', 'a.pdf') | list";
    let world = World::over(on, Plan { mailboxes: 1, pipeline, ..Plan::default() }).await;
    world.write(0, &MIXED.replace("Subject: mixed", "Subject: wanted"));
    world.write(0, &MIXED.replace("ann@", "eve@"));
    world.write(0, &MIXED.replace("Importance: high\r\n", ""));
    world.write(0, &MIXED.replace("a.pdf", "b.pdf"));
    world.write(0, &MIXED.replace("m0@", "m1@"));
    world.write(0, &MIXED.replace("Subject: mixed", "Subject: wanted too"));
    let _program = world.start();
    world.published(2, SOON).await;
    let told = world.received().await.remove(&rig::mailbox(0)).expect("events");
    let subjects: BTreeSet<_> = told.iter().filter_map(|it| it.content.subject.clone()).collect();
    assert_eq!(subjects, BTreeSet::from(["wanted".to_owned(), "wanted too".to_owned()]));
    assert_eq!(told.len(), 2);
}
