//! Mails of every size: which requests they become, what an upload does when it is put off, cut,
//! repeated or ended, and that nothing but the upload's own bytes goes to its URL.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{Code, Deadline, Doubt, Error, Guarantee, NoFiles, Verdict};
use mailbridge_graph::Options;
use mailbridge_testkit::shelf::{Shelf, pattern, sha256};
use serde_json::{Value, json};

use crate::{
    scene::{MAILBOX, Scene, draft, mark, perform_with, sent},
    stub::{Asked, Reply, Stub},
};

const PIECE: u64 = 12 * 320 * 1024;
const ONCE: Guarantee = Guarantee::Once;

/// A mailbox with one draft and one upload session at a time.
#[derive(Default)]
struct State {
    base: String,
    /// Session number, size, bytes so far.
    session: Option<(u32, u64, Vec<u8>)>,
    sessions: u32,
    chunks: u32,
    /// Name and bytes of each file on the draft.
    files: Vec<(String, Vec<u8>)>,
}

type Shared = Arc<Mutex<State>>;
/// What goes wrong: asked before (first) and after (then) the request is carried out.
type Fault = fn(&mut State, &Asked) -> Option<Reply>;

fn never(_: &mut State, _: &Asked) -> Option<Reply> {
    None
}

struct Large {
    scene: Scene,
    state: Shared,
    shelf: Shelf,
}

impl Large {
    async fn new(before: Fault, after: Fault) -> Self {
        let state = Shared::default();
        let known = Arc::clone(&state);
        let scene = Scene::with(Options::default(), json!("s"), move |asked: &Asked| {
            let mut state = known.lock().unwrap();
            if let Some(reply) = before(&mut state, asked) {
                return reply;
            }
            let reply = state.answer(asked);
            after(&mut state, asked).unwrap_or(reply)
        })
        .await;
        state.lock().unwrap().base = scene.stub.url();
        Self { scene, state, shelf: Shelf::default() }
    }

    async fn send(&self, request: &Value) -> Result<(), Error> {
        let request = request.to_string();
        let result = self.scene.send_with(&request, ONCE, Doubt::None, &self.shelf).await;
        result.map(|completion| assert_eq!(completion, sent(Some("<1@contoso.com>"), false)))
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.state.lock().unwrap().files.clone()
    }

    fn asked(&self, what: &str) -> Vec<Asked> {
        self.scene.stub.asked().into_iter().filter(|asked| asked.what() == what).collect()
    }
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.what().as_str() {
            "POST messages" => draft(),
            "PATCH draft" => Reply::json(200, r#"{"id":"draft/1+=","parentFolderId":"drafts-1"}"#),
            "POST send" | "POST sendMail" => Reply::status(202),
            "DELETE draft" | "DELETE session" => Reply::status(204),
            "POST attachments" => {
                let file = asked.json();
                let bytes = STANDARD.decode(file["contentBytes"].as_str().unwrap()).unwrap();
                self.files.push((file["name"].as_str().unwrap().to_owned(), bytes));
                Reply::json(201, "{}")
            }
            "POST createUploadSession" => {
                let item = asked.json()["AttachmentItem"].clone();
                self.sessions += 1;
                self.session = Some((self.sessions, item["size"].as_u64().unwrap(), Vec::new()));
                let url = format!("{}/u/session{}?authtoken=secret", self.base, self.sessions);
                let body = json!({ "uploadUrl": url, "nextExpectedRanges": ["0-"] });
                Reply::json(201, body.to_string())
            }
            "PUT session" => self.chunk(asked),
            "GET session" => match &self.session {
                Some((_, _, bytes)) => next(bytes.len()),
                None => Reply::status(404),
            },
            other => panic!("{other}"),
        }
    }

    fn chunk(&mut self, asked: &Asked) -> Reply {
        self.chunks += 1;
        assert_eq!(asked.header("authorization"), None);
        assert_eq!(asked.header("client-request-id"), None);
        assert_eq!(asked.header("content-type"), Some("application/octet-stream"));
        let Some((number, size, bytes)) = &mut self.session else { return Reply::status(404) };
        if !asked.target.contains(&format!("session{number}?")) {
            return Reply::status(404);
        }
        let range = asked.header("content-range").unwrap().strip_prefix("bytes ").unwrap();
        let (range, total) = range.split_once('/').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(total, size.to_string());
        assert_eq!(last + 1 - first, asked.bytes.len());
        assert!(asked.bytes.len() as u64 <= PIECE);
        if first != bytes.len() {
            return Reply::status(416);
        }
        bytes.extend_from_slice(&asked.bytes);
        if bytes.len() as u64 == *size {
            let (_, _, bytes) = self.session.take().unwrap();
            self.files.push(("uploaded".to_owned(), bytes));
            return Reply::status(201).with("location", "https://outlook.example/x");
        }
        next(bytes.len())
    }
}

