//! Mails of every size and kind, answers, and changes of a message: what arrives is what was asked
//! for, byte for byte and once, also when every step fails now and then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{Code, Completion, Doubt, Guarantee, Mail, Mailbox};
use mailbridge_graph::{Graph, MARK_PROPERTY, Options};
use mailbridge_sandbox::{Arrival, Fault, Operation, Pointer, Running, Sent};
use mailbridge_testkit::shelf::{Shelf, pattern, sha256};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::rig::{Job, SETTLE, decoded, graph, mark, sandbox};

const MAILBOX: &str = "desk@contoso.example";
const ONCE: Guarantee = Guarantee::Once;

fn job(shelf: &Shelf, mut request: Value) -> Job {
    if request.get("id").is_none() {
        request["id"] = json!("1");
    }
    Job {
        id: request["id"].as_str().unwrap().to_owned(),
        mailbox: Mailbox::new(MAILBOX),
        request: decoded(&request),
        guarantee: ONCE,
        files: Arc::new(shelf.clone()),
    }
}

fn only(sandbox: &Running, id: &str) -> Sent {
    let mut sent = sandbox.handle().truth().with_value(mark(id).as_str());
    assert_eq!(sent.len(), 1, "request {id}");
    sent.remove(0)
}

/// Size and checksum of each file, by its name.
type Files = BTreeMap<String, (usize, String)>;

/// The files that arrived.
fn arrived(sent: &Sent) -> Files {
    let one =
        |it: &mailbridge_sandbox::SentAttachment| (it.name.clone(), (it.bytes, it.sha256.clone()));
    sent.attachments.iter().map(one).collect()
}

/// Sizes around every border, inline and by reference, as JSON and as MIME.
fn mails(shelf: &Shelf) -> Vec<(Value, Files)> {
    const MB: u64 = 1_000_000;
    const MIB: u64 = 1024 * 1024;
    let sizes: [&[u64]; 9] = [
        &[],
        &[0],
        &[1, 0, 300_000],
        &[2_990_000],
        &[3 * MB - 1, 10],
        &[3 * MB, 3 * MIB - 1024],
        &[3 * MIB, 3 * MIB + 1],
        &[2 * MB, 2 * MB, 2 * MB],
        &[9 * MB, 5],
    ];
    let mut mails = Vec::new();
    for (number, sizes) in sizes.into_iter().enumerate() {
        for (kind, by_reference, both) in
            [("a", false, false), ("b", true, false), ("c", true, true)]
        {
            let id = format!("{kind}{number}");
            let mut files = Vec::new();
            let mut expected = BTreeMap::new();
            for (index, size) in sizes.iter().enumerate() {
                let name = format!("Größe {index}.bin");
                let bytes = pattern(0..*size);
                expected.insert(name.clone(), (bytes.len(), sha256(&bytes)));
                files.push(if by_reference {
                    let url = format!("s3://b/{id}/{index}");
                    shelf.put_pattern(&url, *size);
                    json!({ "name": name, "url": url, "size": size, "sha256": sha256(&bytes) })
                } else {
                    json!({ "name": name, "content": STANDARD.encode(bytes) })
                });
            }
            let mut mail = json!({
                "id": id, "to": "Bób <bob@x.example>", "bcc": "eve@x.example",
                "subject": format!("Größen {id} 東京"), "text": "привет", "attachments": files,
            });
            if both {
                mail["html"] = json!("<p>привет</p>");
            }
            mails.push((mail, expected));
        }
    }
    mails
}

fn everything_goes_wrong(sandbox: &Running) {
    let steps = [
        Operation::CreateMessage,
        Operation::UpdateMessage,
        Operation::SendMessage,
        Operation::ListMessages,
        Operation::CreateAttachment,
        Operation::CreateUploadSession,
        Operation::UploadChunk,
        Operation::GetUpload,
    ];
    for step in steps {
        for fault in [
            Fault::throttle(0.15).probability(0.05),
            Fault::answer(503).probability(0.04),
            Fault::answer(504).after().probability(0.06),
            Fault::close().after().probability(0.04),
        ] {
            sandbox.handle().add_fault(fault.on(step));
        }
    }
}

