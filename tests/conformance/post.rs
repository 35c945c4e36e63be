//! Messages posted to a URL: only an output. What stands at its target is what a receiver has
//! answered with a 2xx.
//!
//! The receiver is a bare HTTP server, and verifies every signature as one would.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use mailbridge_core::plugin::Plugin as _;
use mailbridge_core::{Headers, Input, Message, Needs, Output, Result, StateStore, plugin};
use mailbridge_local::Local;
use mailbridge_testkit::conformance::World;
use serde_json::json;
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinSet};

mailbridge_testkit::promises_of_output!(PostWorld::start().await);

const SECRET: &[u8] = b"a secret of 24 bytes, so";

/// A receiver, and a bus that posts to it.
struct PostWorld {
    local: Local,
    url: String,
    taken: Taken,
    _server: JoinSet<std::io::Result<()>>,
}

type Taken = Arc<Mutex<Vec<Message>>>;

impl PostWorld {
    async fn start() -> Self {
        let taken = Taken::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mails", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(Arc::clone(&taken));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await });
        let local = Local::new("files", mailbridge_local::Config::default()).unwrap();
        Self { local, url, taken, _server: server }
    }
}

async fn take(State(taken): State<Taken>, headers: HeaderMap, payload: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    mac.update(&payload);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    if text("webhook-signature") != expected {
        return StatusCode::UNAUTHORIZED;
    }
    let mut kept = Headers::new();
    for (name, value) in &headers {
        kept.push(name.as_str(), value.as_bytes().to_vec());
    }
    let message = Message { headers: kept, payload, ..Message::default() };
    taken.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    StatusCode::NO_CONTENT
}

#[async_trait]
impl World for PostWorld {
    fn comes_back_within(&self) -> Duration {
        Duration::ZERO
    }

    /// The receiver may, by `webhook-id`.
    fn drops_repeats(&self) -> bool {
        false
    }

    async fn output(&self) -> Result<Box<dyn Output>> {
        let secret = format!("whsec_{}", STANDARD.encode(SECRET));
        let target = json!({ "post": self.url, "signature": secret });
        self.local.output(&serde_json::from_value(target).unwrap()).await
    }

    async fn published(&self) -> Result<Vec<Message>> {
        Ok(self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn input(&self, _needs: Needs) -> Result<Box<dyn Input>> {
        Err(plugin::one_way("read"))
    }

    async fn publish(&self, _message: Message) -> Result<()> {
        Err(plugin::one_way("read"))
    }

    async fn store(&self) -> Result<Box<dyn StateStore>> {
        Err(plugin::one_way("a store"))
    }

    /// What a receiver has taken is its own to keep.
    async fn restart(&self) -> Result<()> {
        Ok(())
    }
}
