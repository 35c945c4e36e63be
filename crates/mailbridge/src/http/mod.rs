//! The HTTP side: is the process alive, does it do its work, what has it done.
//!
//! Serves people and schedulers on an operator's network. It takes no input and has no secrets;
//! there is no authentication, so it listens where the configuration says and nowhere by itself.

mod metrics;
mod ready;

use std::{future::IntoFuture, io};

use axum::{Router, routing::get};
use mailbridge_core::{Code, Error, Result};
use tokio::net::TcpListener;

pub use metrics::Metrics;
pub use ready::Witnesses;

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
    pub fn serve(self, asked: Witnesses, metrics: Metrics) -> impl Future<Output = io::Result<()>> {
        axum::serve(self.listener, router(asked, metrics)).into_future()
    }
}

fn router(asked: Witnesses, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready::ready).with_state(asked))
        .route("/metrics", get(metrics::metrics).with_state(metrics))
}
