//! A connection to Microsoft Graph, behind the ports [`Mail`], [`Changes`] and [`Subscriptions`].
//!
//! It owns what is shared by all requests of the connection: the HTTP client, the token, the pace
//! of each mailbox. What an operation does is in [`crate::operation`].

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mailbridge_core::{
    Attempt, Changes, Completion, Deadline, Mail, Mailbox, Reports, Result, Subscriptions,
    changes::{
        Ask, Callback, Content, Cursor, Folders, Found, Page, Rule, Select, Subscription, What,
    },
    contract::{EventAttachment, MessageId, Operation},
};

use crate::{
    config::{Options, Resolved},
    credential::{self, Watch},
    http::{self, Door, Origin},
    operation::{
        changes::{discover, folders, page, read, subscribe},
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

    fn share(&self, mailbox: &Mailbox) -> f64 {
        self.pacing.share(mailbox)
    }

    async fn tidy(&self) {
        send::sweep(self).await;
    }

    fn reports(&self) -> Option<&dyn Reports> {
        Some(self)
    }
}

#[async_trait]
impl Changes for Graph {
    async fn folders(
        &self,
        mailbox: &Mailbox,
        patterns: &[String],
        cursor: Option<&Cursor>,
        deadline: &Deadline,
    ) -> Result<Folders> {
        folders::folders(self, mailbox, patterns, cursor, deadline).await
    }

    async fn page(&self, ask: &Ask<'_>) -> Result<Page> {
        page::page(self, ask).await
    }

    async fn message(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        select: &Select,
        deadline: &Deadline,
    ) -> Result<Option<Found>> {
        read::message(self, mailbox, id, select, deadline).await
    }

    async fn attachments(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        deadline: &Deadline,
    ) -> Result<Vec<EventAttachment>> {
        read::attachments(self, mailbox, id, deadline).await
    }

    async fn content<'a>(
        &'a self,
        mailbox: &Mailbox,
        what: What<'_>,
        deadline: &'a Deadline,
    ) -> Result<Box<dyn Content + 'a>> {
        read::content(self, mailbox, what, deadline).await
    }

    async fn discover(&self, rule: &Rule, deadline: &Deadline) -> Result<Vec<Mailbox>> {
        discover::discover(self, rule, deadline).await
    }

    fn subscriptions(&self) -> Option<&dyn Subscriptions> {
        Some(self)
    }
}

#[async_trait]
impl Subscriptions for Graph {
    async fn subscribe(
        &self,
        mailbox: &Mailbox,
        folder: Option<&str>,
        callback: &Callback,
        deadline: &Deadline,
    ) -> Result<Subscription> {
        subscribe::subscribe(self, mailbox, folder, callback, deadline).await
    }

    async fn renew(
        &self,
        mailbox: &Mailbox,
        id: &str,
        until: Timestamp,
        deadline: &Deadline,
    ) -> Result<Subscription> {
        subscribe::renew(self, mailbox, id, until, deadline).await
    }

    async fn unsubscribe(&self, mailbox: &Mailbox, id: &str, deadline: &Deadline) -> Result<()> {
        subscribe::unsubscribe(self, mailbox, id, deadline).await
    }
}
