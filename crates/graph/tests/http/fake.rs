//! A mailbox that takes drafts with files of any size, as far as the tests of large mails need one.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{Doubt, Error, Guarantee};
use mailbridge_graph::Options;
use mailbridge_testkit::shelf::{Shelf, pattern};
use serde_json::{Value, json};

use crate::{
    scene::{Scene, draft, sent},
    stub::{Asked, Reply},
};

pub const PIECE: u64 = 12 * 320 * 1024;
pub const ONCE: Guarantee = Guarantee::Once;

/// A mailbox with one draft and one upload session at a time.
#[derive(Default)]
pub struct State {
    pub base: String,
    /// Session number, size, bytes so far.
    pub session: Option<(u32, u64, Vec<u8>)>,
    pub sessions: u32,
    pub chunks: u32,
    /// Name and bytes of each file on the draft.
    pub files: Vec<(String, Vec<u8>)>,
}

pub type Shared = Arc<Mutex<State>>;
/// What goes wrong: asked before (first) and after (then) the request is carried out.
pub type Fault = fn(&mut State, &Asked) -> Option<Reply>;

pub fn never(_: &mut State, _: &Asked) -> Option<Reply> {
    None
}

pub struct Large {
    pub scene: Scene,
    pub state: Shared,
    pub shelf: Shelf,
}

impl Large {
    pub async fn new(before: Fault, after: Fault) -> Self {
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

    pub async fn send(&self, request: &Value) -> Result<(), Error> {
        let request = request.to_string();
        let result = self.scene.send_with(&request, ONCE, Doubt::None, &self.shelf).await;
        result.map(|completion| assert_eq!(completion, sent(Some("<1@contoso.com>"), false)))
    }

    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.state.lock().unwrap().files.clone()
    }

    pub fn asked(&self, what: &str) -> Vec<Asked> {
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

    pub fn chunk(&mut self, asked: &Asked) -> Reply {
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

pub fn next(at: usize) -> Reply {
    Reply::json(200, json!({ "nextExpectedRanges": [at.to_string()] }).to_string())
}

pub fn patterned(bytes: u64) -> Vec<u8> {
    pattern(0..bytes)
}

pub fn by_reference(url: &str) -> Value {
    json!({ "id": "1", "to": "bob@x.org", "text": "t", "attachments": [{ "url": url }] })
}

pub fn inline(sizes: &[u64]) -> Value {
    let file = |bytes: &u64| json!({ "name": "f", "content": STANDARD.encode(patterned(*bytes)) });
    let files: Vec<_> = sizes.iter().map(file).collect();
    json!({ "id": "1", "to": "bob@x.org", "text": "t", "attachments": files })
}
