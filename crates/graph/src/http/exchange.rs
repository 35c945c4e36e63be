//! One request and what became of it, down to the failure with its fields.

use std::time::Duration;

use mailbridge_core::{Code, Error, Result, Verdict, limits::BODY_BYTES_MAX};
use metrics::{Counter, Histogram, counter, histogram};
use reqwest::{
    Client, Request, Response,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    Answer, Call, Door, Operation, Refusal,
    answer::{Flaw, Take},
    origin::Authorized,
    spans,
};
use crate::{
    classify::{Effect, Seen, classify},
    metric,
    pacing::Permit,
    token::Token,
};

/// What is a little over the limit is Graph's to refuse: nobody documents where exactly it is.
const BODY_SLACK_BYTES: usize = 64 * 1024;
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Without it the directory refuses some filters and casts (learn.microsoft.com,
/// aad-advanced-queries).
const CONSISTENCY_LEVEL: HeaderName = HeaderName::from_static("consistencylevel");

/// What became of a request.
pub(crate) enum Outcome {
    Answered(Answer),
    /// A success whose body is not read yet.
    Opened(Response),
    /// No connection was made.
    NotSent,
    TimedOut,
    Cut,
}

/// Makes a request to Graph, once. The caller says how long that may take.
pub(crate) async fn exchange(client: &Client, request: Authorized, take: Take) -> Outcome {
    execute(client, request.into_inner(), take).await
}

/// The same for a request that carries no token.
pub(super) async fn execute(client: &Client, request: Request, take: Take) -> Outcome {
    match client.execute(request).await {
        Ok(response) if take.pieces && response.status().is_success() => Outcome::Opened(response),
        Ok(response) => Outcome::Answered(Answer::read(response, take).await),
        Err(error) if error.is_connect() => Outcome::NotSent,
        Err(error) if error.is_timeout() => Outcome::TimedOut,
        Err(_) => Outcome::Cut,
    }
}

impl Door {
    /// Makes the request once, with this token. What is returned is a success.
    pub(super) async fn attempt(
        &self,
        permit: &Permit,
        call: &Call<'_>,
        token: &Token,
    ) -> Result<Outcome, Refusal> {
        permit.request(call.body.bytes().len(), call.deadline).await?;
        let client_request_id = Uuid::new_v4();
        let request = self.build(call, token, client_request_id)?;
        let start = Instant::now();
        let until = call.deadline.min(start + self.request_timeout);
        if until <= start {
            let verdict = Verdict::Transient { after: None };
            let detail = "no time was left to ask graph";
            return Err(Error::new(Code::GraphTimeout, verdict, detail).into());
        }
        let take = call.operation.take();
        let scope = spans::begin(call.operation);
        let outcome = match timeout_at(until, exchange(&self.client, request, take)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::TimedOut,
        };
        self.note(call.operation, &outcome, start.elapsed(), Some(client_request_id));
        spans::end(&scope, &outcome, Some(client_request_id));
        if outcome.is_success() {
            permit.passed();
            if let Some(permission) = call.operation.permission() {
                self.grants.worked(permission, token);
            }
            return match outcome.flaw().filter(|_| call.operation.is_read()) {
                Some(flaw) => {
                    let error = flawed(call.operation, flaw, client_request_id);
                    scope.failed(&error);
                    Err(error.into())
                }
                None => Ok(outcome),
            };
        }
        let error = failure(permit, call.operation, &outcome, Some(client_request_id));
        scope.failed(&error);
        let challenge =
            if let Outcome::Answered(answer) = outcome { answer.challenge } else { None };
        Err(Refusal { error, challenge })
    }

    fn build(&self, call: &Call<'_>, token: &Token, client_request_id: Uuid) -> Result<Authorized> {
        let body = call.body.bytes();
        if body.len() > BODY_BYTES_MAX + BODY_SLACK_BYTES {
            let detail = "the mail as a whole is too large for one request to graph";
            return Err(Error::permanent(Code::RequestTooLarge, detail)
                .with("bytes", body.len())
                .with("bytes_max", BODY_BYTES_MAX));
        }
        let method = call.operation.method();
        let mut request = self.origin.request(method, call.url, token.authorization())?;
        let headers = request.headers();
        let raw = call.operation.take().pieces || call.operation == Operation::ReadReport;
        let accept = if raw { "*/*" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(PREFER, call.prefer.header());
        if call.operation.effect() == Effect::Directory {
            headers.insert(CONSISTENCY_LEVEL, HeaderValue::from_static("eventual"));
        }
        let mut text = Uuid::encode_buffer();
        let id = client_request_id.as_hyphenated().encode_lower(&mut text);
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(CLIENT_REQUEST_ID, id);
        }
        match call.body.content_type() {
            Some(kind) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                request.body(body);
            }
            // `send` wants it said that there is no body (learn.microsoft.com, message-send)
            None if call.operation == Operation::SendDraft => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            None => {}
        }
        Ok(request)
    }

    pub(super) fn note(
        &self,
        operation: Operation,
        outcome: &Outcome,
        took: Duration,
        id: Option<Uuid>,
    ) {
        let (status, request_id) = match outcome {
            Outcome::Answered(answer) => (answer.status, answer.request_id.as_deref()),
            Outcome::Opened(response) => (response.status().as_u16(), None),
            Outcome::NotSent | Outcome::TimedOut | Outcome::Cut => (0, None),
        };
        self.meters.count(operation, outcome, took);
        tracing::debug!(
            connection = %self.connection,
            operation = operation.name(),
            status,
            request_id,
            client_request_id = id.map(tracing::field::display),
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "graph request"
        );
    }
}

