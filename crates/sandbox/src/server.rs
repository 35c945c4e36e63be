//! A running sandbox: one listener for the login host, Graph and the admin side, and one for the
//! host that takes uploads.

use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::handler::Handler as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::exchange::exchange;
use crate::handle::Handle;
use crate::line::{Line, Lines};
use crate::subscription::notify;
use crate::upload::host;
use crate::world::World;

/// How long [`Running::stop`] waits for requests in flight.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A sandbox that answers. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    uploads: SocketAddr,
    handle: Handle,
    stop: watch::Sender<bool>,
    tasks: JoinSet<io::Result<()>>,
}

/// Starts to answer on two bound listeners: that of Graph, and that of the upload host.
pub fn serve(
    [(graph, address), (upload, uploads)]: [(Lines, SocketAddr); 2],
    world: Arc<World>,
    stop: watch::Sender<bool>,
) -> Running {
    let signal = || {
        let mut stopping = world.stopping.clone();
        async move {
            // an error means that `Running` is gone: the end as well
            stopping.wait_for(|stop| *stop).await.ok();
        }
    };
    let mut tasks = JoinSet::new();
    let service = exchange.with_state(world.clone()).into_make_service_with_connect_info::<Line>();
    tasks.spawn(axum::serve(graph, service).with_graceful_shutdown(signal()).into_future());
    let service =
        host::exchange.with_state(world.clone()).into_make_service_with_connect_info::<Line>();
    tasks.spawn(axum::serve(upload, service).with_graceful_shutdown(signal()).into_future());
    tasks.spawn(notify::run(world.clone()));
    Running { address, uploads, handle: Handle::new(world), stop, tasks }
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`, without a slash at its end: the login host and the Graph host
    /// alike.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The login host: the token endpoint is below it at `/{tenant}/oauth2/v2.0/token`.
    pub fn login_url(&self) -> String {
        self.base_url()
    }

    /// The Graph host: resources are below it at `/v1.0/`.
    pub fn graph_url(&self) -> String {
        self.base_url()
    }

    /// The host of upload URLs. Nothing but those is answered there.
    pub fn upload_url(&self) -> String {
        format!("http://{}", self.uploads)
    }

    /// The admin side's powers, in process. Copies stay valid after the sandbox has stopped.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Takes no new request, lets those in flight end, then returns.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_WAIT, ended).await.is_err() {
            tracing::warn!("sandbox stopped with requests in flight");
        }
    }
}
