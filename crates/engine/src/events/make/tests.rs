use std::time::Duration;

use bytes::Bytes;
use mailbridge_core::{
    Code, Error,
    contract::{Address, AttachmentKind, FileContent, MailHeader},
};
use serde_json::Value;

use super::{
    encode::Form,
    fake::{Box1, Read, Shelf, found},
    *,
};

fn pieces(bytes: usize) -> Read {
    Read::Pieces(vec![Bytes::from(vec![b'x'; bytes])])
}

fn mail() -> MailContent {
    MailContent {
        subject: Some("hello".to_owned()),
        text: Some("a text".to_owned()),
        has_attachments: Some(true),
        ..MailContent::default()
    }
}

struct World {
    mailbox: Arc<Box1>,
    store: Arc<Shelf>,
    maker: Maker,
}

fn world(include: Include, mailbox: Box1, store: Option<Shelf>) -> World {
    let mailbox = Arc::new(mailbox);
    let shelf = Arc::new(store.unwrap_or_default());
    let maker = Maker {
        pipeline: "support".to_owned(),
        include,
        changes: Arc::clone(&mailbox) as Arc<dyn Changes>,
        store: None,
        filter: None,
    };
    World { mailbox, store: shelf, maker }
}

impl World {
    fn with_store(mut self) -> Self {
        self.maker.store = Some(Arc::clone(&self.store) as Arc<dyn FileStore>);
        self
    }

    async fn tell(&self, change: Change, found: Option<Found>) -> Result<Making> {
        let mailbox = Mailbox::new("a@x.org");
        let id = MessageId("m1".to_owned());
        let news = News { mailbox: &mailbox, folder: "inbox", change, id, found };
        self.maker.make(news, &deadline()).await
    }

    async fn made(&self, change: Change, found: Found) -> Box<Made> {
        match self.tell(change, Some(found)).await.unwrap() {
            Making::Event(made) => made,
            other => panic!("{other:?}"),
        }
    }
}

fn deadline() -> Deadline {
    Deadline::new(Duration::from_secs(30), Duration::from_mins(10))
}

fn out(made: &Made) -> Vec<(String, String)> {
    let left_out = made.data().left_out.iter();
    left_out.map(|out| (out.what.clone(), out.code.clone())).collect()
}

fn too_large(what: &str) -> (String, String) {
    (what.to_owned(), "event_too_large".to_owned())
}

#[tokio::test]
async fn a_mail_that_came_whole_costs_no_further_request() {
    let world = world(Include::default(), Box1::default(), None);
    let made = world.made(Change::Received, found("m1", mail())).await;
    assert_eq!(world.mailbox.calls(), [""; 0]);
    let data = made.data();
    assert_eq!(data.content.subject.as_deref(), Some("hello"));
    assert_eq!((data.changed.len(), &data.moved_to, &data.attachments), (0, &None, &None));
    let message = world.maker.message(&made).unwrap();
    let payload: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(payload["time"], "2026-05-01T10:00:00Z");
    assert_eq!(made.version.as_deref(), Some("v1"));
}

#[tokio::test]
async fn each_change_tells_its_own() {
    let world = world(Include::default(), Box1::default(), None);
    let updated = world.made(Change::Updated, found("m1", mail())).await;
    assert_eq!(updated.data().changed, ["isRead"]);
    let moved = world.made(Change::Moved, found("m1", mail())).await;
    assert_eq!(moved.data().moved_to.as_deref(), Some("target"));
    let Making::Event(deleted) = world.tell(Change::Deleted, None).await.unwrap() else {
        panic!("nothing told");
    };
    assert_eq!(deleted.data().content, MailContent::default());
    let ids = [updated.id(), moved.id(), deleted.id()];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    assert_eq!(world.mailbox.calls(), [""; 0]);
}

#[tokio::test]
async fn what_came_in_part_is_fetched_and_still_tells_what_changed() {
    let mailbox = Box1 { whole: Some(mail()), ..Box1::default() };
    let world = world(Include::default(), mailbox, None);
    let part = Found { complete: false, ..found("m1", MailContent::default()) };
    let made = world.made(Change::Updated, part).await;
    assert_eq!(made.data().content.subject.as_deref(), Some("hello"));
    assert_eq!(made.data().changed, ["isRead"]);
    // the version that it tells, not the one that the page told of
    assert_eq!(made.version.as_deref(), Some("v2"));
}

