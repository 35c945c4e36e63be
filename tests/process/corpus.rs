//! Sixty mails of every kind and size, compared field by field with what was really sent.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::contract::Status;
use mailbridge_sandbox::{Arrival, Budgets, MailboxSpec, Sandbox, Sent, Tenant};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    bus::On,
    rig::{LOAD, Plan, Rig, plain},
};

const MEGABYTE: usize = 1024 * 1024;
const MAILBOX: &str = "noreply@contoso.example";

/// A request, and what must be true of the mail.
struct Case {
    request: Value,
    expected: Expected,
}

#[derive(Default)]
struct Expected {
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    reply_to: Vec<String>,
    names: BTreeMap<String, String>,
    from: Option<String>,
    subject: String,
    body: Option<(&'static str, String)>,
    alternative: Option<String>,
    importance: Option<&'static str>,
    categories: Vec<String>,
    headers: Vec<(String, String)>,
    receipts: bool,
    files: Vec<Expectation>,
}

/// An attachment as it must arrive.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expectation {
    name: String,
    kind: Option<String>,
    bytes: usize,
    sha256: String,
    content_id: Option<String>,
}

/// Bytes that differ from file to file and at every place.
fn content(length: usize) -> Vec<u8> {
    let mut state = u32::try_from(length).expect("a size") | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    })
    .take(length)
    .collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// The cases, with the folder that references lead to.
struct Corpus<'a> {
    folder: &'a Path,
    cases: Vec<Case>,
}

impl Corpus<'_> {
    /// A mail to one recipient with a text, changed by `change`.
    fn add(&mut self, change: impl FnOnce(&mut Value, &mut Expected)) {
        let number = self.cases.len();
        let (to, text) = (format!("someone-{number}@example.org"), format!("text {number}\r\n"));
        let subject = format!("subject {number}");
        let mut request = json!({ "to": to, "subject": subject, "text": text });
        let mut expected =
            Expected { to: vec![to], subject, body: Some(("text", text)), ..Expected::default() };
        change(&mut request, &mut expected);
        request["id"] = format!("c{number}").into();
        // the one field by which a mail is found again in the truth
        expected.headers.push(("x-case".to_owned(), format!("c{number}")));
        request["headers"]["x-case"] = format!("c{number}").into();
        self.cases.push(Case { request, expected });
    }

    fn inline(&mut self, name: &str, length: usize, cid: Option<&str>) {
        self.add(|request, expected| attach_inline(request, expected, name, length, cid));
    }

    fn reference(&mut self, name: &str, length: usize) {
        let folder = self.folder.to_owned();
        self.add(|request, expected| attach_reference(request, expected, &folder, name, length));
    }
}

fn file(name: &str, kind: &str, bytes: &[u8], cid: Option<&str>) -> Expectation {
    Expectation {
        name: name.to_owned(),
        kind: Some(kind.to_owned()),
        bytes: bytes.len(),
        sha256: hex(bytes),
        content_id: cid.map(str::to_owned),
    }
}

fn push(request: &mut Value, attachment: Value) {
    let list = request.as_object_mut().expect("an object").entry("attachments");
    list.or_insert_with(|| json!([])).as_array_mut().expect("a list").push(attachment);
}

fn attach_inline(
    request: &mut Value,
    expected: &mut Expected,
    name: &str,
    length: usize,
    cid: Option<&str>,
) {
    let bytes = content(length);
    let kind = if cid.is_some() { "image/png" } else { "application/pdf" };
    let mut attachment =
        json!({ "name": name, "content_type": kind, "content": STANDARD.encode(&bytes) });
    if let Some(cid) = cid {
        attachment["content_id"] = cid.into();
    }
    push(request, attachment);
    expected.files.push(file(name, kind, &bytes, cid));
}

fn attach_reference(
    request: &mut Value,
    expected: &mut Expected,
    folder: &Path,
    name: &str,
    length: usize,
) {
    let bytes = content(length);
    std::fs::write(folder.join(name), &bytes).expect("a file");
    let url = reqwest::Url::from_file_path(folder.join(name)).expect("a path");
    let digest = hex(&bytes);
    let kind = "application/zip";
    push(
        request,
        json!({ "url": url.as_str(), "content_type": kind, "sha256": digest, "size": length }),
    );
    expected.files.push(file(name, kind, &bytes, None));
}