async fn carry_out_all(graph: &Arc<Graph>, jobs: Vec<Job>) {
    let mut tasks = JoinSet::new();
    for job in jobs {
        let graph = Arc::clone(graph);
        tasks.spawn(async move {
            let done = job.carry_out(&graph).await;
            assert!(matches!(done, Ok(Completion::Sent { .. })), "{}: {done:?}", job.id);
        });
        if tasks.len() >= 4 {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    tasks.join_all().await;
}

async fn every_mail_arrives(goes_wrong: bool, guarantee: Guarantee) {
    let sandbox = sandbox().await;
    if goes_wrong {
        everything_goes_wrong(&sandbox);
    }
    let shelf = Shelf::default();
    let mails = mails(&shelf);
    // over several mailboxes, since one takes 150 MB in five minutes
    let jobs = mails.iter().enumerate().map(|(number, (mail, _))| {
        let mailbox = Mailbox::new(format!("desk{}@contoso.example", number % 9));
        Job { mailbox, guarantee, ..job(&shelf, mail.clone()) }
    });
    carry_out_all(&graph(&sandbox, Options::default()), jobs.collect()).await;
    let truth = sandbox.handle().truth();
    for (mail, expected) in &mails {
        let subject = mail["subject"].as_str().unwrap();
        let sent = truth.with_subject(subject);
        assert_eq!(sent.len(), 1, "{subject}");
        assert_eq!(arrived(&sent[0]), *expected, "{subject}");
        assert_eq!(sent[0].bcc, ["eve@x.example"]);
        let html = mail.get("html").is_some();
        assert_eq!(sent[0].body_type, if html { "html" } else { "text" }, "{subject}");
    }
    assert_eq!(truth.summary().uploads_with_authorization, 0);
    assert_eq!(truth.duplicates(MARK_PROPERTY).unwrap(), BTreeMap::new());
    assert!(shelf.piece_bytes_max() <= 4_000_000, "{}", shelf.piece_bytes_max());
    if goes_wrong {
        let struck = sandbox.handle().faults().iter().filter(|rule| rule.fired > 0).count();
        assert!(struck >= 12, "the faults must have bitten: {struck} rules did");
    } else {
        assert_eq!((truth.drafts_left(), truth.summary().uploads_open), (0, 0));
    }
}

#[tokio::test]
async fn every_size_arrives_byte_for_byte() {
    every_mail_arrives(false, ONCE).await;
}

#[tokio::test]
async fn every_size_arrives_byte_for_byte_at_least_once_too() {
    every_mail_arrives(false, Guarantee::AtLeastOnce).await;
}

#[tokio::test]
async fn whatever_goes_wrong_every_size_arrives_once() {
    every_mail_arrives(true, ONCE).await;
}

/// A mail from outside, by its immutable id.
fn received(sandbox: &Running) -> String {
    let raw = "From: Ann <ann@x.example>\r\nTo: desk@contoso.example, carl@x.example\r\n\
               Message-ID: <q1@x.example>\r\nSubject: Question\r\n\
               Content-Type: text/html\r\n\r\n<html><body><p>how?</p></body></html>\r\n";
    sandbox.handle().receive(&Arrival::mime(MAILBOX, raw)).unwrap().immutable_id
}

#[tokio::test]
async fn answers_stay_in_the_conversation() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    let (shelf, message) = (Shelf::default(), received(&sandbox));
    shelf.put_pattern("s3://b/log", 5_000_000);
    let file = json!([{ "url": "s3://b/log" }]);
    let answers = [
        json!({ "id": "r", "operation": "reply", "message": message, "text": "so & so" }),
        json!({ "id": "a", "operation": "reply_all", "message": message, "html": "<b>so</b>",
                "attachments": file }),
        json!({ "id": "f", "operation": "forward", "message": message, "to": "dan@x.example",
                "subject": "look", "quote": false, "text": "see", "categories": ["Red"] }),
    ];
    for answer in answers {
        let done = job(&shelf, answer).carry_out(&graph).await.unwrap();
        assert!(matches!(done, Completion::Sent { found: false, .. }));
    }
    let (reply, all, forward) = (only(&sandbox, "r"), only(&sandbox, "a"), only(&sandbox, "f"));
    assert_eq!(reply.to, ["ann@x.example"]);
    assert_eq!(reply.subject, "RE: Question");
    assert_eq!(reply.in_reply_to.as_deref(), Some("<q1@x.example>"));
    let body = reply.body.unwrap();
    assert!(body.contains("so &amp; so") && body.contains("how?"), "{body}");
    assert!(all.to.iter().chain(&all.cc).any(|it| it == "carl@x.example"), "{all:?}");
    assert_eq!(arrived(&all)["log"], (5_000_000, sha256(&pattern(0..5_000_000))));
    assert_eq!((forward.to, forward.subject.as_str()), (vec!["dan@x.example".to_owned()], "look"));
    assert_eq!(forward.body.as_deref().map(str::trim), Some("see"));
    assert_eq!(forward.categories, ["Red"]);
    assert_eq!(reply.conversation_id, all.conversation_id);
}

#[tokio::test]
async fn an_answer_to_what_is_gone_is_refused() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    let (shelf, message) = (Shelf::default(), received(&sandbox));
    let pointer = Pointer::subject(MAILBOX, "Question");
    sandbox.handle().delete_message(&pointer, true).unwrap();
    for operation in ["reply", "mark_read", "move", "categorize", "delete"] {
        let mut request = json!({ "operation": operation, "message": message });
        match operation {
            "move" => request["folder"] = json!("archive"),
            "categorize" => request["add"] = json!(["Red"]),
            _ => {}
        }
        let done = job(&shelf, request).carry_out(&graph).await.map_err(|error| error.code());
        let expected = match operation {
            "delete" => Ok(Completion::Done),
            _ => Err(Code::GraphMessageGone),
        };
        assert_eq!(done, expected, "{operation}");
    }
}

