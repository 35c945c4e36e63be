//! A connection to Microsoft Graph, behind the port [`Mail`].
//!
//! It owns what is shared by all requests of the connection: the HTTP client, the token, the pace
//! of each mailbox. What an operation does is in [`crate::operation`].

use std::sync::Arc;

use async_trait::async_trait;
use mailbridge_core::{Attempt, Completion, Mail, Reports, Result, contract::Operation};

use crate::{
    config::{Options, Resolved},
    credential::{self, Watch},
    http::{self, Door, Origin},
    operation::{
        edit,
        send::{self, Leftovers, Sweeps},
    },
    pacing::Pacing,
    token::TokenCache,
};

/// One connection to Microsoft Graph. Cheap to share, by reference or in an `Arc`.
pub struct Graph {
    /// The Graph host with its version.
    pub(crate) base: String,
    pub(crate) door: Door,
    pub(crate) pacing: Pacing,
    pub(crate) leftovers: Leftovers,
    pub(crate) sweeps: Sweeps,
    pub(crate) options: Options,
    /// Takes up a changed credential.
    _watch: Watch,
}

impl Graph {
    /// Makes a connection; `name` is what logs and metrics call it. Opens nothing yet. Install a
    /// metrics recorder before.
    ///
    /// # Errors
    /// When this machine cannot do TLS.
    pub fn new(name: &str, resolved: Resolved, options: Options) -> Result<Self> {
        let name: Arc<str> = name.into();
        let client = http::client()?;
        let issuer = credential::issuer(&name, &client, &resolved)?;
        let tokens = Arc::new(TokenCache::new(Arc::clone(&name), issuer, resolved.cae));
        let watched = Arc::clone(&tokens);
        let watch = Watch::start(credential::all_files(&resolved), move || watched.renew());
        let origin = Origin::of(&resolved.graph)?;
        Ok(Self {
            base: resolved.graph,
            door: Door::new(name, client, origin, tokens, options.request_timeout),
            pacing: Pacing::new(resolved.limits, options.patience),
            leftovers: Leftovers::default(),
            sweeps: Sweeps::default(),
            options,
            _watch: watch,
        })
    }
}

#[async_trait]
impl Mail for Graph {
    async fn ready(&self) -> Result<()> {
        self.door.ready().await
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        match &attempt.request.operation {
            Operation::Send(mail) => send::perform(self, &attempt, mail).await,
            Operation::Answer(answer) => send::answer(self, &attempt, answer).await,
            Operation::MarkRead { message, is_read } => {
                edit::mark_read(self, &attempt, message, *is_read).await
            }
            Operation::Move { message, folder } => {
                edit::relocate(self, &attempt, message, folder).await
            }
            Operation::Categorize { message, categories } => {
                edit::categorize(self, &attempt, message, categories).await
            }
            Operation::Delete { message } => edit::delete(self, &attempt, message).await,
        }
    }

    async fn tidy(&self) {
        send::sweep(self).await;
    }

    fn reports(&self) -> Option<&dyn Reports> {
        Some(self)
    }
}