fn next(at: usize) -> Reply {
    Reply::json(200, json!({ "nextExpectedRanges": [at.to_string()] }).to_string())
}

fn patterned(bytes: u64) -> Vec<u8> {
    pattern(0..bytes)
}

fn by_reference(url: &str) -> Value {
    json!({ "id": "1", "to": "bob@x.org", "text": "t", "attachments": [{ "url": url }] })
}

fn inline(sizes: &[u64]) -> Value {
    let file = |bytes: &u64| json!({ "name": "f", "content": STANDARD.encode(patterned(*bytes)) });
    let files: Vec<_> = sizes.iter().map(file).collect();
    json!({ "id": "1", "to": "bob@x.org", "text": "t", "attachments": files })
}

#[tokio::test]
async fn the_size_decides_the_way() {
    const MB: u64 = 1_000_000;
    let cases: [(&[u64], &[&str]); 6] = [
        (&[0, 10], &["POST messages", "POST send"]),
        (&[2_900_000], &["POST messages", "POST send"]),
        (
            &[2 * MB, 1, 2 * MB],
            &[
                "POST messages",
                "POST attachments",
                "POST attachments",
                "POST attachments",
                "PATCH draft",
                "POST send",
            ],
        ),
        (
            &[3 * 1024 * 1024, 0],
            &[
                "POST messages",
                "POST createUploadSession",
                "PUT session",
                "POST attachments",
                "PATCH draft",
                "POST send",
            ],
        ),
        (
            &[PIECE],
            &[
                "POST messages",
                "POST createUploadSession",
                "PUT session",
                "PATCH draft",
                "POST send",
            ],
        ),
        (
            &[PIECE + 1],
            &[
                "POST messages",
                "POST createUploadSession",
                "PUT session",
                "PUT session",
                "PATCH draft",
                "POST send",
            ],
        ),
    ];
    for (sizes, steps) in cases {
        let large = Large::new(never, never).await;
        large.send(&inline(sizes)).await.unwrap();
        assert_eq!(large.scene.stub.graph_asked(), *steps, "{sizes:?}");
        let files = large.files();
        if !files.is_empty() {
            assert!(files.iter().zip(sizes).all(|(file, size)| file.1 == patterned(*size)));
            assert_eq!(files.len(), sizes.len());
        }
    }
}

#[tokio::test]
async fn a_reference_goes_the_same_ways_and_is_never_read_whole() {
    let large = Large::new(never, never).await;
    large.shelf.put("s3://b/small.txt", "hello");
    large.shelf.put_pattern("s3://b/large.bin", 10_000_000);
    large.send(&by_reference("s3://b/small.txt")).await.unwrap();
    let create = large.asked("POST messages").pop().unwrap().json();
    assert_eq!(create["attachments"][0]["name"], "small.txt");
    assert_eq!(create["attachments"][0]["contentBytes"], STANDARD.encode("hello"));
    large.send(&by_reference("s3://b/large.bin")).await.unwrap();
    assert_eq!(large.files()[0].1, patterned(10_000_000));
    assert_eq!(large.shelf.piece_bytes_max(), PIECE);
    assert_eq!(large.shelf.bytes_read(), 10_000_005);
}