fn words(corpus: &mut Corpus<'_>) {
    for (subject, text, name) in [
        ("Grüße aus Köln", "Schöne Straße, größer als je\r\n", "Jürgen Groß"),
        ("订单已确认", "您的订单已发货。\r\n", "王小明"),
        ("تم تأكيد الطلب", "شكرا لطلبك\r\n", "محمد علي"),
        ("ご注文の確認", "ご注文ありがとうございます。\r\n", "山田 太郎"),
        ("Заказ подтверждён", "Спасибо за заказ.\r\n", "Иван Иванов"),
        ("🎉 party 👩‍👩‍👧", "emoji 🚀 and zero\u{200b}width\r\n", "Zoë 🦀"),
        ("quotes \"and\" <angles>", "a.\r\n.\r\n..dots\r\n", "Doe, \"Jane\" (Sales)"),
    ] {
        corpus.add(|request, expected| {
            let address = expected.to[0].clone();
            request["to"] = json!([{ "address": address, "name": name }]);
            request["subject"] = subject.into();
            request["text"] = text.into();
            subject.clone_into(&mut expected.subject);
            expected.body = Some(("text", text.to_owned()));
            expected.names.insert(address, name.to_owned());
        });
    }
}

fn bodies(corpus: &mut Corpus<'_>) {
    for html in [
        "<p>hi</p>".to_owned(),
        "<p>größer &amp; schöner</p>\r\n<script>1 < 2</script>".to_owned(),
        format!("<table>{}</table>", "<tr><td>cell</td></tr>".repeat(20_000)),
    ] {
        corpus.add(|request, expected| {
            request.as_object_mut().expect("an object").remove("text");
            request["html"] = html.as_str().into();
            expected.body = Some(("html", html));
        });
    }
    for html in ["<b>both</b>", "<p>数字 &euro;</p>"] {
        corpus.add(|request, expected| {
            request["html"] = html.into();
            expected.body = Some(("html", html.to_owned()));
            expected.alternative = Some(request["text"].as_str().expect("text").to_owned());
        });
    }
    corpus.add(|request, expected| {
        request["text"] = "".into();
        expected.body = Some(("text", String::new()));
    });
    corpus.add(|request, expected| {
        request["subject"] = "".into();
        expected.subject = String::new();
    });
}

fn people(corpus: &mut Corpus<'_>) {
    let many = |count: usize, kind: &str| -> Vec<String> {
        (0..count).map(|n| format!("{kind}-{n}@example.org")).collect()
    };
    for (to, cc, bcc) in [(3, 2, 1), (0, 0, 2), (0, 3, 0), (500, 0, 0), (200, 200, 100)] {
        corpus.add(|request, expected| {
            (expected.to, expected.cc, expected.bcc) =
                (many(to, "to"), many(cc, "cc"), many(bcc, "bcc"));
            request["to"] = json!(expected.to);
            request["cc"] = json!(expected.cc);
            request["bcc"] = json!(expected.bcc);
        });
    }
    corpus.add(|request, expected| {
        expected.reply_to = vec!["a@example.org".to_owned(), "b@example.org".to_owned()];
        request["reply_to"] = json!(expected.reply_to);
    });
    corpus.add(|request, expected| {
        expected.from = Some("sales@contoso.example".to_owned());
        request["from"] = "sales@contoso.example".into();
    });
}

fn options(corpus: &mut Corpus<'_>) {
    for importance in ["low", "normal", "high"] {
        corpus.add(|request, expected| {
            request["importance"] = importance.into();
            expected.importance = Some(importance);
        });
    }
    for both in [false, true] {
        corpus.add(|request, expected| {
            expected.categories = vec!["Red".to_owned(), "Größe".to_owned()];
            request["categories"] = json!(expected.categories);
            request["headers"] = json!({ "x-order": "4711", "X-Tenant": "a b" });
            expected.headers.push(("x-order".to_owned(), "4711".to_owned()));
            expected.headers.push(("X-Tenant".to_owned(), "a b".to_owned()));
            request["read_receipt"] = true.into();
            request["delivery_receipt"] = true.into();
            expected.receipts = true;
            if both {
                request["html"] = "<i>all of it</i>".into();
                expected.body = Some(("html", "<i>all of it</i>".to_owned()));
                expected.alternative = Some(request["text"].as_str().expect("text").to_owned());
            }
        });
    }
}

