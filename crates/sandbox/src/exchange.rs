//! One request and its answer: from the wire to the operation and back, with whatever goes wrong
//! between.
//!
//! The order is fixed: admission, body, *before* faults, operation, *after* faults, latency. An
//! operation has its effect in one go, so that is never half there.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::admin;
use crate::admission::{Admitted, Seat, admit};
use crate::answer::{Answer, Correlation};
use crate::batch;
use crate::body::{self, BODY_LIMIT};
use crate::error::GraphError;
use crate::fault::{self, Kind, When};
use crate::line::Line;
use crate::login::{self, Reply};
use crate::operation::{Call, perform};
use crate::preference::Preferences;
use crate::route::{Operation, Route, resolve};
use crate::world::World;

/// How long a login host that hangs keeps a connection: longer than any client waits.
const HANG: Duration = Duration::from_mins(10);

/// What becomes of a request: an answer, or a line that is cut.
pub enum Outcome {
    Answer(Answer),
    Cut { reset: bool },
}

/// A request that has its outcome, and keeps its place in the mailbox until that is told.
pub struct Settled {
    operation: Operation,
    outcome: Outcome,
    seat: Option<Seat>,
}

impl Settled {
    pub fn new(operation: Operation, outcome: Outcome) -> Self {
        Self { operation, outcome, seat: None }
    }

    /// The outcome of a request in a batch, which is told with the others.
    pub fn count(self, world: &World) -> Outcome {
        let status = match &self.outcome {
            Outcome::Answer(answer) => Some(answer.status.as_u16()),
            Outcome::Cut { .. } => None,
        };
        world.counters.count(self.operation, status);
        self.outcome
    }

    pub fn holding(self, seat: Option<Seat>) -> Self {
        Self { seat, ..self }
    }
}

/// Answers any request to the sandbox.
pub async fn exchange(
    State(world): State<Arc<World>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let ids = correlation(&world, &parts.headers);
    let path = parts.uri.path();
    if path.starts_with(admin::PREFIX) {
        return admin::answer(&world, &parts, body).await.into_response(&ids);
    }
    let settled = if lacks_length(&parts) {
        Settled::new(Operation::Unknown, Outcome::Answer(length_required()))
    } else if login::is_token_path(&world, path) {
        Settled::new(Operation::Token, token(&world, &parts, body, &ids).await)
    } else if login::is_discovery_path(path) {
        let answer = login::discovery(&world, path, &base(&parts), &ids);
        Settled::new(Operation::Discovery, Outcome::Answer(answer))
    } else if batch::is_batch_path(path) {
        batch::answer(&world, &parts, body, &ids).await
    } else {
        graph(&world, &parts, body, &ids).await
    };
    finish(&world, settled, &line, &ids).await
}

/// Tells the outcome, after the latency that all answers have.
pub async fn finish(
    world: &World,
    settled: Settled,
    line: &Line,
    ids: &Correlation,
) -> Response<Body> {
    let latency = world.dice.between(&world.settings.latency);
    if !latency.is_zero() {
        sleep(latency).await;
    }
    let Settled { operation, outcome, seat } = settled;
    drop(seat);
    match outcome {
        Outcome::Answer(answer) => {
            world.counters.count(operation, Some(answer.status.as_u16()));
            answer.into_response(ids)
        }
        Outcome::Cut { reset } => {
            world.counters.count(operation, None);
            // whatever is returned now, the cut line does not carry it
            line.cut(reset);
            Answer::empty(StatusCode::OK).into_response(ids)
        }
    }
}

async fn token(world: &World, parts: &Parts, body: Body, ids: &Correlation) -> Outcome {
    let request = fault::Request {
        operation: Operation::Token,
        method: parts.method.as_str(),
        path: parts.uri.path(),
        mailbox: "",
    };
    let body = match body::read(body, &parts.headers, BODY_LIMIT).await {
        Ok(body) => body,
        Err(error) => return Outcome::Answer(Answer::refusal(&error, ids, world.clock.now())),
    };
    let struck = world.faults.strike(When::Before, request);
    if let Some(outcome) = suffer(world, request, struck.as_ref(), None, ids).await {
        return outcome;
    }
    match login::token(world, parts, &body, &base(parts), ids) {
        Reply::Reset => Outcome::Cut { reset: true },
        Reply::Hang => {
            wait(world, HANG).await;
            Outcome::Cut { reset: false }
        }
        Reply::Answer(answer) => answered(world, request, struck, answer, ids).await,
    }
}

/// A request to Graph.
pub async fn graph(world: &World, parts: &Parts, body: Body, ids: &Correlation) -> Settled {
    let now = world.clock.now();
    let route = resolve(&parts.method, parts.uri.path());
    let operation = route.as_ref().map_or(Operation::Unknown, |route| route.operation);
    let admitted = match &route {
        Ok(route) => admit(world, route, &parts.headers, now),
        Err(error) => Err(error.clone()),
    };
    // the body is read even when it is refused, so that the connection stays usable
    let body = body::read(body, &parts.headers, BODY_LIMIT).await;
    let (route, admitted, body) = match (route, admitted, body) {
        (Ok(route), Ok(admitted), Ok(body)) => (route, admitted, body),
        (_, Err(error), _) | (_, _, Err(error)) | (Err(error), _, _) => {
            let refusal = Answer::refusal(&error, ids, now);
            return Settled::new(operation, Outcome::Answer(refusal));
        }
    };
    let outcome = match charge_upload(world, parts, &admitted, body.len(), now) {
        Ok(()) => run(world, parts, &route, &admitted, body, ids).await,
        Err(error) => Outcome::Answer(Answer::refusal(&error, ids, now)),
    };
    Settled::new(operation, outcome).holding(admitted.seat)
}

