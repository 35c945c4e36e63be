//! A collector that keeps what it is sent: OTLP over HTTP, as protobuf. It reads the wire by the
//! specification's own definitions, not by the program's exporter.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinSet};

use crate::rig::until;

pub struct Collector {
    url: String,
    got: Got,
    _serving: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Got {
    resources: Arc<Mutex<Vec<ResourceSpans>>>,
    authorization: Arc<Mutex<Vec<String>>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let got = Got::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(got.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { url, got, _serving: serving }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything it was sent, as bytes.
    pub fn raw(&self) -> Vec<u8> {
        self.got.raw.lock().expect("nobody panicked").clone()
    }

    /// The `authorization` of each export.
    pub fn authorization(&self) -> Vec<String> {
        self.got.authorization.lock().expect("nobody panicked").clone()
    }

    /// The name of the service that it heard from.
    pub fn service(&self) -> Option<String> {
        let resources = self.got.resources.lock().expect("nobody panicked");
        let attributes = &resources.first()?.resource.as_ref()?.attributes;
        find(attributes, "service.name")
    }

    pub fn spans(&self) -> Vec<Seen> {
        let resources = self.got.resources.lock().expect("nobody panicked");
        let spans = resources.iter().flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans);
        spans.cloned().map(Seen).collect()
    }

    /// Those of one trace.
    pub fn of_trace(&self, trace: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|span| span.trace() == trace).collect()
    }

    /// Waits until a trace has the span of a request that ended; whatever belongs to it ended before.
    pub async fn ended(&self, trace: &str, within: Duration) -> Vec<Seen> {
        let ended = |span: &Seen| span.get("mailbridge.status").is_some_and(|it| it != "again");
        until(within, "a request that ended", async || self.of_trace(trace).iter().any(ended))
            .await;
        self.of_trace(trace)
    }
}

async fn take(State(got): State<Got>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    if let Some(authorization) = headers.get("authorization") {
        let text = authorization.to_str().expect("text").to_owned();
        got.authorization.lock().expect("nobody panicked").push(text);
    }
    got.raw.lock().expect("nobody panicked").extend_from_slice(&body);
    let request = ExportTraceServiceRequest::decode(body).expect("spans");
    got.resources.lock().expect("nobody panicked").extend(request.resource_spans);
    StatusCode::OK
}

/// One span.
#[derive(Clone)]
pub struct Seen(Span);

/// On a line or two.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({} below {})", self.kind(), self.name(), self.id(), self.parent())?;
        for KeyValue { key, .. } in &self.0.attributes {
            write!(f, "; {key}: {}", self.get(key).unwrap_or_default())?;
        }
        write!(f, "; {:?}", self.0.status)
    }
}

impl Seen {
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn kind(&self) -> SpanKind {
        self.0.kind()
    }

    pub fn trace(&self) -> String {
        hex(&self.0.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.0.span_id)
    }

    pub fn parent(&self) -> String {
        hex(&self.0.parent_span_id)
    }

    pub fn links(&self) -> Vec<String> {
        self.0.links.iter().map(|link| hex(&link.span_id)).collect()
    }

    /// An attribute as text.
    pub fn get(&self, name: &str) -> Option<String> {
        find(&self.0.attributes, name)
    }
}

fn find(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
