//! The one connection of a configured bus.
//!
//! Made when the first port is built, shared by all of them, and kept by the client library, which
//! reconnects by itself for ever. Here is only what the library does not do: reading credentials
//! anew for each connection, refusing servers that are too old, telling a refusal from a silence,
//! and saying in the log what happens to the connection. No port is built while the connection is
//! down.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_nats::{
    AuthError, Client, ConnectOptions, Event, ServerAddr, ServerInfo,
    jetstream::{
        Context,
        context::{ContextBuilder, RequestErrorKind},
        response::Response,
    },
};
use mailbridge_core::{Code, Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::{
    auth::Method,
    config::{Config, Tls, wrong},
    error,
};

/// The oldest server that does what it is asked: 2.9 ignores `filter_subjects` without a word.
const VERSION_MIN: (i64, i64) = (2, 10);
/// How long the server may take to answer a question about streams and consumers.
const API_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to confirm that it has stored a message or noted an acknowledgement.
pub(crate) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is dead without a word is noticed after about three of these.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Makes the connection when it is first asked for.
pub(crate) struct Connector {
    bus: Arc<str>,
    config: Config,
    method: Arc<Method>,
    servers: Vec<ServerAddr>,
    link: Mutex<Option<Link>>,
}

/// The connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Link {
    pub client: Client,
    pub jetstream: Context,
    /// The prefix of JetStream's API for this account.
    pub api: Arc<str>,
    pub status: watch::Receiver<Status>,
    refusal: Arc<RwLock<Option<(Instant, String)>>>,
}

/// Whether the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub up: bool,
    /// How often it was lost. What was asked of the server before a loss, it may have forgotten.
    pub losses: u64,
}

impl Connector {
    /// Checks what can be checked offline.
    pub fn new(bus: &str, config: Config) -> Result<Self> {
        let method = Arc::new(Method::new(config.auth.clone())?);
        let servers = config.servers.iter().map(|url| server(url)).collect::<Result<Vec<_>>>()?;
        if servers.is_empty() {
            return Err(wrong("servers", "a list of one or more addresses"));
        }
        if config.domain.is_some() && config.api_prefix.is_some() {
            return Err(wrong("api_prefix", "left out where `domain` is given"));
        }
        if config.tls.as_ref().is_some_and(|tls| tls.cert.is_some() != tls.key.is_some()) {
            return Err(wrong("tls.key", "given together with `tls.cert`, or neither"));
        }
        Ok(Self { bus: bus.into(), config, method, servers, link: Mutex::new(None) })
    }

    /// The connection, made now if there is none yet.
    ///
    /// # Errors
    /// `bus_unreachable`, `bus_unauthorized`, `bus_server_too_old`; `bus_lost` while the library is
    /// still reconnecting.
    pub async fn link(&self) -> Result<Link> {
        let mut link = self.link.lock().await;
        let known = match &*link {
            Some(known) => known.clone(),
            None => link.insert(self.connect().await?).clone(),
        };
        drop(link);
        if !known.status.borrow().up {
            let detail = "the connection to the server is lost and being made again";
            return Err(Error::blocked(Code::BusLost, detail).with("bus", &self.bus));
        }
        let info = known.client.server_info();
        if !known.client.is_server_compatible(VERSION_MIN.0, VERSION_MIN.1, 0) {
            return Err(too_old(&info).with("bus", &self.bus));
        }
        Ok(known)
    }

    async fn connect(&self) -> Result<Link> {
        // A secret that cannot be read is told as such, not as a refused connection.
        self.method.prove(b"").await?;
        let (status_sender, status) = watch::channel(Status { up: true, losses: 0 });
        let refusal = Arc::default();
        let watcher = Arc::new(Watcher {
            bus: Arc::clone(&self.bus),
            status: status_sender,
            refusal: Arc::clone(&refusal),
        });
        let client = self.options(&watcher).connect(self.servers.clone()).await;
        let client = client.map_err(|error| error::connect(&error).with("bus", &self.bus))?;
        let info = client.server_info();
        tracing::info!(bus = %self.bus, server = %info.server_name, version = %info.version,
            "connected to nats");
        let api = match (&self.config.domain, &self.config.api_prefix) {
            (Some(domain), _) => format!("$JS.{domain}.API"),
            (None, Some(prefix)) => prefix.clone(),
            (None, None) => "$JS.API".to_owned(),
        };
        let jetstream = ContextBuilder::new().timeout(API_TIMEOUT).ack_timeout(CONFIRM_TIMEOUT);
        let jetstream = jetstream.api_prefix(api.clone()).build(client.clone());
        Ok(Link { client, jetstream, api: api.into(), status, refusal })
    }