fn charge_upload(
    world: &World,
    parts: &Parts,
    admitted: &Admitted,
    bytes: usize,
    now: Timestamp,
) -> Result<(), GraphError> {
    let uploads = [Method::POST, Method::PATCH, Method::PUT].contains(&parts.method);
    match admitted.seat.as_ref().filter(|_| uploads) {
        Some(seat) => seat.upload(world, bytes, now),
        None => Ok(()),
    }
}

/// An admitted request, with the faults that may strike it.
async fn run(
    world: &World,
    parts: &Parts,
    route: &Route,
    admitted: &Admitted,
    body: Bytes,
    ids: &Correlation,
) -> Outcome {
    let mailbox = admitted.seat.as_ref().map(|seat| &*seat.mailbox);
    let request = fault::Request {
        operation: route.operation,
        method: parts.method.as_str(),
        path: parts.uri.path(),
        mailbox: mailbox.map_or("", |mailbox| &mailbox.address),
    };
    under_faults(world, request, ids, async {
        let call = Call {
            world,
            grant: &admitted.grant,
            route,
            headers: &parts.headers,
            query: parts.uri.query().unwrap_or_default(),
            base: &base(parts),
            path: parts.uri.path(),
            preferences: Preferences::read(&parts.headers),
            ids,
            now: world.clock.now(),
        };
        let answer = perform(&call, mailbox, &body).await?;
        Ok(match call.preferences.applied() {
            Some(applied) => answer.header(PREFERENCE_APPLIED, &applied),
            None => answer,
        })
    })
    .await
}

/// Performs a request unless a fault strikes it before, and answers unless one strikes after.
pub async fn under_faults(
    world: &World,
    request: fault::Request<'_>,
    ids: &Correlation,
    perform: impl Future<Output = Result<Answer, GraphError>>,
) -> Outcome {
    let struck = world.faults.strike(When::Before, request);
    if let Some(outcome) = suffer(world, request, struck.as_ref(), None, ids).await {
        return outcome;
    }
    match perform.await {
        Ok(answer) => answered(world, request, struck, answer, ids).await,
        Err(error) => Outcome::Answer(Answer::refusal(&error, ids, world.clock.now())),
    }
}

const PREFERENCE_APPLIED: axum::http::HeaderName =
    axum::http::HeaderName::from_static("preference-applied");

/// A success, unless a fault strikes it now. A request that was struck before is left alone.
async fn answered(
    world: &World,
    request: fault::Request<'_>,
    struck: Option<Kind>,
    answer: Answer,
    ids: &Correlation,
) -> Outcome {
    let struck = match struck {
        Some(Kind::RetryAfter { seconds }) => {
            return Outcome::Answer(answer.retry_after(fault::seconds(seconds)));
        }
        None if answer.status.is_success() => world.faults.strike(When::After, request),
        _ => None,
    };
    match suffer(world, request, struck.as_ref(), Some(&answer), ids).await {
        Some(outcome) => outcome,
        None => Outcome::Answer(answer),
    }
}

/// What a fault does to a request; `None` when it goes on. `real` is the answer it would have got.
async fn suffer(
    world: &World,
    request: fault::Request<'_>,
    kind: Option<&Kind>,
    real: Option<&Answer>,
    ids: &Correlation,
) -> Option<Outcome> {
    match kind? {
        Kind::Answer(fake) => {
            Some(Outcome::Answer(fake.answer(request.operation, ids, world.clock.now())))
        }
        Kind::Close { reset } => Some(Outcome::Cut { reset: *reset }),
        Kind::Hang { seconds } => {
            wait(world, fault::seconds(*seconds)).await;
            Some(Outcome::Cut { reset: false })
        }
        Kind::Delay { seconds } => {
            wait(world, fault::seconds(*seconds)).await;
            None
        }
        Kind::RetryAfter { seconds } => {
            let answer = real?.clone();
            Some(Outcome::Answer(answer.retry_after(fault::seconds(*seconds))))
        }
    }
}

/// Waits, but not beyond the end of the sandbox.
async fn wait(world: &World, time: Duration) {
    let mut stopping = world.stopping.clone();
    tokio::select! {
        () = sleep(time) => {}
        // an error means that the sandbox is gone: the end as well
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

/// The front door refuses a request that could have a body and does not say how long it is; an
/// empty one needs `Content-Length: 0` (github.com/microsoftgraph/microsoft-graph-docs pull request
/// 2262).
pub fn lacks_length(parts: &Parts) -> bool {
    let could_have_body = [Method::POST, Method::PATCH, Method::PUT].contains(&parts.method);
    could_have_body
        && !["content-length", "transfer-encoding"]
            .iter()
            .any(|name| parts.headers.contains_key(*name))
}

pub fn length_required() -> Answer {
    let page = "<!DOCTYPE HTML><HTML><HEAD><TITLE>Length Required</TITLE></HEAD><BODY><h2>Length \
                Required</h2><hr><p>HTTP Error 411. The request must be chunked or have a content \
                length.</p></BODY></HTML>";
    Answer::bytes(StatusCode::LENGTH_REQUIRED, "text/html; charset=us-ascii", page.into())
}

pub fn correlation(world: &World, headers: &HeaderMap) -> Correlation {
    let request_id = world.dice.guid();
    let client = headers.get("client-request-id").and_then(|value| value.to_str().ok());
    let client_request_id = client.map_or_else(|| request_id.clone(), str::to_owned);
    Correlation { request_id, client_request_id }
}

/// This service as the client sees it, also through a proxy that ends TLS.
pub fn base(parts: &Parts) -> String {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = header("x-forwarded-proto").unwrap_or("http");
    let host = header("x-forwarded-host").or_else(|| header("host")).unwrap_or("localhost");
    format!("{scheme}://{host}")
}
