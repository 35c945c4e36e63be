//! The admin side over HTTP, below `/_sandbox/`. The table is in the crate's documentation.
//!
//! No authentication: the sandbox listens on loopback unless told otherwise. Errors are plain
//! `{"error": "sentence"}`, so that nobody takes them for Graph's.

mod identity;
mod mail;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::body;
use crate::bounce::Bounce;
use crate::error::GraphError;
use crate::fault::{Fault, seconds};
use crate::handle::{Handle, NotThere};
use crate::login::Outage;
use crate::mailbox::MailboxState;
use crate::text::pairs;
use crate::world::World;

/// Where the admin side begins.
pub const PREFIX: &str = "/_sandbox/";

/// Large enough for a mail with attachments that arrives.
const BODY_LIMIT: usize = 48 * 1024 * 1024;

/// A refused admin request: status and sentence.
struct Refused(StatusCode, String);

impl Refused {
    fn bad(sentence: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, sentence.into())
    }
}

impl From<NotThere> for Refused {
    fn from(error: NotThere) -> Self {
        Self(StatusCode::NOT_FOUND, error.0)
    }
}

impl From<GraphError> for Refused {
    fn from(error: GraphError) -> Self {
        Self(error.status, error.message.into_owned())
    }
}

pub async fn answer(world: &Arc<World>, parts: &Parts, body: Body) -> Answer {
    let handle = Handle::new(world.clone());
    let outcome = match body::read(body, &parts.headers, BODY_LIMIT).await {
        Ok(body) => dispatch(&handle, parts, &body),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(Refused(status, sentence)) => json_answer(status, &json!({"error": sentence})),
    }
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    Answer::bytes(status, "application/json", value.to_string().into())
}

fn dispatch(handle: &Handle, parts: &Parts, body: &[u8]) -> Result<Value, Refused> {
    let path = parts.uri.path().trim_start_matches(PREFIX).trim_end_matches('/');
    let query = parts.uri.query().unwrap_or_default();
    match (parts.method.as_str(), path) {
        ("GET", "truth") => Ok(json!(handle.truth().summary())),
        ("GET", "truth/sent") => Ok(json!({"sent": handle.truth().find(&read_query(query)?)})),
        ("GET", "truth/properties") => properties(handle, query),
        ("GET", "faults") => Ok(json!({"faults": handle.faults()})),
        ("POST", "faults") => add_faults(handle, body),
        ("DELETE", "faults") => clear_faults(handle, query),
        ("GET", "bounces") => Ok(json!({"bounces": handle.bounces()})),
        ("POST", "bounces") => add_bounces(handle, body),
        ("DELETE", "bounces") => Ok(json!({"cleared": handle.clear_bounces()})),
        ("POST", "limits") => {
            handle.set_message_limit(read::<Limits>(body)?.message_bytes);
            Ok(json!({}))
        }
        ("POST", "uploads/expire") => Ok(json!({"expired": handle.expire_uploads()})),
        (_, path)
            if ["messages", "delta", "folders", "subscriptions", "notifications", "groups"]
                .iter()
                .any(|area| path.starts_with(area)) =>
        {
            mail::dispatch(handle, parts.method.as_str(), path, query, body)
        }
        (_, path) if path.starts_with("apps") || path.starts_with("tokens") => {
            identity::dispatch(handle, parts.method.as_str(), path, body)
        }
        ("POST", "mailboxes") => set_mailbox(handle, &read(body)?),
        ("POST", "outage") => {
            handle.set_outage(read::<OutageChange>(body)?.login);
            Ok(json!({}))
        }
        ("POST", "clock") => {
            let change: ClockChange = read(body)?;
            handle.advance_clock(advance(&change)?);
            if let Some(seconds) = change.login_skew_seconds {
                handle.set_login_skew(seconds);
            }
            Ok(json!({"now": handle.now()}))
        }
        ("GET", "requests") => Ok(json!({"requests": handle.requests()})),
        ("POST", "reset") => {
            handle.reset();
            Ok(json!({}))
        }
        (method, path) => Err(unknown(method, path)),
    }
}

