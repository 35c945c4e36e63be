//! CloudEvents 1.0 as far as mailbridge needs them: reading requests that come as events, and the
//! envelope of what it publishes. (cloudevents.io, spec v1.0.2, with its NATS and Kafka bindings.)

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Code, Error, Headers, Message, Result};

/// The media type of a structured event.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// An event in structured mode, as mailbridge publishes it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CloudEvent<D> {
    /// Always `1.0`.
    pub specversion: String,
    /// With `source`, unique; the same again when the event is published again.
    pub id: String,
    /// Who publishes: `/mailbridge/<pipeline>`, or `/mailbridge/<connection>`.
    pub source: String,
    /// What it is, such as `mailbridge.request.accepted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about: the request's key, or the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it came to be.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// The producer's W3C trace context, handed on; where there was none, the one that began here, if
    /// somebody traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What happened.
    pub data: D,
}

impl<D> CloudEvent<D> {
    /// An event of `publisher`, without a trace context.
    pub fn new(
        id: String,
        publisher: &str,
        kind: String,
        subject: String,
        time: Timestamp,
        data: D,
    ) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id,
            source: format!("/mailbridge/{publisher}"),
            kind,
            subject: Some(subject),
            time,
            datacontenttype: "application/json".to_owned(),
            traceparent: None,
            data,
        }
    }
}

impl<D: Serialize> CloudEvent<D> {
    /// The message to publish: known by the event's id, partitioned by what it is about.
    pub fn to_message(&self) -> Result<Message> {
        let payload = serde_json::to_vec(self).map_err(|cause| {
            Error::permanent(Code::Internal, "an event cannot be written as JSON")
                .with("line", cause.line())
        })?;
        let mut headers = Headers::new().with("content-type", STRUCTURED);
        if let Some(traceparent) = &self.traceparent {
            headers.push("traceparent", traceparent.clone());
        }
        Ok(Message {
            id: Some(self.id.clone()),
            key: self.subject.clone().map(Into::into),
            headers,
            payload: payload.into(),
            ..Message::default()
        })
    }
}

/// The attributes of an event that carries a request.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) traceparent: Option<String>,
}

impl Attributes {
    /// Binary mode: attributes are headers, `ce-…` over NATS and HTTP, `ce_…` over Kafka.
    pub(super) fn from_headers(headers: &Headers) -> Option<Self> {
        let get = |name: &str| {
            let header =
                headers.get(&format!("ce-{name}")).or_else(|| headers.get(&format!("ce_{name}")));
            header.map(str::to_owned)
        };
        get("specversion")?;
        Some(Self {
            source: get("source"),
            id: get("id"),
            content_type: None,
            traceparent: get("traceparent"),
        })
    }
}

/// A structured event that carries a request. Extensions are allowed by the specification, so
/// unknown attributes are skipped.
#[derive(Deserialize)]
pub(super) struct Structured<'a> {
    #[serde(rename = "specversion")]
    pub(super) _specversion: String,
    pub(super) id: Option<String>,
    pub(super) source: Option<String>,
    pub(super) datacontenttype: Option<String>,
    pub(super) traceparent: Option<String>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) data_base64: Option<String>,
}