#[tokio::test]
async fn what_is_gone_meanwhile_is_not_told() {
    let world = world(Include::default(), Box1::default(), None);
    let part = Found { complete: false, ..found("m1", MailContent::default()) };
    let making = world.tell(Change::Updated, Some(part)).await.unwrap();
    assert!(matches!(making, Making::Gone));
}

#[tokio::test]
async fn both_bodies_cost_a_request_unless_they_are_there() {
    let both = MailContent { html: Some("<p>".to_owned()), ..mail() };
    let include = Include { bodies: Bodies::Both, ..Include::default() };
    let world = world(include, Box1 { whole: Some(both.clone()), ..Box1::default() }, None);
    let made = world.made(Change::Received, found("m1", mail())).await;
    assert_eq!(made.data().content.html.as_deref(), Some("<p>"));
    assert_eq!(world.mailbox.calls(), ["message"]);
    world.made(Change::Received, found("m1", both)).await;
    assert_eq!(world.mailbox.calls(), ["message"]);
}

#[tokio::test]
async fn a_long_body_is_stored_or_left_out() {
    let include = Include { body_max: 5, ..Include::default() };
    let without = world(include.clone(), Box1::default(), None);
    let made = without.made(Change::Received, found("m1", mail())).await;
    assert_eq!(made.data().content.text, None);
    let [LeftOut { bytes: Some(6), stored: None, .. }] = made.data().left_out.as_slice() else {
        panic!("{:?}", made.data().left_out);
    };
    assert_eq!(out(&made), [too_large("text")]);

    let with = world(include, Box1::default(), None).with_store();
    let made = with.made(Change::Received, found("m1", mail())).await;
    let stored = made.data().left_out[0].stored.clone().unwrap();
    let url = stored.url.unwrap();
    assert_eq!(with.store.stored()[url.strip_prefix("shelf://").unwrap()], b"a text");

    let fits = Include { body_max: 6, ..Include::default() };
    let made = world(fits, Box1::default(), None).made(Change::Received, found("m1", mail())).await;
    assert_eq!(made.data().content.text.as_deref(), Some("a text"));
}

fn with_files() -> Box1 {
    let unreadable = Error::permanent(Code::GraphAttachmentUnreadable, "it does not open");
    Box1::default()
        .with("small", AttachmentKind::File, pieces(10))
        .with("large", AttachmentKind::File, pieces(200_000))
        .with("mail", AttachmentKind::Item, pieces(20))
        .with("link", AttachmentKind::Reference, Read::Fails(Vec::new(), unreadable.clone()))
        .with("broken", AttachmentKind::File, Read::Fails(vec![Bytes::from("x")], unreadable))
}

fn contents(made: &Made) -> Vec<Option<&FileContent>> {
    made.data().attachments.iter().flatten().map(|it| it.content.as_ref()).collect()
}

#[tokio::test]
async fn attachments_are_listed_where_asked_for() {
    let include = Include { attachments: Attachments::Metadata, ..Include::default() };
    let world = world(include, with_files(), None);
    let made = world.made(Change::Received, found("m1", mail())).await;
    assert_eq!(contents(&made), [None; 5]);
    assert_eq!(world.mailbox.calls(), ["attachments"]);
    assert_eq!(out(&made), []);
}

#[tokio::test]
async fn small_attachments_are_inside_and_large_ones_left_out_without_a_store() {
    let include = Include { attachments: Attachments::Inline(100), ..Include::default() };
    let world = world(include, with_files(), None);
    let made = world.made(Change::Received, found("m1", mail())).await;
    let all = contents(&made);
    assert_eq!(
        all.iter().map(|it| it.map(|it| it.bytes)).collect::<Vec<_>>(),
        [Some(10), None, Some(20), None, None]
    );
    let unreadable = |what: &str| (what.to_owned(), "graph_attachment_unreadable".to_owned());
    assert_eq!(
        out(&made),
        [
            too_large("attachments/large"),
            unreadable("attachments/link"),
            unreadable("attachments/broken")
        ]
    );
    assert_eq!(made.data().left_out[0].bytes, Some(200_000));
    // it was not read for nothing
    assert!(!world.mailbox.calls().contains(&"content large".to_owned()));
}

