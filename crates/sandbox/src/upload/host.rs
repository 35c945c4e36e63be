//! The host that takes the bytes: `PUT`, `GET` and `DELETE` on an upload URL, and nothing else.
//!
//! Like `outlook.office.com` it is another origin than Graph, and the URL is all the authorisation
//! there is: a token of the client has no business here, and is counted.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::Session;
use super::range::Range;
use crate::admission::Seat;
use crate::answer::{Answer, Correlation};
use crate::body::{self, BODY_LIMIT};
use crate::error::GraphError;
use crate::exchange::{self, Outcome, Settled};
use crate::fault;
use crate::line::Line;
use crate::lock::lock;
use crate::mailbox::ids::Thing;
use crate::message::{Attachment, AttachmentKind, Blob};
use crate::route::Operation;
use crate::text::{pairs, percent_decode, percent_encode};
use crate::world::World;

/// Answers any request to the upload host.
pub async fn exchange(
    State(world): State<Arc<World>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let ids = exchange::correlation(&world, &parts.headers);
    let settled = settle(&world, &parts, body, &ids).await;
    exchange::finish(&world, settled, &line, &ids).await
}

async fn settle(world: &World, parts: &Parts, body: Body, ids: &Correlation) -> Settled {
    let operation = operation(&parts.method);
    if exchange::lacks_length(parts) {
        return Settled::new(operation, Outcome::Answer(exchange::length_required()));
    }
    let now = world.clock.now();
    // a place in the mailbox is taken before the bytes come, as any request takes one
    let entered = find(world, parts, now).and_then(|found| {
        let (mailbox, app) = {
            let session = lock(&found.1);
            (session.mailbox.clone(), session.app)
        };
        Ok((found, Seat::take(world, mailbox, app, now)?))
    });
    // the body is read even when it is refused, so that the connection stays usable
    let body = body::read(body, &parts.headers, BODY_LIMIT).await;
    let admitted = entered.and_then(|(found, seat)| {
        let body = body?;
        seat.upload(world, body.len(), now)?;
        Ok((found, seat, body))
    });
    match admitted {
        Err(error) => Settled::new(operation, Outcome::Answer(Answer::refusal(&error, ids, now))),
        Ok((found, seat, body)) => {
            let outcome = run(world, parts, &found, &seat, body, ids).await;
            Settled::new(operation, outcome).holding(Some(seat))
        }
    }
}

fn operation(method: &Method) -> Operation {
    match *method {
        Method::PUT => Operation::UploadChunk,
        Method::GET => Operation::GetUpload,
        Method::DELETE => Operation::CancelUpload,
        _ => Operation::Unknown,
    }
}

/// The id of a session, and the session.
type Found = (String, Arc<Mutex<Session>>);

/// The session that the URL names, when the URL is whole and its time is not over.
fn find(world: &World, parts: &Parts, now: Timestamp) -> Result<Found, GraphError> {
    let path = parts.uri.path();
    let id =
        path.rsplit_once("/AttachmentSessions('").and_then(|(_, rest)| rest.strip_suffix("')"));
    let id = id.and_then(percent_decode).ok_or_else(|| GraphError::unknown_segment(path))?;
    if parts.headers.contains_key("authorization") {
        world.uploads.with_authorization.fetch_add(1, Ordering::Relaxed);
        return Err(GraphError::token_at_upload_host());
    }
    let found = world.uploads.find(&id).ok_or_else(GraphError::no_upload_session)?;
    let session = lock(&found);
    let options = pairs(parts.uri.query().unwrap_or_default()).unwrap_or_default();
    if !options.iter().any(|(name, value)| name == "authtoken" && *value == session.token) {
        return Err(GraphError::malformed_token());
    }
    if session.expires <= now {
        world.uploads.remove(&id);
        return Err(GraphError::no_upload_session());
    }
    drop(session);
    Ok((id, found))
}

/// An admitted request, with the faults that may strike it.
async fn run(
    world: &World,
    parts: &Parts,
    found: &Found,
    seat: &Seat,
    body: Bytes,
    ids: &Correlation,
) -> Outcome {
    let request = fault::Request {
        operation: operation(&parts.method),
        method: parts.method.as_str(),
        path: parts.uri.path(),
        mailbox: &seat.mailbox.address,
    };
    exchange::under_faults(world, request, ids, async { perform(world, parts, found, &body) }).await
}