impl Outcome {
    fn is_success(&self) -> bool {
        match self {
            Self::Answered(answer) => (200..300).contains(&answer.status),
            Self::Opened(_) => true,
            Self::NotSent | Self::TimedOut | Self::Cut => false,
        }
    }

    /// Why the body is not here, if it should be.
    fn flaw(&self) -> Option<Flaw> {
        if let Self::Answered(answer) = self { answer.flaw } else { None }
    }
}

/// What was asked for is not here. Only of requests that have no effect.
fn flawed(operation: Operation, flaw: Flaw, id: Uuid) -> Error {
    let code = match flaw {
        Flaw::BrokenOff => Code::GraphCut,
        Flaw::TooLong => Code::GraphAnswerTooLarge,
    };
    Error::transient(code, code.meaning())
        .with("operation", operation.name())
        .with("client-request-id", id)
}

/// The failure, classified, and the mailbox's gate closed if Graph asked for it.
pub(super) fn failure(
    permit: &Permit,
    operation: Operation,
    outcome: &Outcome,
    id: Option<Uuid>,
) -> Error {
    let mut codes = Vec::new();
    let seen_codes: Vec<&str>;
    let seen = match outcome {
        Outcome::NotSent => Seen::NotSent,
        Outcome::TimedOut => Seen::TimedOut,
        Outcome::Cut => Seen::Cut,
        Outcome::Opened(response) => {
            let status = response.status().as_u16();
            Seen::Answered { status, codes: &[], retry_after: None }
        }
        Outcome::Answered(answer) => {
            codes = answer.codes();
            seen_codes = codes.iter().map(String::as_str).collect();
            let retry_after = wait(permit, answer);
            Seen::Answered { status: answer.status, codes: &seen_codes, retry_after }
        }
    };
    // a success never comes here; should it ever, the mail is in doubt
    let (code, verdict) =
        classify(operation.effect(), &seen).unwrap_or((Code::GraphUnexpected, Verdict::InDoubt));
    let mut error = Error::new(code, verdict, code.meaning()).with("operation", operation.name());
    if let Outcome::Answered(answer) = outcome {
        error = error.with("status", answer.status);
        if !codes.is_empty() {
            error = error.with("graph_code", codes.join("/"));
        }
        if let Some(request_id) = &answer.request_id {
            error = error.with("request-id", request_id);
        }
    }
    match id {
        Some(id) => error.with("client-request-id", id),
        None => error,
    }
}

/// How long the mailbox has to stay away. Only a throttled or busy answer closes its gate.
fn wait(permit: &Permit, answer: &Answer) -> Option<Duration> {
    match answer.status {
        429 => Some(permit.throttled(answer.retry_after, Some(answer.limit()))),
        503 | 504 | 509 if answer.retry_after.is_some() => {
            Some(permit.throttled(answer.retry_after, None))
        }
        _ => {
            permit.passed();
            answer.retry_after
        }
    }
}

/// The metrics of a connection. Handles of the common case are kept: a recorder must be installed
/// before the connection is made.
pub(super) struct Meters {
    connection: String,
    accepted: [Counter; Operation::ALL.len()],
    seconds: [Histogram; Operation::ALL.len()],
}

impl Meters {
    pub(super) fn new(connection: &str) -> Self {
        let connection = connection.to_owned();
        Self {
            accepted: Operation::ALL.map(|operation| {
                let status = operation.success().to_string();
                requests(&connection, operation, status)
            }),
            seconds: Operation::ALL.map(|operation| {
                histogram!(
                    metric::REQUEST_SECONDS,
                    "connection" => connection.clone(),
                    "operation" => operation.name(),
                )
            }),
            connection,
        }
    }

    fn count(&self, operation: Operation, outcome: &Outcome, took: Duration) {
        let at = operation as usize;
        self.seconds[at].record(took);
        let status = match outcome {
            Outcome::Answered(answer) if answer.status == operation.success() => {
                return self.accepted[at].increment(1);
            }
            Outcome::Opened(_) => return self.accepted[at].increment(1),
            Outcome::Answered(answer) => answer.status.to_string(),
            Outcome::NotSent => "not_sent".to_owned(),
            Outcome::TimedOut => "timeout".to_owned(),
            Outcome::Cut => "cut".to_owned(),
        };
        if status == "429" {
            let connection = self.connection.clone();
            counter!(metric::THROTTLED, "connection" => connection).increment(1);
        }
        requests(&self.connection, operation, status).increment(1);
    }
}

fn requests(connection: &str, operation: Operation, status: String) -> Counter {
    counter!(
        metric::REQUESTS,
        "connection" => connection.to_owned(),
        "operation" => operation.name(),
        "status" => status,
    )
}