#[tokio::test]
async fn attachments_and_mime_go_to_the_store() {
    let include =
        Include { attachments: Attachments::Store, mime: Mime::Store, ..Include::default() };
    let mut mailbox = with_files();
    mailbox.content.insert("mime".to_owned(), pieces(50));
    let world = world(include, mailbox, None).with_store();
    let made = world.made(Change::Received, found("m1", mail())).await;
    let stored: Vec<_> =
        contents(&made).iter().map(|it| it.is_some_and(|it| it.url.is_some())).collect();
    assert_eq!(stored, [true, true, true, false, false]);
    let mime = made.data().mime.as_ref().unwrap();
    assert!(mime.url.as_ref().unwrap().ends_with("/message.eml"));
    assert_eq!(world.store.stored().len(), 4);
    world.made(Change::Received, found("m1", mail())).await;
    assert_eq!(world.store.stored().len(), 4, "a repeat leaves more files");
    // of a mail that was read, nothing is fetched again
    let before = world.mailbox.calls().len();
    world.made(Change::Updated, found("m1", mail())).await;
    assert_eq!(world.mailbox.calls()[before..], ["attachments"]);
}

#[tokio::test]
async fn a_passing_failure_ends_the_work() {
    let busy = Error::transient(Code::GraphUnavailable, "busy");
    let mailbox = Box1::default().with(
        "1",
        AttachmentKind::File,
        Read::Fails(vec![Bytes::from("x")], busy.clone()),
    );
    let include = Include { attachments: Attachments::Inline(100), ..Include::default() };
    let reading = world(include.clone(), mailbox, None);
    let error = reading.tell(Change::Received, Some(found("m1", mail()))).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphUnavailable);
    let listing = Box1 { unlisted: Some(busy), ..Box1::default() };
    let listing = world(include, listing, None);
    listing.tell(Change::Received, Some(found("m1", mail()))).await.unwrap_err();
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_said_to_be_missing() {
    let error = Error::permanent(Code::GraphRefused, "no");
    let include = Include { attachments: Attachments::Metadata, ..Include::default() };
    let world = world(include, Box1 { unlisted: Some(error), ..Box1::default() }, None);
    let made = world.made(Change::Received, found("m1", mail())).await;
    assert_eq!(out(&made), [("attachments".to_owned(), "graph_refused".to_owned())]);
}

#[tokio::test]
async fn inline_images_are_looked_for_where_the_body_shows_some() {
    let include = Include { attachments: Attachments::Metadata, ..Include::default() };
    let world = world(include, with_files(), None);
    let none = MailContent { has_attachments: Some(false), ..mail() };
    let made = world.made(Change::Received, found("m1", none.clone())).await;
    assert_eq!(made.data().attachments, Some(Vec::new()));
    assert_eq!(world.mailbox.calls(), [""; 0]);
    for content in [
        MailContent { html: Some("<img src=\"cid:1@x\">".to_owned()), ..none.clone() },
        MailContent { text: Some("[cid:1@x]".to_owned()), ..none },
    ] {
        let made = world.made(Change::Received, found("m1", content)).await;
        assert_eq!(made.data().attachments.as_ref().unwrap().len(), 5);
    }
}