    fn options(&self, watcher: &Arc<Watcher>) -> ConnectOptions {
        let (method, watcher) = (Arc::clone(&self.method), Arc::clone(watcher));
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            let method = Arc::clone(&method);
            async move { method.prove(&nonce).await.map_err(AuthError::new) }
        })
        .name(&self.config.name)
        .connection_timeout(self.config.connect_timeout.get())
        .ping_interval(PING_EVERY)
        .event_callback(move |event| {
            watcher.saw(&event);
            std::future::ready(())
        });
        if let Some(Tls { ca, cert, key, require, first }) = &self.config.tls {
            options = options.require_tls(*require);
            if *first {
                options = options.tls_first();
            }
            if let Some(ca) = ca {
                options = options.add_root_certificates(ca.clone());
            }
            if let (Some(cert), Some(key)) = (cert, key) {
                options = options.add_client_certificate(cert.clone(), key.clone());
            }
        }
        options
    }
}

impl Link {
    /// Asks JetStream's API. The inner result is the server's own: an answer or a refusal.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        payload: &impl Serialize,
    ) -> Result<Result<T, async_nats::jetstream::Error>> {
        let asked_at = Instant::now();
        match self.jetstream.request(subject, payload).await {
            Ok(Response::Ok(answer)) => Ok(Ok(answer)),
            Ok(Response::Err { error }) => Ok(Err(error)),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => Error::blocked(
                    Code::BusMismatch,
                    "JetStream is not enabled for this account, or not under this domain or prefix",
                )
                .with("api", &self.api),
                RequestErrorKind::TimedOut => self.silence(
                    asked_at,
                    Error::transient(Code::BusLost, "the server did not answer"),
                ),
                _ => error::failed("the server could not be asked", &error),
            }),
        }
    }

    /// Returns when the connection is lost. What was sent before that gets no answer any more.
    pub async fn lost(&self) {
        let mut status = self.status.clone();
        let losses = status.borrow_and_update().losses;
        // An error means that the connection is closed, which is as lost as can be.
        drop(status.wait_for(|status| status.losses != losses).await);
    }

    /// Why there was no answer: a permission that is missing is told beside the answer that never
    /// comes, so a refusal that came meanwhile is the reason.
    pub fn silence(&self, since: Instant, otherwise: Error) -> Error {
        let refusal = self.refusal.read().unwrap_or_else(PoisonError::into_inner);
        match &*refusal {
            Some((at, text)) if *at >= since => {
                Error::blocked(Code::BusUnauthorized, "the server denies a subject to this user")
                    .with("cause", text)
            }
            _ => otherwise,
        }
    }
}

/// Follows the connection for as long as it lives.
struct Watcher {
    bus: Arc<str>,
    status: watch::Sender<Status>,
    refusal: Arc<RwLock<Option<(Instant, String)>>>,
}

impl Watcher {
    fn saw(&self, event: &Event) {
        let bus = &self.bus;
        match event {
            Event::Connected => {
                let again = |status: &mut Status| !std::mem::replace(&mut status.up, true);
                if self.status.send_if_modified(again) {
                    tracing::info!(%bus, "connected to nats again");
                }
            }
            Event::Disconnected => {
                self.status.send_modify(|status| {
                    status.up = false;
                    status.losses += 1;
                });
                tracing::warn!(%bus, "the connection to nats is lost, connecting again");
            }
            Event::ServerError(cause) => {
                tracing::warn!(%bus, %cause, "nats reports a failure");
                let text = cause.to_string();
                if text.to_lowercase().contains("permissions violation") {
                    let mut refusal = self.refusal.write().unwrap_or_else(PoisonError::into_inner);
                    *refusal = Some((Instant::now(), text));
                }
            }
            Event::ClientError(cause) => tracing::debug!(%bus, %cause, "nats is not reached yet"),
            Event::SlowConsumer(_) => tracing::warn!(%bus, "nats messages came faster than read"),
            Event::LameDuckMode | Event::Draining | Event::Closed => {
                tracing::info!(%bus, %event, "the connection to nats changes");
            }
        }
    }
}

/// An address without credentials: those would end up in logs.
fn server(url: &str) -> Result<ServerAddr> {
    let expected = "addresses such as `nats://127.0.0.1:4222` or `tls://nats.example:4222`";
    let address: ServerAddr = url.parse().map_err(|_| wrong("servers", expected))?;
    if address.has_user_pass() || url.contains('@') {
        return Err(wrong("servers", "addresses without credentials; those belong under `auth`"));
    }
    Ok(address)
}

fn too_old(info: &ServerInfo) -> Error {
    Error::blocked(
        Code::BusServerTooOld,
        "the nats server is older than 2.10 and would ignore `filter_subjects` and other settings \
         without saying so; upgrade it to 2.10 or newer",
    )
    .with("server", &info.server_name)
    .with("version", &info.version)
}
