//! An endpoint for notifications: it shakes hands, answers as it is told, and keeps what it heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Answers a handshake wrongly.
pub const NO_HANDSHAKE: u16 = 1;
/// Never answers a notification.
pub const SILENT: u16 = 2;

struct Shared {
    behaviour: Arc<AtomicU16>,
    heard: mpsc::Sender<Value>,
}

pub struct Endpoint {
    pub url: String,
    /// A status to answer with, or one of the constants above
    pub behaviour: Arc<AtomicU16>,
    heard: mpsc::Receiver<Value>,
    _tasks: JoinSet<std::io::Result<()>>,
}

impl Endpoint {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?mine=1", listener.local_addr().unwrap());
        let behaviour = Arc::new(AtomicU16::new(202));
        let (sender, heard) = mpsc::channel(10_000);
        let shared = Arc::new(Shared { behaviour: behaviour.clone(), heard: sender });
        let router = Router::new().route("/hook", post(answer)).with_state(shared);
        let mut tasks = JoinSet::new();
        tasks.spawn(async { axum::serve(listener, router).await });
        Self { url, behaviour, heard, _tasks: tasks }
    }

    pub fn behave(&self, behaviour: u16) {
        self.behaviour.store(behaviour, Ordering::SeqCst);
    }

    /// The body of the next request that was no handshake.
    pub async fn next(&mut self) -> Value {
        timeout(Duration::from_secs(10), self.heard.recv()).await.unwrap().unwrap()
    }

    /// So many notifications, in the order they were heard.
    pub async fn values(&mut self, count: usize) -> Vec<Value> {
        let mut out = Vec::new();
        while out.len() < count {
            out.extend(self.next().await["value"].as_array().unwrap().clone());
        }
        assert_eq!(out.len(), count, "{out:?}");
        out
    }

    /// What was heard so far and nobody has asked for.
    pub fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    body: String,
) -> Response {
    let query = query.unwrap_or_default();
    assert!(query.starts_with("mine=1"), "what the address had is kept: {query}");
    let behaviour = shared.behaviour.load(Ordering::SeqCst);
    if let Some((_, token)) = query.split_once("validationToken=") {
        let text = token.replace('+', " ").replace("%3A", ":").replace("%2B", "+");
        let text = if behaviour == NO_HANDSHAKE { "something else".to_owned() } else { text };
        return text.into_response();
    }
    shared.heard.send(serde_json::from_str(&body).unwrap()).await.unwrap();
    if behaviour == SILENT {
        std::future::pending::<()>().await;
    }
    StatusCode::from_u16(behaviour).unwrap_or(StatusCode::ACCEPTED).into_response()
}