fn files(corpus: &mut Corpus<'_>) {
    for (name, length) in [
        ("empty.pdf", 0),
        ("one.pdf", 1),
        ("Grüße 2026.pdf", 1000),
        ("请求.pdf", 200_000),
        ("nearly 3.pdf", 3 * MEGABYTE - 1),
        ("three.pdf", 3 * MEGABYTE),
        ("over 3.pdf", 3 * MEGABYTE + 1),
        ("four.pdf", 4 * MEGABYTE),
    ] {
        corpus.inline(name, length, None);
    }
    corpus.inline("logo.png", 5000, Some("logo@mail"));
    corpus.add(|request, expected| {
        request["html"] = "<img src=\"cid:pic\">".into();
        expected.body = Some(("html", "<img src=\"cid:pic\">".to_owned()));
        expected.alternative = Some(request["text"].as_str().expect("text").to_owned());
        attach_inline(request, expected, "pic.png", 700_000, Some("pic"));
        attach_inline(request, expected, "paper.pdf", 2 * MEGABYTE, None);
    });
    // what the JSON can just hold, and just not
    for length in [2_900_000, 3_000_000, 3_050_000, 3_100_000] {
        corpus.inline("corner.pdf", length, None);
    }
    for (name, length) in [
        ("empty.zip", 0),
        ("small.zip", 100_000),
        ("edge.zip", 3 * MEGABYTE - 1),
        ("three.zip", 3 * MEGABYTE),
        ("chunk.zip", 12 * 320 * 1024),
        ("Straße.zip", 10 * MEGABYTE + 1),
        ("large.zip", 34 * MEGABYTE),
        ("largest.zip", 150 * MEGABYTE),
    ] {
        corpus.reference(name, length);
    }
    let folder = corpus.folder.to_owned();
    corpus.add(|request, expected| {
        request["html"] = "<p>many</p>".into();
        expected.body = Some(("html", "<p>many</p>".to_owned()));
        expected.alternative = Some(request["text"].as_str().expect("text").to_owned());
        attach_inline(request, expected, "a.pdf", 1_500_000, None);
        attach_inline(request, expected, "b.png", 10_000, Some("b"));
        attach_reference(request, expected, &folder, "mixed 1.zip", 5 * MEGABYTE);
        attach_reference(request, expected, &folder, "mixed 2.zip", 777);
    });
}

/// Answers to a mail that is in the mailbox, in its conversation.
fn answers(corpus: &mut Corpus<'_>, original: &str) {
    let folder = corpus.folder.to_owned();
    for (operation, large) in
        [("reply", false), ("reply", true), ("reply_all", false), ("forward", true)]
    {
        corpus.add(|request, expected| {
            request["operation"] = operation.into();
            request["message"] = original.into();
            request["quote"] = false.into();
            request.as_object_mut().expect("an object").remove("subject");
            let mark = if operation == "forward" { "FW" } else { "RE" };
            expected.subject = format!("{mark}: where is it?");
            if operation != "forward" {
                request.as_object_mut().expect("an object").remove("to");
                expected.to = vec!["customer@example.org".to_owned()];
            }
            if operation == "reply_all" {
                expected.cc = vec!["boss@example.org".to_owned()];
            }
            expected.body = None;
            if large {
                let name = format!("{operation}.zip");
                attach_reference(request, expected, &folder, &name, 4 * MEGABYTE);
            }
        });
    }
}

fn corpus<'a>(folder: &'a Path, original: &str) -> Corpus<'a> {
    let mut corpus = Corpus { folder, cases: Vec::new() };
    words(&mut corpus);
    bodies(&mut corpus);
    people(&mut corpus);
    options(&mut corpus);
    files(&mut corpus);
    answers(&mut corpus, original);
    while corpus.cases.len() < 60 {
        let length = 1000 << (corpus.cases.len() % 12);
        corpus.inline("filler.pdf", length, None);
    }
    corpus
}

