//! Where large content is put so that an event only refers to it (a claim check): the port
//! [`FileStore`].

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// A place for files.
///
/// 1. A file appears whole, when `finish` has returned, or not at all; dropping a writer leaves
///    nothing that can be read.
/// 2. The same name again replaces the file.
/// 3. At most some pieces of some megabytes are in memory for each writer, whatever the length.
/// 4. A place that does not answer, has no room, or refuses the credentials is *transient*,
///    `file_store_unavailable`: nothing is wrong with the file.
#[async_trait]
pub trait FileStore: fmt::Debug + Send + Sync {
    /// Begins a file. The name is a path of segments of `[A-Za-z0-9._=-]`, none of them `.` or `..`.
    async fn create(&self, name: &str, content_type: Option<&str>) -> Result<Box<dyn FileWriter>>;
}

/// A file that is being written.
#[async_trait]
pub trait FileWriter: Send {
    /// Adds a piece.
    async fn write(&mut self, piece: Bytes) -> Result<()>;

    /// Ends the file and returns its URL, in the form in which requests refer to attachments; without
    /// any secret.
    async fn finish(self: Box<Self>) -> Result<String>;
}
