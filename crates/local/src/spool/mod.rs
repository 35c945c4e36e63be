//! Requests over HTTP, for teams without a bus and for a `curl` on day one: what is posted is on the
//! disk before it is answered, and waits there until it is settled.
//!
//! ```text
//! POST /requests -> spool (202) -> Reader -> … -> settled: gone from the queue, its end remembered
//! ```
//!
//! One process has a spool at a time. It takes requests and nothing else: what they say is for
//! whoever reads them.

mod http;
mod outcomes;
mod reader;
mod table;

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use mailbridge_core::{Error, Message, Result};
use tokio::sync::Notify;

pub(crate) use http::{Access, Server, file};
pub(crate) use outcomes::Outcomes;
pub(crate) use reader::Reader;
use table::{Change, Kept, Table};

use crate::{batches::submit, position::Out, record, shared::Handle};

/// What a position begins with; a request's id follows.
const POSITION: &str = "local:http/";

/// An open spool. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Spool(Arc<Inner>);

struct Inner {
    table: Handle<Table>,
    /// Counts what was added, for a reader that waits.
    added: Notify,
    out: Out,
}

/// What adding a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is on the disk.
    New,
    /// One with the same idempotency key and content is known under this id.
    Known(String),
    /// One with the same idempotency key and another content is known.
    Differs,
    /// Nothing more is taken for now.
    Full,
}

impl Spool {
    /// Opens the spool in a file, or shares it where it is open. Blocks.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let table = Table::open(file)?;
        Ok(Self(Arc::new(Inner { table, added: Notify::new(), out: Out::default() })))
    }

    /// Puts a request on the disk. A message's id is its idempotency key.
    pub(crate) async fn add(&self, id: &str, message: &Message) -> Result<Added> {
        let mut line = Vec::with_capacity(message.payload.len() + 256);
        record::write(message, &mut line)?;
        let change = Change::Add { id: id.to_owned(), key: message.id.clone(), line: line.into() };
        let added = match self.change(change).await? {
            Kept::Added => Added::New,
            Kept::Known(id) => Added::Known(id),
            Kept::Differs => Added::Differs,
            Kept::Full => Added::Full,
            Kept::Done | Kept::Unknown => return Err(unlikely()),
        };
        if added == Added::New {
            self.0.added.notify_one();
        }
        Ok(added)
    }

    /// What is known of a request, as JSON.
    pub(crate) async fn status(&self, id: &str) -> Result<Option<Bytes>> {
        let (table, id) = (self.0.table.clone(), id.to_owned());
        crate::blocking(move || table.status(&id)).await
    }

    async fn change(&self, change: Change) -> Result<Kept> {
        submit(&self.0.table, change).await
    }
}

fn unlikely() -> Error {
    Error::transient(mailbridge_core::Code::Internal, "a write of the spool came to another's end")
}

#[cfg(test)]
mod tests;