fn perform(
    world: &World,
    parts: &Parts,
    (id, session): &Found,
    body: &[u8],
) -> Result<Answer, GraphError> {
    let now = world.clock.now();
    let mut session = lock(session);
    match operation(&parts.method) {
        Operation::UploadChunk => {
            let range = content_range(&parts.headers, &session, body)?;
            append(&mut session, range, body, &exchange::base(parts), now)
        }
        Operation::GetUpload if session.spool.is_some() => {
            Ok(progress(&session, &exchange::base(parts)))
        }
        // a session ends with its last byte: what became of it is known to the message alone
        Operation::GetUpload => Err(GraphError::no_upload_session()),
        Operation::CancelUpload => {
            world.uploads.remove(id);
            match session.spool.take() {
                Some(_) => Ok(Answer::empty(StatusCode::NO_CONTENT)),
                None => Err(GraphError::no_upload_session()),
            }
        }
        _ => Err(GraphError::method_not_allowed()),
    }
}

/// The range, when it is the next one and fits the body and the size that was promised.
fn content_range(headers: &HeaderMap, session: &Session, body: &[u8]) -> Result<Range, GraphError> {
    let value = headers.get("content-range").and_then(|value| value.to_str().ok());
    let range = value.and_then(Range::read).ok_or_else(GraphError::content_range_malformed)?;
    if range.total != session.item.size || range.length() != body.len() {
        return Err(GraphError::content_range_wrong(session.item.size, body.len()));
    }
    let expected = session.next().unwrap_or(session.item.size);
    if range.start != expected {
        return Err(GraphError::range_not_satisfiable(expected));
    }
    Ok(range)
}

fn append(
    session: &mut Session,
    range: Range,
    body: &[u8],
    base: &str,
    now: Timestamp,
) -> Result<Answer, GraphError> {
    let mailbox = session.mailbox.clone();
    let mut inner = lock(&mailbox.inner);
    inner.check_room()?;
    let message = inner.store.get_mut(session.message);
    let mut message = message
        .filter(|message| message.place.is_draft == session.draft)
        .ok_or_else(GraphError::item_not_found)?;
    let Some(spool) = &mut session.spool else {
        return Err(GraphError::range_not_satisfiable(range.total));
    };
    if spool.append(body).is_err() {
        // half a chunk would never fit again: the session is lost
        session.spool = None;
        return Err(GraphError::internal());
    }
    if spool.length() < session.item.size {
        return Ok(progress(session, base));
    }
    let Some(spool) = session.spool.take() else { return Err(GraphError::internal()) };
    let attached = message.add(attachment(session, spool.finish(), now), now);
    let thing = Thing::Attachment { message: session.message, key: attached.key };
    drop(message);
    drop(inner);
    let id = percent_encode(&mailbox.seal.seal(thing));
    let location = format!("{base}{}/Attachments('{id}')", message_path(session));
    Ok(Answer::empty(StatusCode::CREATED).location(&location))
}

fn attachment(session: &Session, data: Blob, now: Timestamp) -> Attachment {
    let item = session.item.clone();
    Attachment {
        key: 0,
        broken: false,
        kind: AttachmentKind::File,
        name: item.name,
        content_type: item.content_type,
        content_id: item.content_id,
        is_inline: item.is_inline,
        data,
        modified: now,
    }
}

fn progress(session: &Session, base: &str) -> Answer {
    let path = message_path(session).replacen("/api/v2.0/", "", 1);
    Answer::json(
        StatusCode::OK,
        &json!({
            "@odata.context":
                format!("{base}/api/v2.0/$metadata#{path}/AttachmentSessions/$entity"),
            "ExpirationDateTime": precise(session.expires),
            "nextExpectedRanges": [session.next().unwrap_or_default().to_string()],
        }),
    )
}

/// `/api/v2.0/Users('user@tenant')/Messages('id')`.
fn message_path(session: &Session) -> String {
    let (user, tenant) = (&session.mailbox.user_id, &session.tenant);
    let message = percent_encode(&session.message_id);
    format!("/api/v2.0/Users('{user}@{tenant}')/Messages('{message}')")
}

/// The URL under which a session is used.
pub fn url(session: &Session, id: &str, host: &str) -> String {
    let (path, id) = (message_path(session), percent_encode(id));
    format!("{host}{path}/AttachmentSessions('{id}')?authtoken={}", session.token)
}

/// A time with seven decimals, as sessions carry it.
pub fn precise(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.7fZ").to_string()
}
