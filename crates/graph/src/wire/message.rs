//! A composed mail as Graph's JSON (learn.microsoft.com, graph message resource and user-sendmail).
//!
//! Every type borrows from the request and is written straight to bytes. A mail with both text and
//! html cannot be said in JSON: see [`super::mime`].

use std::collections::BTreeMap;

use mailbridge_core::{
    Code, Error, Result,
    contract::{Address, Body, Composed, Importance},
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::file::{Embedded, Files};

/// The extended property that carries a request's mark. One name for all requests, ever: named
/// properties are a limited resource of each mailbox.
pub const MARK_PROPERTY: &str =
    "String {6f1d0f3e-4b5c-4d0a-9a5e-2f6f0f3b7c11} Name mailbridge-request";

/// The extended property that carries whose mail it is. One name, as for the mark.
pub(crate) const ORIGIN_PROPERTY: &str =
    "String {6f1d0f3e-4b5c-4d0a-9a5e-2f6f0f3b7c11} Name mailbridge-origin";

/// What a mail carries in extended properties.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tags<'a> {
    /// By which a draft is found again.
    pub(crate) mark: Option<&'a str>,
    /// By which its request is found, should it come back.
    pub(crate) origin: Option<&'a str>,
}

/// The body of `sendMail`.
pub(crate) fn send_mail(
    mail: &Composed,
    files: &[Embedded<'_>],
    tags: Tags<'_>,
) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct SendMail<'a> {
        message: Message<'a>,
        #[serde(skip_serializing_if = "is_true")]
        save_to_sent_items: bool,
    }
    let message = Message::of(mail, files, tags);
    written(&SendMail { message, save_to_sent_items: mail.save_to_sent_items }, mail, files)
}

/// The body that creates a draft with its mark, and with these files in it.
pub(crate) fn draft(mail: &Composed, files: &[Embedded<'_>], tags: Tags<'_>) -> Result<Vec<u8>> {
    written(&Message::of(mail, files, tags), mail, files)
}

/// The body that gives a draft another mark; with a mail, also what its MIME does not say
/// (learn.microsoft.com, message-update).
pub(crate) fn mark_draft(tags: Tags<'_>, mail: Option<&Composed>) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Patch<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        importance: Option<&'static str>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        categories: &'a [String],
        #[serde(skip_serializing_if = "is_false")]
        is_read_receipt_requested: bool,
        #[serde(skip_serializing_if = "is_false")]
        is_delivery_receipt_requested: bool,
        single_value_extended_properties: Tags<'a>,
    }
    let patch = Patch {
        importance: mail.and_then(|mail| mail.importance).map(importance),
        categories: mail.map_or(&[], |mail| &mail.categories),
        is_read_receipt_requested: mail.is_some_and(|mail| mail.read_receipt),
        is_delivery_receipt_requested: mail.is_some_and(|mail| mail.delivery_receipt),
        single_value_extended_properties: tags,
    };
    serde_json::to_vec(&patch).map_err(|_| unwritable())
}

fn written(value: &impl Serialize, mail: &Composed, files: &[Embedded<'_>]) -> Result<Vec<u8>> {
    let body = match &mail.body {
        Body::Text(text) | Body::Html(text) => text.len(),
        Body::Both { .. } => 0,
    };
    let files: usize = files.iter().map(|file| file.base64.len() + 256).sum();
    let mut bytes = Vec::with_capacity(body + body / 8 + files + 1024);
    serde_json::to_writer(&mut bytes, value).map_err(|_| unwritable())?;
    Ok(bytes)
}

pub(crate) fn unwritable() -> Error {
    Error::permanent(Code::Internal, "the mail cannot be written as JSON")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    subject: &'a str,
    body: ItemBody<'a>,
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    to_recipients: Recipients<'a>,
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    cc_recipients: Recipients<'a>,
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    bcc_recipients: Recipients<'a>,
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    reply_to: Recipients<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Recipient<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    importance: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    categories: &'a [String],
    #[serde(skip_serializing_if = "Headers::is_empty")]
    internet_message_headers: Headers<'a>,
    #[serde(skip_serializing_if = "is_false")]
    is_read_receipt_requested: bool,
    #[serde(skip_serializing_if = "is_false")]
    is_delivery_receipt_requested: bool,
    #[serde(skip_serializing_if = "Files::is_empty")]
    attachments: Files<'a>,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    single_value_extended_properties: Tags<'a>,
}

impl<'a> Message<'a> {
    fn of(mail: &'a Composed, files: &'a [Embedded<'a>], tags: Tags<'a>) -> Self {
        Self {
            subject: &mail.subject,
            body: ItemBody::of(&mail.body),
            to_recipients: Recipients(&mail.to),
            cc_recipients: Recipients(&mail.cc),
            bcc_recipients: Recipients(&mail.bcc),
            reply_to: Recipients(&mail.reply_to),
            from: mail.from.as_ref().map(Recipient),
            importance: mail.importance.map(importance),
            categories: &mail.categories,
            internet_message_headers: Headers(&mail.headers),
            is_read_receipt_requested: mail.read_receipt,
            is_delivery_receipt_requested: mail.delivery_receipt,
            attachments: Files(files),
            single_value_extended_properties: tags,
        }
    }
}

/// Graph's word for an importance, which is also the one of the MIME header.
pub(super) fn importance(importance: Importance) -> &'static str {
    match importance {
        Importance::Low => "low",
        Importance::Normal => "normal",
        Importance::High => "high",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemBody<'a> {
    pub(super) content_type: &'static str,
    pub(super) content: &'a str,
}

impl<'a> ItemBody<'a> {
    fn of(body: &'a Body) -> Self {
        match body {
            Body::Text(content) => Self { content_type: "text", content },
            // of both, Graph's JSON takes one; callers send such a mail as MIME
            Body::Html(content) | Body::Both { html: content, .. } => {
                Self { content_type: "html", content }
            }
        }
    }
}

pub(super) struct Recipient<'a>(pub(super) &'a Address);

impl Serialize for Recipient<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // an `Address` is already Graph's `emailAddress`: `address`, and `name` when there is one
        let mut recipient = serializer.serialize_struct("Recipient", 1)?;
        recipient.serialize_field("emailAddress", self.0)?;
        recipient.end()
    }
}

