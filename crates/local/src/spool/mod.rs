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

use std::path::Path;

use bytes::Bytes;
use mailbridge_core::{Error, Message, Result};
use sha2::{Digest as _, Sha256};

pub(crate) use http::{Access, Server, file};
pub(crate) use outcomes::Outcomes;
pub(crate) use reader::Reader;
use table::{Change, Kept, Table};

use crate::{batches::submit, record, shared::Handle};

/// What a position begins with; a request's id follows.
const POSITION: &str = "local:http/";

/// Headers that differ when a producer posts a request again.
const TRACED: [&str; 2] = ["traceparent", "tracestate"];

/// An open spool. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Spool(Handle<Table>);

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
        Table::open(file).map(Self)
    }

    /// Puts a request on the disk. A message's id is its idempotency key.
    pub(crate) async fn add(&self, id: &str, message: &Message) -> Result<Added> {
        let mut line = Vec::with_capacity(message.payload.len() + 256);
        record::write(message, &mut line)?;
        let (id, key, digest) = (id.to_owned(), message.id.clone(), digest(message));
        let change = Change::Add { id, key, digest, line: line.into() };
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
        let (table, id) = (self.0.clone(), id.to_owned());
        crate::blocking(move || table.status(&id)).await
    }

    async fn change(&self, change: Change) -> Result<Kept> {
        submit(&self.0, change).await
    }
}

/// What makes two posts the same request; not the step of its producer that each belongs to.
fn digest(message: &Message) -> Vec<u8> {
    let mut digest = Sha256::new();
    for (name, value) in message.headers.iter().filter(|(name, _)| !TRACED.contains(name)) {
        for part in [name.as_bytes(), b":", value, b"\n"] {
            digest.update(part);
        }
    }
    digest.update(&message.payload);
    digest.finalize().to_vec()
}

fn unlikely() -> Error {
    Error::transient(mailbridge_core::Code::Internal, "a write of the spool came to another's end")
}

#[cfg(test)]
mod tests;
