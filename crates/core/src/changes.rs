//! What happens in mailboxes, as the mail service shows it: the port [`Changes`].
//!
//! A folder is read page by page from a cursor. The cursor is the service's own word and means
//! nothing here; keeping it, and moving it only when everything before it is safe, is the engine's.
//! What wakes a reader early is in [`Subscriptions`]; it tells nothing but *look again*.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Deadline, Error, Mailbox, Result, Secret,
    contract::{EventAttachment, MailContent, MessageId},
};

/// The mail service, as far as it tells what happens.
///
/// 1. Nothing is changed by any call, and every call may be repeated.
/// 2. `page` from a cursor gives at least every change that came after it; it may give some again,
///    also of other pages, and in any order.
/// 3. A cursor that the service has forgotten is *transient*, `graph_cursor_expired`: whoever
///    holds it begins anew without one, and is given everything that is there.
/// 4. One item that cannot be read is an item of the page; it never costs the page.
/// 5. Calls keep the mailbox's pace. One that would have to wait long is *blocked* for the mailbox,
///    with how long; a mailbox that is not there or denied is *blocked* or *permanent*, and a block
///    of the connection is *blocked* for all, as with [`Mail`](crate::Mail).
/// 6. Every call ends by its deadline. One mailbox that is slow does not slow another.
#[async_trait]
pub trait Changes: Send + Sync {
    /// The folders of a mailbox that patterns name, such as `inbox`, `inbox/**`, `archive/2026`:
    /// names in the path are well-known names or display names, compared without case; a last `*`
    /// is any one folder, a last `**` the folder itself and any below it. With the cursor of an
    /// earlier call it may say that nothing has changed.
    async fn folders(
        &self,
        mailbox: &Mailbox,
        patterns: &[String],
        cursor: Option<&Cursor>,
        deadline: &Deadline,
    ) -> Result<Folders>;

    /// The next changes in a folder.
    async fn page(&self, ask: &Ask<'_>) -> Result<Page>;

    /// A message with all that was selected: what a page cannot give (a second body, what is missing
    /// of an item that came in part). Nothing, if it is not in the mailbox any more.
    async fn message(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        select: &Select,
        deadline: &Deadline,
    ) -> Result<Option<Found>>;

    /// What is attached to a message, without content.
    async fn attachments(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        deadline: &Deadline,
    ) -> Result<Vec<EventAttachment>>;

    /// Begins to read content, in pieces. The deadline moves with every piece.
    async fn content<'a>(
        &'a self,
        mailbox: &Mailbox,
        what: What<'_>,
        deadline: &'a Deadline,
    ) -> Result<Box<dyn Content + 'a>>;

    /// The mailboxes that a rule names, each once, in the order of their names.
    async fn discover(&self, rule: &Rule, deadline: &Deadline) -> Result<Vec<Mailbox>>;

    /// Whoever wakes readers early, if this service can.
    fn subscriptions(&self) -> Option<&dyn Subscriptions> {
        None
    }
}

/// A piece after the other. Not to be called again after its end or an error.
#[async_trait]
pub trait Content: Send {
    /// The next piece, some tens of kilobytes; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>>;
}

/// What to read in pieces.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// An attachment of a message. An item (a mail, an event) comes as MIME or iCalendar; one that
    /// refers to a file elsewhere has no content, which is *permanent*.
    Attachment(&'a MessageId, &'a str),
    /// The message as MIME. The service makes it anew each time, so the bytes may differ.
    Mime(&'a MessageId),
}

/// The service's own word for a place in the order of changes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// Shows nothing: it is long, and holds ids.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(…)")
    }
}

/// A folder of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Folder {
    /// What the service knows it by: a well-known name, or an id that stays when it is renamed.
    pub id: String,
    /// How people know it: the path from the top, such as `inbox/Orders`.
    pub path: String,
}

/// What became of a look for folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folders {
    /// None was added, renamed, moved or deleted since the cursor.
    Same(Cursor),
    /// These are all. Without a cursor they never change.
    All(Vec<Folder>, Option<Cursor>),
}