#[tokio::test]
async fn a_draft_has_its_mark_only_when_it_is_whole() {
    let large = Large::new(never, never).await;
    large.send(&inline(&[4_000_000])).await.unwrap();
    let value = |asked: &Asked| {
        asked.json()["singleValueExtendedProperties"][0]["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(value(&large.asked("POST messages")[0]), format!("{}.half", mark()));
    assert_eq!(value(&large.asked("PATCH draft")[0]), mark().as_str());
    let item = &large.asked("POST createUploadSession")[0].json()["AttachmentItem"];
    assert_eq!((item["attachmentType"].as_str(), item["name"].as_str()), (Some("file"), Some("f")));
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was() {
    // each with the second piece: put off, not answered before and after it was taken, taken twice
    let faults: [(Fault, Fault); 5] = [
        (
            |state, asked| {
                (asked.what() == "PUT session" && state.chunks == 1).then(|| {
                    state.chunks += 1;
                    Reply::error(429, "ApplicationThrottled").with("retry-after", "0.2")
                })
            },
            never,
        ),
        (
            |state, asked| {
                (asked.what() == "PUT session" && state.chunks == 1).then(|| {
                    state.chunks += 1;
                    Reply::status(503)
                })
            },
            never,
        ),
        (never, |state, asked| {
            (asked.what() == "PUT session" && state.chunks == 2).then_some(Reply::Cut)
        }),
        (never, |state, asked| {
            (asked.what() == "PUT session" && state.chunks == 2).then(|| Reply::status(504))
        }),
        (
            |state, asked| {
                // somebody on the way delivers the piece twice
                if asked.what() == "PUT session" && state.chunks == 1 {
                    state.chunk(asked);
                }
                None
            },
            never,
        ),
    ];
    for (number, (before, after)) in faults.into_iter().enumerate() {
        let large = Large::new(before, after).await;
        large.shelf.put_pattern("s3://b/k", 3 * PIECE + 5);
        let mut request = by_reference("s3://b/k");
        request["attachments"][0]["sha256"] = json!(sha256(&patterned(3 * PIECE + 5)));
        large.send(&request).await.unwrap_or_else(|error| panic!("{number}: {error:?}"));
        let files = large.files();
        assert_eq!(files.len(), 1, "{number}");
        assert!(files[0].1 == patterned(3 * PIECE + 5), "{number}");
        assert_eq!(large.asked("POST createUploadSession").len(), 1, "{number}");
    }
}

#[tokio::test]
async fn a_session_that_ends_early_is_replaced_by_another() {
    let large = Large::new(
        |state, asked| {
            if asked.what() == "PUT session" && state.chunks == 1 && state.sessions == 1 {
                state.session = None;
            }
            None
        },
        never,
    )
    .await;
    large.send(&inline(&[2 * PIECE])).await.unwrap();
    assert_eq!(large.asked("POST createUploadSession").len(), 2);
    assert!(large.files()[0].1 == patterned(2 * PIECE));
}

#[tokio::test]
async fn an_upload_whose_end_nobody_knows_ends_the_draft() {
    // the last piece is taken, its answer is lost, and the session is not there any more
    let large = Large::new(never, |state, asked| {
        (asked.what() == "PUT session" && state.session.is_none()).then_some(Reply::Cut)
    })
    .await;
    let error = large.send(&inline(&[PIECE + 1])).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphUploadFailed);
    assert!(matches!(error.verdict(), Verdict::Transient { .. }));
    let steps = large.scene.stub.graph_asked();
    assert_eq!(steps.last().unwrap(), "DELETE draft");
    assert!(!steps.contains(&"POST send".to_owned()) && !steps.contains(&"PATCH draft".to_owned()));
}

#[tokio::test]
async fn an_upload_that_does_not_get_on_ends_in_bounded_time() {
    let faults: [Fault; 3] = [
        |_, asked| (asked.what() == "PUT session").then(|| Reply::status(416)),
        |_, asked| (asked.what() == "PUT session").then(|| next(0)),
        |_, asked| (asked.what() == "PUT session").then(|| Reply::status(410)),
    ];
    for fault in faults {
        let large = Large::new(fault, never).await;
        let error = large.send(&inline(&[4_000_000])).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphUploadFailed);
        let steps = large.scene.stub.graph_asked();
        assert!(steps.len() < 30 && steps.last().unwrap() == "DELETE draft", "{steps:?}");
    }
}

#[tokio::test]
async fn what_is_refused_for_its_size_goes_the_other_way() {
    let too_small: Fault = |_, asked| {
        (asked.what() == "POST createUploadSession")
            .then(|| Reply::error(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"))
    };
    let large = Large::new(too_small, never).await;
    large.send(&inline(&[3_100_000])).await.unwrap();
    assert!(large.files()[0].1 == patterned(3_100_000));

    let posts_refused: Fault =
        |_, asked| (asked.what() == "POST attachments").then(|| Reply::status(413));
    let large = Large::new(posts_refused, never).await;
    large.send(&inline(&[2_900_000, 2_900_000])).await.unwrap();
    assert_eq!(large.files().len(), 2);

    // one request for all, refused: then a draft without the files
    let whole_refused: Fault = |_, asked| {
        let embedded = asked.what() == "POST messages" && asked.body.contains("contentBytes");
        embedded.then(|| Reply::status(413))
    };
    let large = Large::new(whole_refused, never).await;
    large.send(&inline(&[2_000_000])).await.unwrap();
    assert_eq!(large.files().len(), 1);

    let neither: Fault = |state, asked| too_small_or_413(state, asked);
    let large = Large::new(neither, never).await;
    let error = large.send(&inline(&[3_100_000])).await.unwrap_err();
    assert_eq!(
        (error.code(), error.verdict()),
        (Code::GraphAttachmentTooSmall, Verdict::Permanent)
    );
    assert_eq!(large.scene.stub.graph_asked().last().unwrap(), "DELETE draft");
}

fn too_small_or_413(_: &mut State, asked: &Asked) -> Option<Reply> {
    match asked.what().as_str() {
        "POST createUploadSession" => {
            Some(Reply::error(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"))
        }
        "POST attachments" => Some(Reply::status(413)),
        _ => None,
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_said_is_not_sent() {
    type Case = (&'static str, fn(&mut Value), Code, bool);
    let url = "s3://b/report.pdf";
    let cases: [Case; 4] = [
        ("size", |file| file["size"] = json!(7), Code::AttachmentMismatch, false),
        (
            "checksum",
            |file| file["sha256"] = json!("00".repeat(32)),
            Code::AttachmentMismatch,
            true,
        ),
        ("missing", |file| file["url"] = json!("s3://b/other"), Code::AttachmentMissing, false),
        (
            "too large",
            |file| file["url"] = json!("s3://b/huge"),
            Code::RequestAttachmentTooLarge,
            false,
        ),
    ];
    for (what, change, code, drafted) in cases {
        let large = Large::new(never, never).await;
        large.shelf.put_pattern(url, 5_000_000);
        large.shelf.put_pattern("s3://b/huge", 160_000_000);
        let mut request = by_reference(url);
        change(&mut request["attachments"][0]);
        let error = large.send(&request).await.unwrap_err();
        assert_eq!((error.code(), error.verdict()), (code, Verdict::Permanent), "{what}");
        assert!(error.field("attachment").is_some(), "{what}: {error:?}");
        let steps = large.scene.stub.graph_asked();
        assert!(!steps.contains(&"POST send".to_owned()), "{what}");
        assert_eq!(
            steps.last().is_some_and(|it| it == "DELETE draft"),
            drafted,
            "{what}: {steps:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_changes_under_way_ends_the_draft() {
    let large = Large::new(
        |_, asked| {
            (asked.what() == "PUT session")
                .then(|| Reply::Late(Duration::from_millis(100), Box::new(next(12 * 320 * 1024))))
        },
        never,
    )
    .await;
    large.shelf.put_pattern("s3://b/k", 3 * PIECE);
    let request = by_reference("s3://b/k");
    let changes = async {
        large.scene.stub.until(|stub| stub.graph_asked().contains(&"PUT session".to_owned())).await;
        large.shelf.put_pattern("s3://b/k", 3 * PIECE);
    };
    let (result, ()) = tokio::join!(large.send(&request), changes);
    assert_eq!(result.unwrap_err().code(), Code::AttachmentChanged);
    let steps = large.scene.stub.graph_asked();
    assert!(steps.contains(&"DELETE session".to_owned()), "{steps:?}");
    assert_eq!(steps.last().unwrap(), "DELETE draft");
}

#[tokio::test]
async fn nothing_is_uploaded_to_an_unsafe_place() {
    let other = Stub::start(|_| Reply::status(201)).await;
    for url in ["http://mail.example/u", "ftp://127.0.0.1/u", "/u", "https://user:pw@x.example/u"] {
        let scene = Scene::new(move |asked: &Asked| match asked.what().as_str() {
            "POST messages" => draft(),
            "POST createUploadSession" => Reply::json(201, json!({ "uploadUrl": url }).to_string()),
            "DELETE draft" => Reply::status(204),
            other => panic!("{other}"),
        })
        .await;
        let request = inline(&[4_000_000]).to_string();
        let error = scene.send_with(&request, ONCE, Doubt::None, &NoFiles).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphUnexpected, "{url}");
        assert!(!format!("{error:?}").contains("/u"), "{error:?}");
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_attempt_without_progress() {
    let slow: Fault = |state, asked| {
        (asked.what() == "PUT session").then(|| {
            let reply = state.chunk(asked);
            Reply::Late(Duration::from_millis(700), Box::new(reply))
        })
    };
    for (limit, expected) in [(60_000, true), (3_200, false)] {
        let large = Large::new(slow, never).await;
        let deadline = Deadline::new(Duration::from_secs(3), Duration::from_millis(limit));
        large.shelf.put_pattern("s3://b/k", 6 * PIECE);
        let request = by_reference("s3://b/k").to_string();
        let result = perform_with(
            &large.scene.graph,
            MAILBOX,
            &request,
            ONCE,
            Doubt::None,
            &deadline,
            &large.shelf,
        )
        .await;
        assert_eq!(result.is_ok(), expected, "{result:?}");
    }
}

#[tokio::test]
async fn at_least_once_takes_the_same_way_for_what_is_large() {
    let large = Large::new(never, never).await;
    let request = inline(&[4_000_000]);
    let guarantee = Guarantee::AtLeastOnce;
    let send = |request: Value| async move {
        let large = Large::new(never, never).await;
        let sent =
            large.scene.send_with(&request.to_string(), guarantee, Doubt::Old, &large.shelf).await;
        (sent.map_err(|error| error.code()), large.scene.stub.graph_asked())
    };
    drop(large);
    let (result, steps) = send(request.clone()).await;
    assert_eq!(result, Ok(sent(Some("<1@contoso.com>"), false)));
    assert_eq!(steps.last().unwrap(), "POST send");
    let mut unsaved = request;
    unsaved["save_to_sent_items"] = json!(false);
    let (result, steps) = send(unsaved).await;
    assert_eq!(result, Err(Code::RequestConflict));
    assert!(steps.is_empty());
    let mut small = inline(&[1000]);
    small["save_to_sent_items"] = json!(false);
    assert_eq!(send(small).await.1, ["POST sendMail"]);
}

#[tokio::test]
async fn text_and_html_with_a_large_file_is_a_mime_draft_that_the_file_is_added_to() {
    let large = Large::new(never, never).await;
    let mut request = inline(&[4_000_000]);
    request["html"] = json!("<p>t</p>");
    request["categories"] = json!(["Red"]);
    large.send(&request).await.unwrap();
    assert_eq!(
        large.scene.stub.graph_asked(),
        [
            "POST messages",
            "PATCH draft",
            "POST createUploadSession",
            "PUT session",
            "PUT session",
            "PATCH draft",
            "POST send"
        ]
    );
    let raw = STANDARD.decode(&large.asked("POST messages")[0].body).unwrap();
    let mail = mail_parser::MessageParser::new().parse(&raw).unwrap();
    assert_eq!(mail.attachment_count(), 0);
    let patches = large.asked("PATCH draft");
    assert!(patches[0].body.contains(".half") && !patches[1].body.contains(".half"));
    assert_eq!(patches[1].json()["categories"][0], "Red");
}

#[tokio::test]
async fn a_large_message_is_taken_apart_and_a_signed_one_is_not() {
    let message = |kind: &str| {
        let file = STANDARD.encode(patterned(5_000_000));
        let raw = format!(
            "From: a@x.org\r\nTo: b@x.org\r\nContent-Type: multipart/{kind}; boundary=B\r\n\r\n\
             --B\r\nContent-Type: text/plain\r\n\r\nhi\r\n--B\r\n\
             Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=f.pdf\r\n\r\n{file}\r\n--B--\r\n"
        );
        json!({ "id": "1", "mime": STANDARD.encode(raw) })
    };
    let large = Large::new(never, never).await;
    large.send(&message("mixed")).await.unwrap();
    assert!(large.files()[0].1 == patterned(5_000_000));
    let raw = STANDARD.decode(&large.asked("POST messages")[0].body).unwrap();
    assert!(raw.ends_with(b"hi\r\n--B--\r\n"), "{}", String::from_utf8_lossy(&raw));

    let large = Large::new(never, never).await;
    let error = large.send(&message("signed")).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::RequestTooLarge, Verdict::Permanent));
    assert!(large.scene.stub.graph_asked().is_empty());
}