fn same(sent: &Sent, expected: &Expected, case: &Value) {
    let about = format!("case {}: {}", case["id"], sent.subject);
    assert_eq!(sent.to, expected.to, "{about}");
    assert_eq!(sent.cc, expected.cc, "{about}");
    assert_eq!(sent.bcc, expected.bcc, "{about}");
    assert_eq!(sent.reply_to, expected.reply_to, "{about}");
    for (address, name) in &expected.names {
        assert_eq!(sent.names.get(address), Some(name), "{about}");
    }
    assert_eq!(sent.from, expected.from.as_deref().unwrap_or(MAILBOX), "{about}");
    assert_eq!(sent.subject, expected.subject, "{about}");
    if let Some((kind, body)) = &expected.body {
        assert_eq!(sent.body_type, *kind, "{about}");
        assert_eq!(sent.body.as_deref(), Some(body.as_str()), "{about}");
        assert_eq!(sent.alternative, expected.alternative, "{about}");
    }
    assert_eq!(sent.importance, expected.importance.unwrap_or("normal"), "{about}");
    assert_eq!(sent.categories, expected.categories, "{about}");
    let sorted = |headers: &[(String, String)]| -> BTreeMap<String, String> {
        headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect()
    };
    let custom = sorted(&sent.headers);
    for (name, value) in sorted(&expected.headers) {
        assert_eq!(custom.get(&name), Some(&value), "{about}: {name}");
    }
    assert_eq!(sent.read_receipt_requested, expected.receipts, "{about}");
    assert_eq!(sent.delivery_receipt_requested, expected.receipts, "{about}");
    let mut files: Vec<_> = sent
        .attachments
        .iter()
        .map(|file| Expectation {
            name: file.name.clone(),
            kind: file.content_type.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            content_id: file.content_id.clone(),
        })
        .collect();
    files.sort();
    let mut wanted: Vec<_> = expected.files.iter().collect();
    wanted.sort();
    assert_eq!(files.iter().collect::<Vec<_>>(), wanted, "{about}");
}

async fn arrives(on: On, guarantee: &'static str) {
    let folder = TempDir::new().expect("a folder");
    // what a test machine's time allows, not what the operator of a mailbox would
    let noreply = MailboxSpec::new(MAILBOX).send_as("sales@contoso.example");
    let sandbox = Sandbox::builder()
        .tenant(Tenant::demo().mailbox(noreply))
        .seed(7)
        .budgets(Budgets::off())
        .message_limit(400 * MEGABYTE);
    let plan = Plan {
        guarantee,
        connection: "    limits: { mailbox_upload_bytes_in_5_minutes: 1000000000 }",
        pipeline: format!(
            "      deadline: 9s\n      settle_time: 5s\n      attachments: [\"file://{}\"]",
            folder.path().display()
        ),
        sandbox,
        payload_max: Some(8 * MEGABYTE),
        ..Plan::default()
    };
    let rig = Rig::new(on, plan).await;
    let original = "From: customer@example.org\r\nTo: noreply@contoso.example\r\n\
                    Cc: boss@example.org\r\nMessage-ID: <q1@example.org>\r\n\
                    Subject: where is it?\r\n\r\nStill waiting.\r\n";
    let arrived = rig.handle().receive(&Arrival::mime(MAILBOX, original)).expect("it arrives");
    let corpus = corpus(folder.path(), &arrived.immutable_id);
    assert_eq!(corpus.cases.len(), 60);
    for case in &corpus.cases {
        rig.publish(plain(case.request.to_string())).await;
    }
    let _program = rig.start();
    rig.drained(LOAD).await;
    let dead = rig.dead().await;
    let reasons: Vec<_> = dead.iter().map(|it| it.headers.get("mailbridge-reason")).collect();
    assert!(dead.is_empty(), "{reasons:?}");
    let sent = rig.handle().truth().sent();
    assert_eq!(sent.len(), 60, "each once");
    for Case { request, expected } in &corpus.cases {
        let id = request["id"].as_str().expect("an id");
        let ours = |sent: &&Sent| {
            sent.headers
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("x-case") && value == id)
        };
        let sent = sent.iter().find(ours).expect("it was sent");
        same(sent, expected, request);
    }
    for (key, outcomes) in rig.outcomes().await {
        let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.data.status).collect();
        assert_eq!(statuses, [Status::Accepted], "{key}");
    }
    assert_eq!(rig.handle().truth().summary().uploads_with_authorization, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_varied_mails_arrive_identical_once() {
    arrives(On::Nats, "once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_varied_mails_arrive_identical_over_kafka() {
    arrives(On::Kafka, "once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_varied_mails_arrive_identical_at_least_once() {
    arrives(On::Nats, "at_least_once").await;
}