/// A question for the next changes in a folder.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The mailbox.
    pub mailbox: &'a Mailbox,
    /// The folder's id or well-known name.
    pub folder: &'a str,
    /// Where the last page ended. Without it: everything that is there, and then what changes.
    pub cursor: Option<&'a Cursor>,
    /// What is wanted of each message. Counts where there is no cursor: later pages are like the
    /// first one.
    pub select: &'a Select,
    /// As `select`; only messages received since then. Services give no more than some thousands of
    /// them, so it is for times that have just passed.
    pub since: Option<Timestamp>,
    /// How many messages a page may have.
    pub page_size: u32,
    /// When the answer must be there.
    pub deadline: &'a Deadline,
}

/// What is wanted of each message beyond its ids, times and flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Which forms of the body.
    pub bodies: Bodies,
    /// The internet headers.
    pub headers: bool,
    /// The service's own JSON.
    pub raw: bool,
    /// Only messages that are new in the folder: changes and removals need not be told.
    pub only_new: bool,
}

/// Which forms of a body are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bodies {
    /// None.
    None,
    /// Plain text; Exchange makes it of HTML.
    #[default]
    Text,
    /// HTML, as Exchange has rewritten it.
    Html,
    /// Both, which costs a request more for each message.
    Both,
}

/// Changes in a folder.
#[derive(Debug)]
pub struct Page {
    /// What changed, in the service's order.
    pub items: Vec<Item>,
    /// Where the next page begins.
    pub next: Cursor,
    /// Whether the next page is there already. Else everything has been told.
    pub more: bool,
}

/// A change in a folder.
#[derive(Debug)]
pub enum Item {
    /// The message is in the folder: new, or changed.
    Present(Box<Found>),
    /// It is not in the folder any more: moved, or deleted.
    Removed(MessageId),
    /// Nobody can read what the service says of it.
    Unreadable {
        /// Its id, if that much can be read.
        id: Option<MessageId>,
        /// Why.
        error: Error,
    },
}

/// A message as the service shows it.
#[derive(Debug)]
pub struct Found {
    /// Its immutable id.
    pub id: MessageId,
    /// Whether all that was selected is here. A page may tell of a change in part. A second body is
    /// not counted: with [`Bodies::Both`] a page gives html only, and `message` both.
    pub complete: bool,
    /// What changes when the message changes.
    pub version: Option<String>,
    /// When the mailbox received it.
    pub received: Option<Timestamp>,
    /// The id of the folder that it is in, as far as it is told.
    pub folder: Option<String>,
    /// When it last changed in any way, also by being moved.
    pub modified: Option<Timestamp>,
    /// The service's names of the properties that came.
    pub properties: Vec<String>,
    /// What it says.
    pub content: Box<MailContent>,
    /// The service's own JSON, where selected.
    pub raw: Option<Box<RawValue>>,
}

/// A rule that names mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Users that a filter of the directory (OData) lets through, and that have a mail address.
    Users(String),
    /// Members of a group, direct and indirect, that have a mail address.
    Group(String),
}

/// Wakes readers: the service calls a URL when something changes. It may call late, twice, or never.
///
/// 1. `subscribe` returns when the service has called both URLs once and was answered.
/// 2. A subscription that is not there any more is *permanent*, `graph_subscription_gone`.
/// 3. `unsubscribe` of one that is gone succeeds.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Asks to be called about a folder, or about the whole mailbox.
    async fn subscribe(
        &self,
        mailbox: &Mailbox,
        folder: Option<&str>,
        callback: &Callback,
        deadline: &Deadline,
    ) -> Result<Subscription>;

    /// Makes one last longer.
    async fn renew(
        &self,
        mailbox: &Mailbox,
        id: &str,
        until: Timestamp,
        deadline: &Deadline,
    ) -> Result<Subscription>;

    /// Ends one.
    async fn unsubscribe(&self, mailbox: &Mailbox, id: &str, deadline: &Deadline) -> Result<()>;
}

/// Whom to call.
#[derive(Clone, Debug)]
pub struct Callback {
    /// Where changes are told; https but on loopback, or an event hub.
    pub url: String,
    /// Where the life of the subscription is told.
    pub lifecycle_url: String,
    /// What every call carries, so that it is known to come from the service; up to 128 characters.
    pub client_state: Secret,
    /// To be called about new messages only, and not about changes and removals.
    pub only_new: bool,
    /// How long it is to last; the service may cut it.
    pub until: Timestamp,
}

/// A subscription as the service has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// When it ends unless it is renewed.
    pub until: Timestamp,
}