#[tokio::test]
async fn a_message_is_changed_and_changing_it_again_changes_nothing() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    let (shelf, message) = (Shelf::default(), received(&sandbox));
    let steps = [
        json!({ "operation": "mark_read", "message": message }),
        json!({ "operation": "categorize", "message": message, "set": ["New", "Red"] }),
        json!({ "operation": "categorize", "message": message, "add": ["Done"], "remove": ["new"] }),
        json!({ "operation": "move", "message": message, "folder": "archive" }),
        json!({ "operation": "mark_read", "message": message, "is_read": false }),
    ];
    for step in &steps {
        for _ in 0..2 {
            let done = job(&shelf, step.clone()).carry_out(&graph).await.unwrap();
            assert_eq!(done, Completion::Done, "{step}");
        }
    }
    let token = token(&sandbox).await;
    let shown = get(
        &sandbox,
        &token,
        &format!("messages/{}", message.replace('/', "%2F").replace('+', "%2B")),
    )
    .await;
    let archive = get(&sandbox, &token, "mailFolders/archive").await;
    assert_eq!(shown["parentFolderId"], archive["id"]);
    assert_eq!((&shown["isRead"], &shown["categories"]), (&json!(false), &json!(["Red", "Done"])));

    let nowhere = json!({ "operation": "move", "message": message, "folder": "AAMkNowhere=" });
    let error = job(&shelf, nowhere).attempt(&graph, Doubt::None).await.unwrap_err();
    let code = error.code();
    assert!([Code::GraphFolderNotFound, Code::GraphRefused].contains(&code), "{error:?}");

    let delete = job(&shelf, json!({ "operation": "delete", "message": message }));
    for _ in 0..3 {
        assert_eq!(delete.carry_out(&graph).await.unwrap(), Completion::Done);
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().build().unwrap()
}

async fn token(sandbox: &Running) -> String {
    use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID};
    let url = format!("{}/{DEMO_TENANT_ID}/oauth2/v2.0/token", sandbox.login_url());
    let scope = format!("{}/.default", sandbox.graph_url());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", DEMO_CLIENT_ID),
        ("client_secret", DEMO_CLIENT_SECRET),
        ("scope", &scope),
    ];
    let answer = client().post(url).form(&form).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn get(sandbox: &Running, token: &str, path: &str) -> Value {
    let url = format!("{}/v1.0/users/{MAILBOX}/{path}", sandbox.graph_url());
    let request = client().get(url).bearer_auth(token);
    let request = request.header("prefer", r#"IdType="ImmutableId""#);
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_half_made_draft_of_a_dead_attempt_is_replaced() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    let shelf = Shelf::default();
    shelf.put_pattern("s3://b/k", 9_000_000);
    let request = json!({ "to": "bob@x.example", "subject": "big", "text": "t",
                          "attachments": [{ "url": "s3://b/k" }] });
    let job = job(&shelf, request);
    // the worker dies while the second piece is on its way
    let hang =
        Fault::new(mailbridge_sandbox::Kind::Hang { seconds: 30.0 }).on(Operation::UploadChunk);
    sandbox.handle().add_fault(hang.at_most(1));
    let dies = tokio::time::timeout(Duration::from_millis(500), job.attempt(&graph, Doubt::None));
    assert!(dies.await.is_err());
    assert_eq!(sandbox.handle().truth().drafts_left(), 1);
    sleep(SETTLE).await;
    // another worker
    let other = crate::rig::graph(&sandbox, Options::default());
    assert_eq!(job.attempt(&other, Doubt::Old).await.unwrap(), Completion::Absent);
    assert_eq!(sandbox.handle().truth().drafts_left(), 0);
    job.carry_out(&other).await.unwrap();
    assert_eq!(only(&sandbox, "1").attachments[0].bytes, 9_000_000);
}

#[tokio::test]
async fn a_draft_that_a_person_deleted_or_changed_is_made_anew() {
    for deleted in [true, false] {
        let sandbox = sandbox().await;
        let graph = graph(&sandbox, Options::default());
        let job =
            job(&Shelf::default(), json!({ "to": "bob@x.example", "subject": "s", "text": "t" }));
        let throttle = Fault::throttle(3.0).on(Operation::SendMessage).at_most(1);
        sandbox.handle().add_fault(throttle);
        let error = job.attempt(&graph, Doubt::None).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphThrottled);
        let pointer = Pointer::value(MAILBOX, mark("1").as_str());
        if deleted {
            sandbox.handle().delete_message(&pointer, true).unwrap();
        } else {
            let Value::Object(change) = json!({ "subject": "edited" }) else { unreachable!() };
            sandbox.handle().edit_draft(&pointer, change).unwrap();
        }
        sleep(Duration::from_secs(3)).await;
        job.carry_out(&graph).await.unwrap();
        assert_eq!(only(&sandbox, "1").subject, "s", "deleted: {deleted}");
        assert_eq!(sandbox.handle().truth().sent_total(), 1);
    }
}

