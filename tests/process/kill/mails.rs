//! Mails of every size class, each with what must arrive.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_sandbox::{Arrival, Sent};
use mailbridge_testkit::shelf::{pattern, sha256};
use serde_json::json;

use super::world::World;

pub const MAILBOX: &str = "noreply@contoso.example";

/// How a mail goes to Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A draft made of JSON, with its file in it.
    Inline,
    /// A draft made of MIME, which gets its mark and its receipt afterwards.
    Mime,
    /// Two files, each added in one piece.
    Pieces,
    /// A file by an upload session, in two chunks.
    Session,
    /// Graph's own draft of an answer, and a file by an upload session.
    Reply,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Inline, Self::Mime, Self::Pieces, Self::Session, Self::Reply];

    /// Whether its draft is for a moment without a mark by which anybody could find it.
    pub fn is_made_without_a_mark(self) -> bool {
        matches!(self, Self::Mime | Self::Reply)
    }

    fn files(self) -> &'static [u64] {
        match self {
            Self::Inline | Self::Mime => &[500],
            Self::Pieces => &[1_600_000, 1_600_001],
            Self::Session => &[4_100_000],
            Self::Reply => &[3_100_000],
        }
    }
}

/// A mail that was asked for. Its id is its subject.
#[derive(Debug)]
pub struct Mail {
    pub id: String,
    pub kind: Kind,
}

impl Mail {
    /// Puts the request for it on the bus, and its files on the shelf.
    pub fn ask(world: &World, id: String, kind: Kind) -> Self {
        let mut request = json!({
            "id": id, "mailbox": MAILBOX, "to": "bob@x.example", "subject": id, "text": "hello",
        });
        match kind {
            Kind::Mime => {
                request["html"] = json!("<p>hello</p>");
                request["read_receipt"] = json!(true);
            }
            Kind::Reply => {
                let question = "From: bob@x.example\r\nTo: noreply@contoso.example\r\n\
                                Subject: when?\r\n\r\nWhen?\r\n";
                let arrived = world.handle().receive(&Arrival::mime(MAILBOX, question));
                request["operation"] = json!("reply");
                request["message"] = json!(arrived.expect("it arrives").immutable_id);
            }
            Kind::Inline | Kind::Pieces | Kind::Session => {}
        }
        let files = kind.files().iter().enumerate().map(|(number, bytes)| {
            let name = format!("{number}.bin");
            if *bytes < 1000 {
                return json!({ "name": name, "content": STANDARD.encode(pattern(0..*bytes)) });
            }
            let url = format!("s3://b/{id}/{name}");
            world.shelf.put_pattern(&url, *bytes);
            json!({ "name": name, "url": url })
        });
        request["attachments"] = files.collect();
        world.push(&request);
        Self { id, kind }
    }

    /// Checks that a mail is this one, in all its parts.
    pub fn check(&self, sent: &Sent) {
        let files: BTreeMap<_, _> =
            sent.attachments.iter().map(|it| (it.name.clone(), it.sha256.clone())).collect();
        let expected = self
            .kind
            .files()
            .iter()
            .enumerate()
            .map(|(number, bytes)| (format!("{number}.bin"), sha256(&pattern(0..*bytes))));
        assert_eq!(files, expected.collect(), "{self:?}");
        assert_eq!(sent.attachments.len(), self.kind.files().len(), "{self:?}");
        assert_eq!(sent.to, ["bob@x.example"], "{self:?}");
        assert_eq!(sent.read_receipt_requested, self.kind == Kind::Mime, "{self:?}");
    }
}