fn unknown(method: &str, path: &str) -> Refused {
    Refused(
        StatusCode::NOT_FOUND,
        format!(
            "there is no {method} {PREFIX}{path}; known: GET truth, truth/sent, \
             truth/properties, faults, bounces, requests, tokens, messages, delta, \
             subscriptions, notifications; POST faults, \
             bounces, limits, messages/receive, messages/edit, messages/delete, messages/move, \
             messages/bulk, messages/break, messages/attachments, folders, folders/delete, \
             delta, delta/evict, subscriptions/lifecycle, notifications, groups, apps, apps/add, apps/secrets, \
             apps/certificates, apps/federated, tokens/revoke, tokens/refresh, uploads/expire, \
             mailboxes, outage, clock, reset; DELETE faults, bounces"
        ),
    )
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::bad(format!("in the body: {error}")))
}

/// Query parameters as a type; numbers are read as such.
fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, Refused> {
    let pairs = pairs(query).ok_or_else(|| Refused::bad("the query could not be decoded"))?;
    let object: Map<String, Value> = pairs
        .into_iter()
        .map(|(name, value)| match (name.as_str(), value.parse::<u64>()) {
            ("limit" | "id" | "after", Ok(number)) => (name, json!(number)),
            _ => (name, json!(value)),
        })
        .collect();
    let read = serde_json::from_value(Value::Object(object));
    read.map_err(|error| Refused::bad(format!("in the query: {error}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PropertyQuery {
    property: String,
}

fn properties(handle: &Handle, query: &str) -> Result<Value, Refused> {
    let PropertyQuery { property } = read_query(query)?;
    let truth = handle.truth();
    let counts = truth.count_by_property(&property)?;
    let duplicates: Map<String, Value> = counts
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(value, count)| (value.clone(), json!(count)))
        .collect();
    Ok(json!({
        "values": counts.len(),
        "sent": counts.values().sum::<u64>(),
        "duplicates": duplicates,
    }))
}

/// One of a kind, or several in an array.
fn read_some<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Refused> {
    match read::<Value>(body)? {
        Value::Array(_) => read(body),
        _ => Ok(vec![read(body)?]),
    }
}

fn add_bounces(handle: &Handle, body: &[u8]) -> Result<Value, Refused> {
    let bounces: Vec<Bounce> = read_some(body)?;
    let added = bounces.len();
    for bounce in bounces {
        handle.add_bounce(bounce);
    }
    Ok(json!({"added": added}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    message_bytes: usize,
}

fn add_faults(handle: &Handle, body: &[u8]) -> Result<Value, Refused> {
    let faults: Vec<Fault> = read_some(body)?;
    let ids: Vec<u64> = faults.into_iter().map(|fault| handle.add_fault(fault)).collect();
    Ok(json!({"ids": ids}))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClearQuery {
    id: Option<u64>,
}

fn clear_faults(handle: &Handle, query: &str) -> Result<Value, Refused> {
    let ClearQuery { id } = read_query(query)?;
    Ok(json!({"cleared": handle.clear_faults(id)}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailboxChange {
    mailbox: String,
    state: MailboxState,
}

fn set_mailbox(handle: &Handle, change: &MailboxChange) -> Result<Value, Refused> {
    handle.set_mailbox(&change.mailbox, change.state)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutageChange {
    login: Outage,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    #[serde(default)]
    advance_seconds: f64,
    #[serde(default)]
    login_skew_seconds: Option<i64>,
}

fn advance(change: &ClockChange) -> Result<Duration, Refused> {
    let by = seconds(change.advance_seconds);
    if by.is_zero() && change.advance_seconds != 0.0 {
        return Err(Refused::bad("advance_seconds: expected seconds that are not negative"));
    }
    Ok(by)
}
