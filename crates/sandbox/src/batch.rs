//! `POST $batch`: up to 20 requests in one (learn.microsoft.com/graph/json-batching).
//!
//! Each is admitted, throttled and struck by faults alone, as if it had come alone. The answers come
//! in another order. Groups of requests that fail together (`atomicityGroup`) are not there.

use std::collections::{HashMap, HashSet};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::admission;
use crate::answer::{Answer, Correlation};
use crate::body::{self, BODY_LIMIT};
use crate::error::GraphError;
use crate::exchange::{Outcome, Settled, graph};
use crate::fault::PageDice;
use crate::route::Operation;
use crate::world::World;

const LIMIT: usize = 20;

#[derive(Deserialize)]
struct Batch {
    requests: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    id: String,
    method: String,
    url: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    depends_on: Vec<String>,
}

/// Whether the path is that of a batch.
pub fn is_batch_path(path: &str) -> bool {
    let path = path.replace("%24", "$");
    ["/v1.0/$batch", "/beta/$batch"].contains(&path.trim_end_matches('/'))
}

/// The answer to a batch, which succeeds whatever becomes of its requests.
pub async fn answer(world: &World, parts: &Parts, body: Body, ids: &Correlation) -> Settled {
    let outcome = match run(world, parts, body, ids).await {
        Ok(answer) => answer,
        Err(error) => Answer::refusal(&error, ids, world.clock.now()),
    };
    Settled::new(Operation::Batch, Outcome::Answer(outcome))
}

async fn run(
    world: &World,
    parts: &Parts,
    body: Body,
    ids: &Correlation,
) -> Result<Answer, GraphError> {
    let body = body::read(body, &parts.headers, BODY_LIMIT).await?;
    admission::authenticate(world, &parts.headers, world.clock.now())?;
    if parts.method != Method::POST {
        return Err(GraphError::method_not_allowed());
    }
    let batch: Batch = serde_json::from_slice(&body).map_err(|_| GraphError::unreadable_json())?;
    check(&batch.requests)?;
    let mut failed: HashSet<String> = HashSet::new();
    let mut answers = Vec::new();
    for item in batch.requests {
        let id = item.id.clone();
        let spoiled = item.depends_on.iter().any(|needed| failed.contains(needed));
        let answer = if spoiled {
            Answer::refusal(&GraphError::failed_dependency(), ids, world.clock.now())
        } else {
            one(world, parts, item).await
        };
        if !answer.status.is_success() {
            failed.insert(id.clone());
        }
        answers.push(response(&id, answer));
    }
    PageDice(world.dice.next()).shuffle(&mut answers);
    Ok(Answer::json(StatusCode::OK, &json!({"responses": answers})))
}

fn check(items: &[Item]) -> Result<(), GraphError> {
    if items.is_empty() || items.len() > LIMIT {
        return Err(GraphError::bad_request(format!(
            "Number of batch request steps must be between 1 and {LIMIT}."
        )));
    }
    let mut known: HashSet<String> = HashSet::new();
    for item in items {
        if item.depends_on.iter().any(|needed| !known.contains(&needed.to_lowercase())) {
            return Err(GraphError::bad_request("A dependency must come before its request."));
        }
        if !known.insert(item.id.to_lowercase()) {
            return Err(GraphError::bad_request("Request ids must be unique within a batch."));
        }
        if !item.url.starts_with('/') || is_batch_path(&format!("/v1.0{}", item.url)) {
            return Err(GraphError::bad_request("Invalid URL of a request in a batch."));
        }
    }
    Ok(())
}

async fn one(world: &World, outer: &Parts, item: Item) -> Answer {
    let own = crate::exchange::correlation(world, &outer.headers);
    let Some((parts, body)) = request(outer, item) else {
        let error = GraphError::bad_request("A request in the batch could not be read.");
        return Answer::refusal(&error, &own, world.clock.now());
    };
    let settled = graph(world, &parts, body, &own).await;
    match settled.count(world) {
        Outcome::Answer(answer) => answer,
        // nothing in a batch can be cut off: the gateway says so
        Outcome::Cut { .. } => Answer::empty(StatusCode::GATEWAY_TIMEOUT),
    }
}

/// A request as it would have come alone, with the token of the batch.
fn request(outer: &Parts, item: Item) -> Option<(Parts, Body)> {
    let version = outer.uri.path().trim_start_matches('/').split('/').next()?;
    let method = Method::from_bytes(item.method.to_ascii_uppercase().as_bytes()).ok()?;
    let body = match item.body {
        None => Vec::new(),
        Some(Value::String(text)) => STANDARD.decode(text).ok()?,
        Some(json) => json.to_string().into_bytes(),
    };
    let url = item.url.replace(' ', "%20");
    let request = Request::builder().method(method).uri(format!("/{version}{url}"));
    let (mut parts, ()) = request.body(()).ok()?.into_parts();
    for name in ["authorization", "host", "x-forwarded-proto", "x-forwarded-host"] {
        if let Some(value) = outer.headers.get(name) {
            parts.headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    for (name, value) in item.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        parts.headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    Some((parts, body.into()))
}

fn response(id: &str, answer: Answer) -> Value {
    let status = answer.status.as_u16();
    let (headers, body) = answer.into_parts();
    let headers: Map<String, Value> = headers
        .iter()
        .filter_map(|(name, value)| Some((title(name.as_str()), json!(value.to_str().ok()?))))
        .collect();
    let mut out = json!({"id": id, "status": status, "headers": headers});
    if !body.is_empty() {
        let json = serde_json::from_slice(&body).ok();
        out["body"] = json.unwrap_or_else(|| json!(STANDARD.encode(&body)));
    }
    out
}

/// `content-type` as `Content-Type`.
fn title(name: &str) -> String {
    let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    name.split('-').filter(|word| !word.is_empty()).map(word).collect::<Vec<_>>().join("-")
}
