//! What a request would be to Graph, without asking Graph: for people who write templates.
//!
//! Shows the request that says the most: the one that makes the draft, or sends the mail at once. Of
//! files it shows names and sizes, and it opens none that are elsewhere.

use std::borrow::Cow;

use jiff::Timestamp;
use mailbridge_core::{
    Error, Guarantee, Mailbox, Result,
    contract::{
        Answer, AnswerKind, Attachment, Body, Categories, Composed, Content, Mark, MessageId,
        Operation, OutgoingMail, Request,
    },
};
use serde_json::{Value, json};

use crate::{
    operation::{edit, segment},
    wire::{self, answer::Original, file::Embedded, message::Tags},
};

/// A request to Graph.
#[derive(Clone, Debug)]
pub struct Preview {
    /// `POST`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// The path below Graph's version.
    pub path: String,
    /// What goes with it.
    pub body: PreviewBody,
}

/// The body of a request to Graph.
#[derive(Clone, Debug)]
pub enum PreviewBody {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Value),
    /// A MIME message, which goes in base64.
    Mime(String),
}

/// What the request would be to Graph.
///
/// # Errors
/// *Permanent*, as the request itself would end.
pub fn preview(
    request: &Request,
    mailbox: &Mailbox,
    mark: &Mark,
    guarantee: Guarantee,
) -> Result<Preview> {
    let user = segment(mailbox.as_str()).map(|name| format!("/users/{name}"));
    let user = user.ok_or_else(|| {
        Error::permanent(
            mailbridge_core::Code::MailboxNotFound,
            "the mailbox's name does not fit into a URL",
        )
    })?;
    let on = |message: &MessageId, tail| Ok(format!("{user}{}", edit::path(message, tail)?));
    let (method, path, body) = match &request.operation {
        Operation::Send(mail) => {
            let composed = request.operation.composed();
            let draft = composed.is_some_and(wire::mime::leaves_out);
            let at_once = guarantee == Guarantee::AtLeastOnce && !draft;
            let tail = if at_once { "sendMail" } else { "messages" };
            ("POST", format!("{user}/{tail}"), sent(mail, mailbox, mark, guarantee)?)
        }
        Operation::Answer(answer) => {
            let tail = match answer.kind {
                AnswerKind::Reply => "/createReply",
                AnswerKind::ReplyAll => "/createReplyAll",
                AnswerKind::Forward => "/createForward",
            };
            ("POST", on(&answer.message, tail)?, answered(answer, mark)?)
        }
        Operation::MarkRead { message, is_read } => {
            ("PATCH", on(message, "")?, PreviewBody::Json(json!({ "isRead": is_read })))
        }
        Operation::Move { message, folder } => {
            ("POST", on(message, "/move")?, PreviewBody::Json(json!({ "destinationId": folder })))
        }
        Operation::Categorize { message, categories } => {
            let names = match categories {
                Categories::Set(set) => set,
                Categories::Change { add, .. } => add,
            };
            ("PATCH", on(message, "")?, PreviewBody::Json(json!({ "categories": names })))
        }
        Operation::Delete { message } => ("DELETE", on(message, "")?, PreviewBody::Empty),
    };
    Ok(Preview { method, path, body })
}

fn sent(
    mail: &OutgoingMail,
    mailbox: &Mailbox,
    mark: &Mark,
    guarantee: Guarantee,
) -> Result<PreviewBody> {
    let mail = match mail {
        OutgoingMail::Mime(mail) => {
            return Ok(PreviewBody::Mime(String::from_utf8_lossy(&mail.raw).into_owned()));
        }
        OutgoingMail::Composed(mail) => mail,
    };
    if let Body::Both { .. } = mail.body {
        let files: Vec<_> = mail.attachments.iter().map(|file| named(file, mime)).collect();
        let raw = wire::mime::build(mail, mailbox, mark, Timestamp::now(), &files)?;
        return Ok(PreviewBody::Mime(String::from_utf8_lossy(&raw).into_owned()));
    }
    let files = files(mail);
    let body = match guarantee {
        Guarantee::Once => wire::message::draft(mail, &files, tags(mark))?,
        Guarantee::AtLeastOnce => wire::message::send_mail(mail, &files, Tags::default())?,
    };
    parsed(&body).map(PreviewBody::Json)
}

