//! The HTTP side: is the process alive, does it do its work, what has it done.
//!
//! Serves people and schedulers on an operator's network, and, where a pipeline wants to be woken,
//! Graph. It has no secrets; there is no authentication, so it listens where the configuration says
//! and nowhere by itself, and what leads there from the internet should pass `/notifications/` only.

mod metrics;
mod notifications;
mod ready;
mod status;
#[cfg(test)]
mod tests;

use std::{future::IntoFuture, io};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use mailbridge_core::{Code, Error, Result};
use tokio::net::TcpListener;

pub use metrics::Metrics;
pub use notifications::Called;
pub use ready::Witnesses;
pub use status::Overview;

use crate::config::model::Listen;

/// The HTTP side with its port taken, not answering yet.
pub struct Bound {
    listener: TcpListener,
    address: std::net::SocketAddr,
}

impl Bound {
    /// Takes the port.
    ///
    /// # Errors
    /// `listen_failed`, when it is taken or not ours.
    pub async fn new(listen: &Listen) -> Result<Self> {
        let failed = |cause: io::Error| {
            Error::transient(Code::Listen, "the HTTP side cannot listen")
                .with("address", &listen.0)
                .with("cause", cause.kind())
        };
        let listener = TcpListener::bind(&listen.0).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub fn serve(self, side: Side) -> impl Future<Output = io::Result<()>> {
        axum::serve(self.listener, router(side)).into_future()
    }
}

/// What is served.
pub struct Side {
    /// Who is asked how it goes.
    pub asked: Witnesses,
    /// What was counted.
    pub metrics: Metrics,
    /// Who is asked about mailboxes.
    pub boards: Overview,
    /// Who is called by Graph.
    pub called: Called,
}

fn router(Side { asked, metrics, boards, called }: Side) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready::ready).with_state(asked))
        .route("/status", get(status::status).with_state(boards))
        .route("/metrics", get(metrics::metrics).with_state(metrics))
        .merge(notified(called))
}

/// What Graph calls.
fn notified(called: Called) -> Router {
    Router::new()
        .route("/notifications/{pipeline}", post(notifications::called))
        .route("/notifications/{pipeline}/lifecycle", post(notifications::called))
        .layer(DefaultBodyLimit::max(notifications::BODY_BYTES_MAX))
        .with_state(called)
}