pub(super) struct Recipients<'a>(pub(super) &'a [Address]);

impl Recipients<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Recipients<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Recipient))
    }
}

pub(super) struct Headers<'a>(pub(super) &'a BTreeMap<String, String>);

impl Headers<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Header<'a> {
            name: &'a str,
            value: &'a str,
        }
        serializer.collect_seq(self.0.iter().map(|(name, value)| Header { name, value }))
    }
}

impl Tags<'_> {
    fn is_empty(&self) -> bool {
        self.mark.is_none() && self.origin.is_none()
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Property<'a> {
            id: &'static str,
            value: &'a str,
        }
        let tags = [(MARK_PROPERTY, self.mark), (ORIGIN_PROPERTY, self.origin)];
        let tags = tags.into_iter().filter_map(|(id, value)| Some(Property { id, value: value? }));
        serializer.collect_seq(tags)
    }
}

#[cfg(test)]
mod tests {
    use mailbridge_core::{
        Message as BusMessage, Position,
        contract::{Key, Operation, OutgoingMail, decode::decode},
    };

    use super::*;

    fn composed(json: &str) -> Composed {
        let message = BusMessage { payload: json.to_owned().into(), ..BusMessage::default() };
        let decoded = decode(&message, &Position::new("1")).unwrap();
        let Operation::Send(OutgoingMail::Composed(mail)) = decoded.request.operation else {
            panic!("not composed")
        };
        *mail
    }

    fn tags(mark: &mailbridge_core::contract::Mark) -> Tags<'_> {
        Tags { mark: Some(mark.as_str()), origin: None }
    }

    fn embedded(mail: &Composed) -> Vec<Embedded<'_>> {
        mail.attachments.iter().filter_map(Embedded::of_inline).collect()
    }

    fn json(bytes: &[u8]) -> serde_json::Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_full_mail_as_a_draft() {
        let mail = composed(
            r#"{"to":"Bób <bob@x.org>","cc":["c@x.org"],"bcc":"d@x.org","reply_to":"r@x.org",
                "from":"other@x.org","subject":"Grüße","html":"<b>hi</b>","importance":"high",
                "categories":["Red"],"headers":{"x-one":"1"},"read_receipt":true,
                "delivery_receipt":true,
                "attachments":[{"name":"a.txt","content":"aGk="},
                  {"name":"i.png","content_type":"image/png","content":"aGk=",
                   "content_id":"pic"}]}"#,
        );
        let mark = Key::of_id("order-1").mark("orders");
        insta::assert_json_snapshot!(json(&draft(&mail, &embedded(&mail), tags(&mark)).unwrap()));
    }

    #[test]
    fn a_small_mail_says_nothing_it_need_not() {
        let mail = composed(r#"{"to":"bob@x.org","subject":"s","text":"hi"}"#);
        insta::assert_json_snapshot!(json(&send_mail(&mail, &[], Tags::default()).unwrap()));
    }

    #[test]
    fn an_origin_goes_with_a_mail_however_it_is_sent() {
        let mail = composed(r#"{"to":"bob@x.org","text":"hi"}"#);
        let tags = Tags { mark: Some("m"), origin: Some("{\"a\":1}") };
        let draft = json(&draft(&mail, &[], tags).unwrap());
        assert_eq!(draft["singleValueExtendedProperties"][1]["id"], ORIGIN_PROPERTY);
        assert_eq!(draft["singleValueExtendedProperties"][1]["value"], "{\"a\":1}");
        let sent = json(&send_mail(&mail, &[], Tags { mark: None, ..tags }).unwrap());
        assert_eq!(sent["message"]["singleValueExtendedProperties"][0]["id"], ORIGIN_PROPERTY);
    }

    #[test]
    fn a_copy_that_is_not_to_be_kept_is_said() {
        let mail = composed(r#"{"to":"bob@x.org","text":"hi","save_to_sent_items":false}"#);
        assert_eq!(
            json(&send_mail(&mail, &[], Tags::default()).unwrap())["saveToSentItems"],
            false
        );
    }

    #[test]
    fn a_mime_draft_gets_its_mark_and_what_mime_does_not_say() {
        let mark = Key::of_id("order-1").mark("orders");
        let mail = composed(
            r#"{"to":"b@x.org","text":"t","html":"h","importance":"low","categories":["Red"],
                "read_receipt":true,"delivery_receipt":true}"#,
        );
        let property = serde_json::json!([{ "id": MARK_PROPERTY, "value": mark.as_str() }]);
        let patch = json(&mark_draft(tags(&mark), Some(&mail)).unwrap());
        let expected = serde_json::json!({
            "importance": "low", "categories": ["Red"], "isReadReceiptRequested": true,
            "isDeliveryReceiptRequested": true, "singleValueExtendedProperties": property,
        });
        assert_eq!(patch, expected);
        let patch = json(&mark_draft(tags(&mark), None).unwrap());
        assert_eq!(patch, serde_json::json!({ "singleValueExtendedProperties": property }));
    }
}