/// The draft is Graph's own; what it is changed to is shown without the answered mail.
fn answered(answer: &Answer, mark: &Mark) -> Result<PreviewBody> {
    let mut body = parsed(&wire::answer::create(answer)?)?;
    let change = wire::answer::update(answer, &Original::default(), tags(mark))?;
    body["then"] = json!({ "PATCH": parsed(&change)? });
    if !answer.mail.attachments.is_empty() {
        let mut added = Vec::new();
        for file in files(&answer.mail) {
            added.push(parsed(&file.attachment()?)?);
        }
        body["then"]["attachments"] = added.into();
    }
    Ok(PreviewBody::Json(body))
}

fn tags(mark: &Mark) -> Tags<'_> {
    Tags { mark: Some(mark.as_str()), origin: None }
}

fn parsed(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|_| wire::message::unwritable())
}

fn files(mail: &Composed) -> Vec<Embedded<'_>> {
    mail.attachments.iter().map(|file| named(file, str::to_owned)).collect()
}

fn named(file: &Attachment, shown: impl Fn(&str) -> String) -> Embedded<'_> {
    let content = match &file.content {
        Content::Inline(base64) => {
            let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
            format!("({} bytes)", base64.len() / 4 * 3 - padding.min(2))
        }
        Content::Reference(reference) => match reference.size {
            Some(bytes) => format!("({bytes} bytes behind the reference)"),
            None => "(the bytes behind the reference)".to_owned(),
        },
    };
    Embedded {
        name: Cow::Borrowed(&file.name),
        content_type: Cow::Borrowed(
            file.content_type.as_deref().unwrap_or(wire::file::UNKNOWN_TYPE),
        ),
        content_id: file.content_id.as_deref().map(Cow::Borrowed),
        base64: Cow::Owned(shown(&content)),
    }
}

/// MIME is built from what is in base64.
fn mime(content: &str) -> String {
    String::from_utf8(wire::mime::encoded(content.as_bytes())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mailbridge_core::{
        Message, Position,
        contract::{Key, decode::decode},
    };

    use super::*;

    fn previewed(request: &Value, guarantee: Guarantee) -> Preview {
        let message = Message { payload: request.to_string().into(), ..Message::default() };
        let decoded = decode(&message, &Position::new("1")).unwrap();
        let mark = Key::of_id("1").mark("p");
        preview(&decoded.request, &Mailbox::new("a@x.org"), &mark, guarantee).unwrap()
    }

    #[test]
    fn a_mail_is_shown_as_it_would_go_and_its_files_by_size() {
        let mut mail = json!({
            "to": "b@x.org", "subject": "s", "html": "<p>",
            "attachments": [{ "name": "a", "content": "aGVsbG8=" },
                            { "name": "b", "url": "s3://b/k?sig=secret" }],
        });
        let shown = previewed(&mail, Guarantee::Once);
        assert_eq!((shown.method, shown.path.as_str()), ("POST", "/users/a@x.org/messages"));
        let PreviewBody::Json(body) = shown.body else { panic!("not JSON") };
        assert_eq!(body["attachments"][0]["contentBytes"], "(5 bytes)");
        assert!(!body.to_string().contains("secret"), "{body}");
        assert_eq!(previewed(&mail, Guarantee::AtLeastOnce).path, "/users/a@x.org/sendMail");
        mail["text"] = json!("both");
        let PreviewBody::Mime(mime) = previewed(&mail, Guarantee::Once).body else {
            panic!("not MIME")
        };
        assert!(mime.contains("multipart/alternative"), "{mime}");
    }

    #[test]
    fn every_operation_has_its_request() {
        for (operation, method, tail) in [
            (json!({ "operation": "reply", "text": "t" }), "POST", "/createReply"),
            (json!({ "operation": "mark_read" }), "PATCH", ""),
            (json!({ "operation": "move", "folder": "archive" }), "POST", "/move"),
            (json!({ "operation": "categorize", "set": ["Red"] }), "PATCH", ""),
            (json!({ "operation": "delete" }), "DELETE", ""),
        ] {
            let mut request = operation;
            request["message"] = json!("AAMk=");
            let shown = previewed(&request, Guarantee::Once);
            let path = format!("/users/a@x.org/messages/AAMk%3D{tail}");
            assert_eq!((shown.method, shown.path), (method, path));
        }
    }
}
