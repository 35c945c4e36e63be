//! Files in JetStream's object store: `nats-object://bucket/name`.
//!
//! An object is a row of messages that is only read in order, so a range that does not follow the
//! one before is read from the start. A link is not followed: it may lead to a bucket that nobody
//! allowed.

use std::{fmt, ops::Range, sync::Arc};

use async_nats::jetstream::object_store::{GetErrorKind, InfoErrorKind, Object, ObjectStore};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use mailbridge_core::{
    Code, Error, File, Files, Result,
    adapter::{Chunks, Ranges},
};
use percent_encoding::percent_decode_str;
use tokio::io::AsyncReadExt as _;

use crate::{client::Connector, error};

/// Bytes taken from an object at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// The object store of one account.
pub(crate) struct Objects {
    connector: Arc<Connector>,
    ranges: Ranges<Content>,
}

/// An object that is being read from its start.
struct Content(Object);

impl Objects {
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, ranges: Ranges::default() }
    }

    async fn bucket(&self, name: &str, file: &str) -> Result<ObjectStore> {
        let link = self.connector.link().await.map_err(|error| unavailable(file, &error))?;
        let bucket = link.jetstream.get_object_store(name).await;
        bucket.map_err(|failure| unavailable(file, error::chain(&failure)))
    }

    async fn content(&self, known: &File) -> Result<Content> {
        let (bucket, name) = parts(&known.url)?;
        let object = self.bucket(bucket, &name).await?.get(&name).await;
        let object = object.map_err(|failure| match failure.kind() {
            GetErrorKind::NotFound => missing(&name),
            GetErrorKind::BucketLink => link(),
            _ => unavailable(&name, error::chain(&failure)),
        })?;
        if object.info.options.as_ref().is_some_and(|options| options.link.is_some()) {
            return Err(link());
        }
        if known.version.as_deref() != Some(object.info.nuid.as_str()) {
            let detail = "the object was stored anew while it was read";
            return Err(Error::permanent(Code::AttachmentChanged, detail).with("attachment", name));
        }
        Ok(Content(object))
    }
}

#[async_trait]
impl Files for Objects {
    async fn open(&self, url: &str) -> Result<File> {
        let (bucket, name) = parts(url)?;
        let info = self.bucket(bucket, &name).await?.info(&name).await;
        let info = info.map_err(|failure| match failure.kind() {
            InfoErrorKind::NotFound => missing(&name),
            _ => unavailable(&name, error::chain(&failure)),
        })?;
        if info.deleted {
            return Err(missing(&name));
        }
        if info.options.is_some_and(|options| options.link.is_some()) {
            return Err(link());
        }
        let headers = info.headers.as_ref();
        let content_type = headers.and_then(|headers| headers.get("Content-Type"));
        Ok(File {
            url: url.to_owned(),
            bytes: info.size as u64,
            version: Some(info.nuid),
            content_type: content_type.map(ToString::to_string),
        })
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        self.ranges.read(file, range, || self.content(file)).await
    }
}

impl Chunks for Content {
    fn start(&self) -> u64 {
        0
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = self.0.read_buf(&mut chunk).await;
        // a digest that does not fit is an error of the last read
        read.map_err(|failure| unavailable(&self.0.info.name, failure.kind()))?;
        Ok((!chunk.is_empty()).then(|| chunk.freeze()))
    }
}

/// The bucket and the object's name.
fn parts(url: &str) -> Result<(&str, String)> {
    let parts = url.strip_prefix("nats-object://").and_then(|rest| rest.split_once('/'));
    let parts = parts.and_then(|(bucket, name)| {
        let name = percent_decode_str(name).decode_utf8().ok()?;
        (!bucket.is_empty() && !name.is_empty()).then(|| (bucket, name.into_owned()))
    });
    parts.ok_or_else(|| {
        let detail = "the reference is not one such as nats-object://bucket/name";
        Error::permanent(Code::AttachmentNotAllowed, detail)
    })
}

fn missing(name: &str) -> Error {
    let detail = "there is no such object in the bucket";
    Error::permanent(Code::AttachmentMissing, detail).with("attachment", name)
}

fn link() -> Error {
    let detail = "the object is a link, which is not followed";
    Error::permanent(Code::AttachmentNotAllowed, detail)
}

fn unavailable(name: &str, cause: impl fmt::Display) -> Error {
    let detail = "the object store does not give the object";
    Error::transient(Code::AttachmentUnavailable, detail)
        .with("attachment", name)
        .with("cause", cause)
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}
