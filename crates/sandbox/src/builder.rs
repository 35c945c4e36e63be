//! From settings to a running sandbox.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::budget::Budgets;
use crate::config::{Description, FEDERATED_LIMIT, IdsOnSend, Settings, Tenant};
use crate::line::Lines;
use crate::server::{Running, serve};
use crate::world::World;

/// Builds a sandbox. Without a tenant it gets [`Tenant::demo`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    settings: Settings,
    tenants: Vec<Tenant>,
}

impl Builder {
    /// Everything random follows from it. 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenants.push(tenant);
        self
    }

    /// How long tokens live, at random in the range. 60 to 90 minutes by default.
    pub fn token_lifetime(mut self, range: impl Into<Span>) -> Self {
        self.settings.token_lifetime = range.into().0;
        self
    }

    /// How long tokens live for clients that declare `cp1`. 20 to 28 hours by default.
    pub fn cae_lifetime(mut self, range: impl Into<Span>) -> Self {
        self.settings.cae_lifetime = range.into().0;
        self
    }

    /// Where App Service's shape of the managed identity endpoint is, and what its
    /// `X-IDENTITY-HEADER` must be. `/msi/token` and [`crate::DEMO_IDENTITY_HEADER`] by default.
    pub fn app_service(mut self, path: impl Into<String>, header: impl Into<String>) -> Self {
        self.settings.identity_path = path.into();
        self.settings.identity_header = header.into();
        self
    }

    /// A client that asks for more tokens than this in a minute gets AADSTS50196. Off by default.
    pub fn loop_limit(mut self, per_minute: u32) -> Self {
        self.settings.loop_limit = Some(per_minute);
        self
    }

    /// Whether a certificate's assertion may be used only once. RFC 7523 lets a server refuse a
    /// known `jti`; Entra takes one until it expires, and Microsoft's libraries use that, so the
    /// default is no.
    pub fn refuse_replays(mut self, refuse: bool) -> Self {
        self.settings.refuse_replays = refuse;
        self
    }

    /// Takes over a document: its tenants are added, its settings replace the ones so far.
    pub fn describe(mut self, description: Description) -> Self {
        self.tenants.extend(description.tenants);
        self.settings.loop_limit = description.loop_limit;
        self.settings.refuse_replays = description.refuse_replays;
        self.settings.identity_path = description.app_service.path;
        self.settings.identity_header = description.app_service.header;
        self
    }

    /// Limits per app and mailbox. Graph's own by default; [`Budgets::off`] for none.
    pub fn budgets(mut self, budgets: Budgets) -> Self {
        self.settings.budgets = budgets;
        self
    }

    /// How long each answer takes at least, at random in the range. Nothing by default.
    pub fn latency(mut self, range: impl Into<Span>) -> Self {
        self.settings.latency = range.into().0;
        self
    }

    /// How long readers do not see a send yet, at random in the range. Nothing by default.
    pub fn visibility_delay(mut self, range: impl Into<Span>) -> Self {
        self.settings.visibility_delay = range.into().0;
        self
    }

    /// What becomes of a draft's ids when it is sent. They change by default.
    pub fn ids_on_send(mut self, policy: IdsOnSend) -> Self {
        self.settings.ids_on_send = policy;
        self
    }

    /// Whether bodies and attachments are kept once they were answered. Yes by default.
    pub fn keep_bodies(mut self, keep: bool) -> Self {
        self.settings.keep_bodies = keep;
        self
    }

    /// Keeps only the newest so many sent mails of each mailbox, so that memory stays flat in long
    /// runs.
    pub fn retain(mut self, per_mailbox: usize) -> Self {
        self.settings.retain = Some(per_mailbox);
        self
    }

    /// Lets it listen on other addresses than loopback. Anyone there can read its truth and its
    /// secrets.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.settings.allow_remote = allow;
        self
    }

    /// The largest message that may be sent, in bytes without transfer encoding. 35 MB by default;
    /// administrators of Exchange Online can raise it to 150 MB.
    pub fn message_limit(mut self, bytes: usize) -> Self {
        self.settings.message_limit = bytes;
        self
    }

    /// The port of the upload host, which stands beside the main address. A free one by default.
    pub fn upload_port(mut self, port: u16) -> Self {
        self.settings.upload_port = port;
        self
    }

    /// Starts on a free port of 127.0.0.1.
    pub async fn start_local(self) -> Result<Running, StartError> {
        self.start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on an address.
    ///
    /// # Errors
    /// When the address is not loopback and that was not allowed, or it cannot be bound.
    pub async fn start(mut self, address: SocketAddr) -> Result<Running, StartError> {
        if !address.ip().is_loopback() && !self.settings.allow_remote {
            return Err(StartError::NotLoopback(address));
        }
        for app in self.tenants.iter().flat_map(|tenant| &tenant.apps) {
            if app.federated.len() > FEDERATED_LIMIT {
                return Err(StartError::TooManyFederated(app.client_id.clone()));
            }
        }
        let (graph, address) = bind(address).await?;
        let uploads = SocketAddr::new(address.ip(), self.settings.upload_port);
        let (upload, uploads) = bind(uploads).await?;
        self.settings.upload_port = uploads.port();
        let tenants = if self.tenants.is_empty() { vec![Tenant::demo()] } else { self.tenants };
        let (stop, stopping) = watch::channel(false);
        let world = Arc::new(World::new(self.settings, tenants, stopping));
        tracing::info!(%address, %uploads, "sandbox listens");
        Ok(serve([(Lines(graph), address), (Lines(upload), uploads)], world, stop))
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

/// One duration, or a range of them.
#[derive(Clone, Debug)]
pub struct Span(RangeInclusive<Duration>);

impl From<Duration> for Span {
    fn from(fixed: Duration) -> Self {
        Self(fixed..=fixed)
    }
}

impl From<RangeInclusive<Duration>> for Span {
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self(range)
    }
}

/// Why a sandbox did not start.
#[derive(Debug)]
pub enum StartError {
    /// It would be reachable from outside, and nobody asked for that
    NotLoopback(SocketAddr),
    /// This app has more than 20 federated credentials
    TooManyFederated(String),
    /// The address is taken, or not ours
    Bind { address: SocketAddr, source: io::Error },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(address) => write!(
                f,
                "sandbox: {address} is not a loopback address; anyone there could read its mail \
                 and its secrets; use 127.0.0.1, or allow remote access explicitly"
            ),
            Self::TooManyFederated(app) => write!(
                f,
                "sandbox: the app {app} has more than {FEDERATED_LIMIT} federated credentials, \
                 which is as many as Entra keeps"
            ),
            Self::Bind { address, source } => write!(
                f,
                "sandbox: cannot listen on {address}: {source}; choose a free port, or 0 for any"
            ),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotLoopback(_) | Self::TooManyFederated(_) => None,
            Self::Bind { source, .. } => Some(source),
        }
    }
}
