//! An answer as Graph's JSON: what its draft is made with, and what it is changed to
//! (learn.microsoft.com, message-createreply, message-update).
//!
//! The answered mail stands in the draft that Graph makes. A new text is put before it, in html if
//! one of the two is.

use mailbridge_core::{
    Result,
    contract::{Answer, Body},
};
use serde::{Deserialize, Serialize};

use super::message::{
    Headers, ItemBody, Recipient, Recipients, Tags, importance, is_false, unwritable,
};

/// What Graph's draft of an answer holds.
#[derive(Default, Deserialize)]
pub(crate) struct Original {
    #[serde(default)]
    body: Option<OriginalBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OriginalBody {
    content_type: String,
    content: String,
}

/// The body that makes the draft. Headers can be given then only (learn.microsoft.com, message
/// resource).
pub(crate) fn create(answer: &Answer) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Create<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<Message<'a>>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Message<'a> {
        internet_message_headers: Headers<'a>,
    }
    let headers = Headers(&answer.mail.headers);
    let message = (!headers.is_empty()).then_some(Message { internet_message_headers: headers });
    serde_json::to_vec(&Create { message }).map_err(|_| unwritable())
}

/// The body that makes of Graph's draft the one that the request asks for, with its mark.
pub(crate) fn update(answer: &Answer, original: &Original, tags: Tags<'_>) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Update<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        subject: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<ItemBody<'a>>,
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
        #[serde(skip_serializing_if = "is_false")]
        is_read_receipt_requested: bool,
        #[serde(skip_serializing_if = "is_false")]
        is_delivery_receipt_requested: bool,
        single_value_extended_properties: Tags<'a>,
    }
    let mail = &answer.mail;
    let body = text(answer, original);
    let update = Update {
        subject: &mail.subject,
        body: body.as_ref().map(|(content_type, content)| ItemBody { content_type, content }),
        to_recipients: Recipients(&mail.to),
        cc_recipients: Recipients(&mail.cc),
        bcc_recipients: Recipients(&mail.bcc),
        reply_to: Recipients(&mail.reply_to),
        from: mail.from.as_ref().map(Recipient),
        importance: mail.importance.map(importance),
        categories: &mail.categories,
        is_read_receipt_requested: mail.read_receipt,
        is_delivery_receipt_requested: mail.delivery_receipt,
        single_value_extended_properties: tags,
    };
    serde_json::to_vec(&update).map_err(|_| unwritable())
}

/// The type and the text of the answer; nothing, where Graph's own is as it should be.
fn text(answer: &Answer, original: &Original) -> Option<(&'static str, String)> {
    let (own_html, own) = match &answer.mail.body {
        Body::Text(text) => (false, text),
        Body::Html(html) | Body::Both { html, .. } => (true, html),
    };
    let kind = |html: bool| if html { "html" } else { "text" };
    let quoted = original.body.as_ref().filter(|_| answer.quote);
    let Some(quoted) = quoted else { return Some((kind(own_html), own.clone())) };
    if own.is_empty() {
        return None;
    }
    let quoted_html = quoted.content_type.eq_ignore_ascii_case("html");
    if !own_html && !quoted_html {
        return Some(("text", format!("{own}\r\n\r\n{}", quoted.content)));
    }
    let own = if own_html { inner(own).to_owned() } else { paragraphs(own) };
    let content = if quoted_html {
        let (before, after) = quoted.content.split_at(body_start(&quoted.content));
        format!("{before}<div>{own}</div><br>{after}")
    } else {
        format!("<div>{own}</div><br><div>{}</div>", paragraphs(&quoted.content))
    };
    Some(("html", content))
}

/// Plain text as html.
fn paragraphs(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\n' => html.push_str("<br>\n"),
            '\r' => {}
            other => html.push(other),
        }
    }
    html
}

/// Where the content of a document's body begins; at the start, if there is no `<body>`.
fn body_start(html: &str) -> usize {
    let lower = html.to_ascii_lowercase();
    let Some(tag) = lower.find("<body") else { return 0 };
    lower[tag..].find('>').map_or(0, |end| tag + end + 1)
}

