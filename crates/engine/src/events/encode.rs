//! An event as a message: its id, its envelope, its form. Pure.
//!
//! Knows no bus. A binding that writes CloudEvents' attributes otherwise than NATS and HTTP do, as
//! Kafka's with `ce_…`, is the bus plugin's to keep: the headers here are `ce-…`.

use std::fmt::Write as _;

use jiff::Timestamp;
use mailbridge_core::{
    Code, Error, Headers, Labels, Mailbox, Message, Result,
    contract::{Change, CloudEvent, MailCloudEvent, MailEvent, MessageId},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};
use uuid::Uuid;

/// How an event is put into a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A CloudEvent as JSON, the data inside.
    #[default]
    Structured,
    /// The data alone; the CloudEvent's attributes are headers, `ce-…`.
    Binary,
    /// The data alone.
    Plain,
}

/// What the data of an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// mailbridge's own, as `mailbridge schema event` has it.
    #[default]
    Normalised,
    /// Graph's JSON of the message as it came. What mailbridge has to say is in one annotation,
    /// `@mailbridge.event`, which readers of OData skip.
    Graph,
}

/// The member that mailbridge adds to Graph's own JSON.
const ANNOTATION: &str = "@mailbridge.event";

/// What a header's value may not hold (CloudEvents 1.0.2, HTTP protocol binding 3.1.3.2, which the
/// NATS binding follows). All beyond ASCII is encoded too.
const IN_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The id of an event. The same again whenever, and by whomever, the same change is told: it comes
/// of the mailbox, the message's immutable id and the change; of an update also the version, of a
/// move the folder that it went to.
pub fn event_id(mailbox: &Mailbox, id: &MessageId, change: Change, which: Option<&str>) -> Uuid {
    let mailbox = mailbox.as_str().to_lowercase();
    let parts = [mailbox.as_str(), &id.0, change.as_str(), which.unwrap_or_default()];
    // with its length before it, no part can be taken for two
    let name = parts.iter().fold("mailbridge".to_owned(), |mut name, part| {
        // writing to a string cannot fail
        write!(name, ":{}:{part}", part.len()).unwrap_or_default();
        name
    });
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

/// Puts the data of an event into its envelope.
pub fn envelope(pipeline: &str, id: Uuid, time: Timestamp, data: MailEvent) -> MailCloudEvent {
    let kind = format!("mailbridge.mail.{}", data.change.as_str());
    let subject = data.message_id.0.clone();
    MailCloudEvent {
        mailbox: data.mailbox.as_str().to_lowercase(),
        folder: data.folder.clone(),
        change: data.change,
        event: CloudEvent::new(id.to_string(), pipeline, kind, subject, time, data),
    }
}

/// The message to publish. `raw` is Graph's own JSON, where that is to be the data.
///
/// The bus knows it by the event's id together with the pipeline: two pipelines may tell of one
/// mail in different ways on one bus, which must not take the second for a repeat of the first.
pub fn message(
    pipeline: &str,
    form: Form,
    event: &MailCloudEvent,
    raw: Option<&RawValue>,
) -> Result<Message> {
    let payload = match raw {
        None => payload(form, event, &event.event.data)?,
        Some(raw) => payload(form, event, &*annotated(raw, &event.event.data)?)?,
    };
    let mut headers = Headers::new();
    let content_type = match form {
        Form::Structured => "application/cloudevents+json",
        Form::Binary | Form::Plain => "application/json",
    };
    headers.push("content-type", content_type);
    if form == Form::Binary {
        for (name, value) in attributes(event) {
            let value = utf8_percent_encode(&value, IN_HEADER).to_string();
            headers.push(format!("ce-{name}"), value);
        }
    }
    let labels = Labels::default()
        .with("pipeline", pipeline)
        .with("mailbox", event.mailbox.clone())
        .with("folder", event.folder.clone())
        .with("change", event.change.as_str());
    Ok(Message {
        id: Some(format!("{pipeline}:{}", event.event.id)),
        key: Some(event.mailbox.clone().into()),
        headers,
        payload: payload.into(),
        labels,
        ..Message::default()
    })
}

fn payload<D: Serialize + ?Sized>(form: Form, event: &MailCloudEvent, data: &D) -> Result<Vec<u8>> {
    let written = match form {
        Form::Binary | Form::Plain => serde_json::to_vec(data),
        Form::Structured => serde_json::to_vec(&with_data(event, data)),
    };
    written.map_err(|cause| unwritable(&cause))
}

/// The same envelope around other data.
fn with_data<'a, D: ?Sized>(event: &MailCloudEvent, data: &'a D) -> MailCloudEvent<&'a D> {
    let MailCloudEvent { mailbox, folder, change, event } = event;
    MailCloudEvent {
        mailbox: mailbox.clone(),
        folder: folder.clone(),
        change: *change,
        event: CloudEvent {
            specversion: event.specversion.clone(),
            id: event.id.clone(),
            source: event.source.clone(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            time: event.time,
            datacontenttype: event.datacontenttype.clone(),
            traceparent: event.traceparent.clone(),
            data,
        },
    }
}