#[tokio::test]
async fn a_forgotten_draft_is_deleted_when_its_mail_shows_and_not_before() {
    for shows in [true, false] {
        let sandbox = sandbox().await;
        let options = Options { sweep_after: Duration::ZERO, ..Options::default() };
        let graph = graph(&sandbox, options);
        let mail = json!({ "to": "bob@x.example", "subject": "s", "text": "t" });
        let job = job(&Shelf::default(), mail);
        // the draft is made, and nobody is told
        let fault = Fault::answer(504).after().on(Operation::CreateMessage).at_most(1);
        sandbox.handle().add_fault(fault);
        let error = job.attempt(&graph, Doubt::None).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphUnavailable);
        graph.tidy().await;
        assert_eq!(sandbox.handle().truth().drafts_left(), 1, "its request goes on");
        job.attempt(&graph, Doubt::None).await.unwrap();
        if shows {
            sleep(SETTLE).await;
        } else {
            let pointer = Pointer::value(MAILBOX, mark("1").as_str());
            // the newest is the one that was sent
            sandbox.handle().delete_message(&pointer, true).unwrap();
        }
        graph.tidy().await;
        let truth = sandbox.handle().truth();
        assert_eq!((truth.drafts_left(), truth.sent_total()), (usize::from(!shows), 1));
    }
}

#[tokio::test]
async fn the_largest_file_arrives_and_a_larger_one_is_refused_before_anything_is_made() {
    const BYTES: u64 = 150_000_000;
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    let shelf = Shelf::default();
    shelf.put_pattern("s3://b/k", BYTES);
    shelf.put_pattern("s3://b/larger", 160_000_000);
    let mail = |id: &str, url: &str| json!({ "id": id, "to": "bob@x.example", "text": "t", "attachments": [{ "url": url }] });
    // what a mailbox takes unless its administrator says more
    shelf.put_pattern("s3://b/40", 40_000_000);
    let refused = job(&shelf, mail("3", "s3://b/40")).carry_out(&graph).await.unwrap_err();
    assert_eq!(refused.code(), Code::GraphTooLarge);
    assert_eq!(sandbox.handle().truth().drafts_left(), 0);

    sandbox.handle().set_message_limit(250_000_000);
    let job_of = |id, url| Job {
        mailbox: Mailbox::new("big@contoso.example"),
        ..job(&shelf, mail(id, url))
    };
    job_of("1", "s3://b/k").carry_out(&graph).await.unwrap();
    let file = &only(&sandbox, "1").attachments[0];
    assert_eq!((file.bytes, file.name.as_str()), (150_000_000, "k"));
    assert_eq!(file.sha256, sha256(&pattern(0..BYTES)));
    assert_eq!(shelf.bytes_read(), BYTES + 40_000_000);
    assert!(shelf.piece_bytes_max() < 4_000_000);
    let refused = job(&shelf, mail("2", "s3://b/larger")).carry_out(&graph).await.unwrap_err();
    assert_eq!(refused.code(), Code::RequestAttachmentTooLarge);
    assert_eq!(sandbox.handle().truth().drafts_left(), 0);
}