/// The content of a document's body; all of it, if it is a fragment.
fn inner(html: &str) -> &str {
    let start = body_start(html);
    let end = html.to_ascii_lowercase().rfind("</body").filter(|end| *end >= start);
    html.get(start..end.unwrap_or(html.len())).unwrap_or(html)
}

#[cfg(test)]
mod tests {
    use mailbridge_core::{
        Message, Position,
        contract::{Operation, decode::decode},
    };
    use serde_json::Value;

    use super::*;

    fn answer(json: &str) -> Answer {
        let message = Message { payload: json.to_owned().into(), ..Message::default() };
        let request = decode(&message, &Position::new("1")).unwrap().request;
        let Operation::Answer(answer) = request.operation else { panic!("no answer") };
        *answer
    }

    fn original(kind: &str, content: &str) -> Original {
        let body = OriginalBody { content_type: kind.to_owned(), content: content.to_owned() };
        Original { body: Some(body) }
    }

    fn updated(json: &str, original: &Original) -> Value {
        let tags = Tags { mark: Some("m"), origin: None };
        serde_json::from_slice(&update(&answer(json), original, tags).unwrap()).unwrap()
    }

    #[test]
    fn the_new_text_stands_before_the_answered_mail() {
        let html = original("HTML", "<html><BODY lang=\"de\"><hr>old</BODY></html>");
        let plain = original("text", "a < b\r\nold");
        let reply = |text: &str| format!(r#"{{"operation":"reply","message":"m",{text}}}"#);
        let cases = [
            (r#""text":"1 < 2\nnew""#, &plain, "text", "1 < 2\nnew\r\n\r\na < b\r\nold"),
            (
                r#""text":"1 < 2\nnew""#,
                &html,
                "html",
                "<html><BODY lang=\"de\"><div>1 &lt; 2<br>\nnew</div><br><hr>old</BODY></html>",
            ),
            (
                r#""html":"<html><body><b>new</b></body></html>""#,
                &html,
                "html",
                "<html><BODY lang=\"de\"><div><b>new</b></div><br><hr>old</BODY></html>",
            ),
            (
                r#""html":"<b>new</b>""#,
                &plain,
                "html",
                "<div><b>new</b></div><br><div>a &lt; b<br>\nold</div>",
            ),
            (r#""text":"new","quote":false"#, &html, "text", "new"),
        ];
        for (text, original, kind, content) in cases {
            let body = updated(&reply(text), original)["body"].take();
            assert_eq!(
                (body["contentType"].as_str(), body["content"].as_str()),
                (Some(kind), Some(content))
            );
        }
        assert!(updated(&reply(r#""cc":"a@x.org""#), &html).get("body").is_none());
    }

    #[test]
    fn what_is_not_said_stays_as_graph_makes_it() {
        let html = original("html", "old");
        let change = updated(r#"{"operation":"reply","message":"m","text":"t"}"#, &html);
        let mut keys: Vec<_> = change.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["body", "singleValueExtendedProperties"]);
        let change = updated(
            r#"{"operation":"forward","message":"m","to":"a@x.org","subject":"S","importance":"high"}"#,
            &html,
        );
        assert_eq!(change["toRecipients"][0]["emailAddress"]["address"], "a@x.org");
        assert_eq!(
            (change["subject"].as_str(), change["importance"].as_str()),
            (Some("S"), Some("high"))
        );
    }

    #[test]
    fn headers_are_given_when_the_draft_is_made() {
        let with = answer(r#"{"operation":"reply","message":"m","headers":{"x-a":"1"}}"#);
        let body: Value = serde_json::from_slice(&create(&with).unwrap()).unwrap();
        assert_eq!(body["message"]["internetMessageHeaders"][0]["name"], "x-a");
        let without = answer(r#"{"operation":"reply","message":"m"}"#);
        assert_eq!(create(&without).unwrap(), b"{}");
    }
}