fn unwritable(cause: &serde_json::Error) -> Error {
    Error::permanent(Code::Internal, "an event cannot be written as JSON")
        .with("line", cause.line())
}

fn attributes(event: &MailCloudEvent) -> Vec<(&'static str, String)> {
    let MailCloudEvent { mailbox, folder, change, event } = event;
    let mut attributes = vec![
        ("specversion", event.specversion.clone()),
        ("id", event.id.clone()),
        ("source", event.source.clone()),
        ("type", event.kind.clone()),
        ("time", event.time.to_string()),
        ("mailbox", mailbox.clone()),
        ("folder", folder.clone()),
        ("change", change.as_str().to_owned()),
    ];
    attributes.extend(event.subject.clone().map(|subject| ("subject", subject)));
    attributes
}

/// What mailbridge has to say beside Graph's own JSON.
#[derive(Serialize)]
struct Annotation<'a> {
    change: Change,
    mailbox: &'a Mailbox,
    folder: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changed: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<&'a [mailbridge_core::contract::EventAttachment]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'a mailbridge_core::contract::FileContent>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left_out: &'a [mailbridge_core::contract::LeftOut],
}

/// Graph's JSON with the annotation, otherwise as it is, down to the order of its members.
fn annotated(raw: &RawValue, data: &MailEvent) -> Result<Box<RawValue>> {
    let annotation = Annotation {
        change: data.change,
        mailbox: &data.mailbox,
        folder: &data.folder,
        changed: &data.changed,
        moved_to: data.moved_to.as_deref(),
        attachments: data.attachments.as_deref(),
        mime: data.mime.as_ref(),
        left_out: &data.left_out,
    };
    let annotation = serde_json::to_string(&annotation).map_err(|cause| unwritable(&cause))?;
    let Some(inside) = raw.get().trim_end().strip_suffix('}') else {
        let detail = "graph's own JSON of a message is not an object";
        return Err(Error::permanent(Code::GraphItemUnreadable, detail));
    };
    let comma = if inside.trim_end().ends_with('{') { "" } else { "," };
    let text = format!("{inside}{comma}\"{ANNOTATION}\":{annotation}}}");
    RawValue::from_string(text).map_err(|cause| unwritable(&cause))
}

/// What there is in Graph's form of a message that is gone.
pub fn raw_of_nothing(id: &MessageId) -> Result<Box<RawValue>> {
    let gone = serde_json::json!({ "@odata.type": "#microsoft.graph.message", "id": id });
    to_raw_value(&gone).map_err(|cause| unwritable(&cause))
}

/// Graph's JSON without some of its members, and without the content of its body, as asked.
pub fn raw_without(raw: &RawValue, members: &[&str], body: bool) -> Result<Box<RawValue>> {
    let mut message: Map<String, Value> =
        serde_json::from_str(raw.get()).map_err(|cause| unwritable(&cause))?;
    message.retain(|name, _| !members.contains(&name.as_str()));
    if body && let Some(Value::Object(body)) = message.get_mut("body") {
        body.remove("content");
    }
    to_raw_value(&message).map_err(|cause| unwritable(&cause))
}

#[cfg(test)]
mod tests;
