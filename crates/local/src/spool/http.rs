//! `POST /requests` and `GET /requests/{id}`.
//!
//! Whoever may post may send mail: a bearer token is needed, or the address is a loopback one. There
//! a browser is kept out too: a page elsewhere can make it post what it likes, but neither with the
//! media types of requests nor under a name that is not this machine's.

use std::{
    future::IntoFuture as _,
    io,
    net::SocketAddr,
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use mailbridge_core::{Code, Error, Headers, Message, Result, Secret, SecretSource};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Added, Spool};

/// Characters of an idempotency key.
const KEY_CHARS_MAX: usize = 255;
/// Requests whose bodies are read at once; the others wait in their connections.
const TAKEN_AT_ONCE: usize = 64;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Headers of a post that belong to its message.
const KEPT: [&str; 3] = ["content-type", "traceparent", "tracestate"];

/// Who may post, and how much.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// What a producer must know; without it the address is a loopback one.
    pub(crate) token: Option<SecretSource>,
    /// Bytes of one request, at most.
    pub(crate) bytes_max: usize,
}

/// Answers until it is dropped; what is being answered then is answered still.
pub(crate) struct Server {
    task: JoinSet<io::Result<()>>,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.detach_all();
    }
}

#[derive(Clone)]
struct Desk {
    spool: Spool,
    access: Arc<Access>,
    /// Bounds what requests that are being taken have in memory.
    room: Arc<Semaphore>,
}

impl Server {
    /// Takes the port and answers.
    ///
    /// # Errors
    /// `listen_failed`, when it is taken or not ours; and where the token cannot be read, without
    /// which nobody could be let in.
    pub(crate) async fn start(address: SocketAddr, spool: Spool, access: Access) -> Result<Self> {
        if let Some(token) = &access.token {
            token.read().await?;
        }
        let listener = TcpListener::bind(address).await.map_err(|cause| {
            Error::transient(Code::Listen, "requests over HTTP cannot be taken here")
                .with("address", address)
                .with("cause", cause.kind())
        })?;
        tracing::info!(%address, "requests are taken over HTTP");
        let mut task = JoinSet::new();
        let room = Arc::new(Semaphore::new(TAKEN_AT_ONCE));
        let router = router(Desk { spool, access: Arc::new(access), room });
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        task.spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future());
        Ok(Self { task, stop })
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/requests", post(add))
        .route("/requests/{id}", get(status))
        .with_state(desk)
}

/// Why a call is refused.
struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, detail) = self;
        let mut response =
            (status, Json(json!({ "error": { "code": code, "message": detail } }))).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = error.code();
        tracing::warn!(%code, %error, cure = code.cure(), "a request over HTTP was not taken");
        Self(StatusCode::SERVICE_UNAVAILABLE, code.as_str(), code.meaning().to_owned())
    }
}

/// Answered once the request is on the disk.
async fn add(State(desk): State<Desk>, request: Request) -> Result<Response, Refusal> {
    desk.let_in(request.headers()).await?;
    let (head, body) = request.into_parts();
    let (headers, key) = (message_headers(&head.headers)?, idempotency_key(&head.headers)?);
    let bytes_max = desk.access.bytes_max;
    let _room = desk.room.acquire().await;
    let payload = to_bytes(body, bytes_max).await.map_err(|_| {
        let detail = format!("a request has {bytes_max} bytes at most, and must come whole");
        Refusal(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", detail)
    })?;
    if payload.is_empty() {
        let code = Code::RequestEmpty;
        return Err(Refusal(StatusCode::BAD_REQUEST, code.as_str(), code.cure().to_owned()));
    }
    let id = Uuid::new_v4().to_string();
    let message = Message { id: key, headers, payload, ..Message::default() };
    match desk.spool.add(&id, &message).await? {
        Added::New => Ok(taken(StatusCode::ACCEPTED, &id)),
        Added::Known(id) => Ok(taken(StatusCode::OK, &id)),
        Added::Differs => {
            let detail = "another request was posted under this Idempotency-Key".to_owned();
            Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, "request_conflict", detail))
        }
        Added::Full => {
            let detail = "too many requests wait; come again later".to_owned();
            Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "spool_full", detail))
        }
    }
}

fn taken(status: StatusCode, id: &str) -> Response {
    let place = format!("/requests/{id}");
    let body = Json(json!({ "id": id, "status_url": place }));
    (status, [(header::LOCATION, place)], body).into_response()
}

/// What became of a request, as far as it is known.
async fn status(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    desk.let_in(&headers).await?;
    let Some(said) = desk.spool.status(&id).await? else {
        let detail = "no request has this id, or it ended more than a day ago".to_owned();
        return Err(Refusal(StatusCode::NOT_FOUND, "request_unknown", detail));
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], said).into_response())
}

impl Desk {
    async fn let_in(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.access.token else { return from_here(headers) };
        let token = token.read().await?;
        let given = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let given = given.and_then(|it| it.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if given.is_some_and(|(_, given)| same(given.trim(), &token)) {
            return Ok(());
        }
        let detail = "a request needs the header `Authorization: Bearer TOKEN`".to_owned();
        Err(Refusal(StatusCode::UNAUTHORIZED, "unauthorized", detail))
    }
}

/// Compares digests, so that the time it takes tells nothing.
fn same(given: &str, token: &Secret) -> bool {
    Sha256::digest(given) == Sha256::digest(token.expose())
}

/// A page in a browser on this machine may name any host that leads here; it cannot name this one.
fn from_here(headers: &HeaderMap) -> Result<(), Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback {
        return Ok(());
    }
    let detail = "without a token, requests are taken under a loopback name only".to_owned();
    Err(Refusal(StatusCode::FORBIDDEN, "not_loopback", detail))
}

/// The headers of the message. A media type that browsers send without asking is refused.
fn message_headers(given: &HeaderMap) -> Result<Headers, Refusal> {
    let kind = given.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let fits = kind == "application/json" || kind.ends_with("+json") || kind == "message/rfc822";
    if !fits {
        let code = Code::RequestContentType;
        let detail = "use the header `Content-Type: application/json`, \
                      application/cloudevents+json or message/rfc822";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Refusal(status, code.as_str(), detail.to_owned()));
    }
    let mut headers = Headers::new();
    for (name, value) in given {
        let name = name.as_str();
        if KEPT.contains(&name) || name.starts_with("ce-") {
            headers.push(name, Bytes::copy_from_slice(value.as_bytes()));
        }
    }
    Ok(headers)
}

/// The key, in quotes or without (IETF draft, the Idempotency-Key HTTP header field).
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().trim();
    let key = key.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(key);
    if key.is_empty() || key.len() > KEY_CHARS_MAX {
        let detail = format!("an Idempotency-Key is 1 to {KEY_CHARS_MAX} visible characters");
        return Err(Refusal(StatusCode::BAD_REQUEST, "request_bad_id", detail));
    }
    Ok(Some(key.to_owned()))
}

/// Where a spool lies, by what it is called.
pub(crate) fn file(dir: &FsPath, address: SocketAddr) -> PathBuf {
    dir.join(format!("spool-{}.redb", address.port()))
}