#[derive(Debug)]
struct Names(&'static str);

impl Filter for Names {
    fn wants(&self, event: &MailCloudEvent) -> Result<bool> {
        assert_eq!(event.event.data.content.text.as_deref(), Some("a text"));
        Ok(event.event.data.attachments.iter().flatten().any(|it| it.id == self.0))
    }
}

#[tokio::test]
async fn a_filter_sees_whole_bodies_and_names_and_nothing_is_read_for_what_it_drops() {
    let include =
        Include { attachments: Attachments::Inline(100), body_max: 1, ..Include::default() };
    let mut world = world(include, with_files(), None);
    world.maker.filter = Some(Arc::new(Names("none")));
    let making = world.tell(Change::Received, Some(found("m1", mail()))).await.unwrap();
    assert!(matches!(making, Making::PassedBy));
    assert_eq!(world.mailbox.calls(), ["attachments"]);
    world.maker.filter = Some(Arc::new(Names("small")));
    world.made(Change::Received, found("m1", mail())).await;
}

fn payload_bytes(world: &World, made: &Made) -> usize {
    world.maker.message(made).unwrap().payload.len()
}

#[tokio::test]
async fn what_the_bus_does_not_take_shrinks_until_only_its_name_is_left() {
    let include = Include {
        attachments: Attachments::Inline(1_000_000),
        mime: Mime::Inline(1_000_000),
        headers: true,
        ..Include::default()
    };
    let mut mailbox = with_files();
    mailbox.content.insert("mime".to_owned(), pieces(300_000));
    let world = world(include, mailbox, None);
    let to = |i| Address { address: format!("{i}@x.org"), name: None };
    let header = MailHeader { name: "x-a".to_owned(), value: "v".repeat(90_000) };
    let content = MailContent {
        text: Some("t".repeat(100_000)),
        to: (0..5000).map(to).collect(),
        headers: vec![header],
        ..mail()
    };
    let mut made = world.made(Change::Received, found("m1", content)).await;
    let id = made.id().to_owned();
    let mut sizes = vec![payload_bytes(&world, &made)];
    while world.maker.shrink(&mut made, &deadline()).await.unwrap() {
        sizes.push(payload_bytes(&world, &made));
    }
    let below = [1_300_000, 300_000, 5_000, 2_000];
    assert_eq!(sizes.len(), below.len());
    for (size, below) in sizes.iter().zip(below) {
        assert!(*size < below, "{sizes:?}");
    }
    assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    assert_eq!(made.id(), id);
    let names: Vec<_> = out(&made).into_iter().map(|(what, _)| what).collect();
    assert_eq!(names, ["text", "mime", "headers", "to", "attachments"]);
    assert_eq!(made.data().content.subject.as_deref(), Some("hello"));
}

#[tokio::test]
async fn with_a_store_nothing_of_it_is_lost() {
    let include = Include {
        attachments: Attachments::Inline(1_000_000),
        mime: Mime::Inline(1_000_000),
        ..Include::default()
    };
    let mut mailbox = with_files();
    mailbox.content.insert("mime".to_owned(), pieces(300_000));
    let world = world(include, mailbox, None).with_store();
    let content = MailContent { text: Some("t".repeat(100_000)), ..mail() };
    let mut made = world.made(Change::Received, found("m1", content)).await;
    assert!(world.maker.shrink(&mut made, &deadline()).await.unwrap());
    assert!(payload_bytes(&world, &made) < 5_000);
    let large = contents(&made)[1].unwrap();
    assert_eq!((large.bytes, large.base64.as_ref()), (200_000, None));
    assert!(large.url.is_some() && made.data().mime.as_ref().unwrap().url.is_some());
    // the small one is no longer than a reference to it
    assert!(contents(&made)[0].unwrap().base64.is_some());
    let text = made.data().left_out.iter().find(|out| out.what == "text").unwrap();
    assert!(text.stored.is_some());
    let lengths: Vec<_> = world.store.stored().values().map(Vec::len).collect();
    assert_eq!(lengths.len(), 3);
    assert_eq!(lengths.iter().sum::<usize>(), 600_000);
}

#[tokio::test]
async fn graphs_own_form_loses_its_body_too_when_that_is_too_large() {
    let include =
        Include { body_max: 5, format: Format::Graph, form: Form::Plain, ..Include::default() };
    let world = world(include, Box1::default(), None);
    let raw = r#"{"id":"m1","body":{"contentType":"text","content":"a text"},"isRead":false}"#;
    let raw = Some(RawValue::from_string(raw.to_owned()).unwrap());
    let made = world.made(Change::Received, Found { raw, ..found("m1", mail()) }).await;
    let payload: Value =
        serde_json::from_slice(&world.maker.message(&made).unwrap().payload).unwrap();
    assert_eq!(payload["body"], serde_json::json!({ "contentType": "text" }));
    assert_eq!(payload["@mailbridge.event"]["left_out"][0]["what"], "text");
    let Making::Event(gone) = world.tell(Change::Deleted, None).await.unwrap() else {
        panic!("nothing told");
    };
    let payload: Value =
        serde_json::from_slice(&world.maker.message(&gone).unwrap().payload).unwrap();
    assert_eq!(payload["id"], "m1");
    assert_eq!(payload["@mailbridge.event"]["change"], "deleted");
}

#[test]
fn pages_are_asked_for_no_more_than_is_told() {
    let include = Include::default();
    assert!(include.select(&[Change::Received]).only_new);
    assert!(!include.select(&[Change::Received, Change::Updated]).only_new);
    assert!(!include.select(&[Change::Received]).raw);
    assert!(Include { format: Format::Graph, ..include }.select(&[]).raw);
}
