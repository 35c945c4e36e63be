//! Files into JetStream's object store: `nats-object://bucket/name`. What is read from it is in
//! [`object`](crate::object).
//!
//! An object is there once what describes it is: the client publishes that last, and not at all when
//! the content breaks off. Pieces of an object that was never finished stay in the bucket until
//! somebody compacts it, and are nobody's.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use async_nats::jetstream::{
    ErrorCode,
    object_store::{Config, ObjectMetadata, ObjectStore},
    stream::Info,
};
use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, FileStore, FileWriter, Result};
use serde_json::json;
use tokio::{
    io::{self, AsyncRead, AsyncWriteExt as _, DuplexStream, ReadBuf},
    task::JoinSet,
};

use crate::{
    client::{Connector, Link},
    error,
    setup::object_add,
};

/// Bytes between whoever writes and the bucket.
const PIPE_BYTES: usize = 256 * 1024;
/// Bytes of one message of an object, where the server takes as many; as clients have it.
const CHUNK_BYTES: usize = 128 * 1024;

/// A bucket of the object store.
pub(crate) struct Bucket {
    connector: Arc<Connector>,
    name: String,
    /// Whether to make it where it is missing.
    create: bool,
}

impl Bucket {
    pub fn new(connector: Arc<Connector>, name: &str, create: bool) -> Self {
        Self { connector, name: name.to_owned(), create }
    }

    /// The bucket, made now if that is asked for. Of two who make it at once, both have.
    async fn open(&self, link: &Link) -> Result<ObjectStore> {
        let failed = |cause: String| unavailable(cause).with("bucket", &self.name);
        let failure = match link.jetstream.get_object_store(&self.name).await {
            Ok(found) => return Ok(found),
            Err(failure) => failure,
        };
        let asked = link.ask::<Info>(format!("STREAM.INFO.OBJ_{}", self.name), &json!({})).await;
        match asked {
            Ok(Err(refusal)) if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            // somebody made it between the two questions
            Ok(Ok(_)) => {
                let found = link.jetstream.get_object_store(&self.name).await;
                return found.map_err(|failure| failed(error::chain(&failure)));
            }
            _ => return Err(failed(error::chain(&failure))),
        }
        if !self.create {
            let error = failed("the bucket does not exist".to_owned());
            return Err(error.with("command", object_add(&self.name)));
        }
        let config = Config {
            bucket: self.name.clone(),
            description: Some("made by mailbridge".to_owned()),
            max_bytes: -1,
            num_replicas: 1,
            ..Config::default()
        };
        let made = link.jetstream.create_object_store(config).await;
        let made = made.map_err(|failure| failed(error::chain(&failure)))?;
        tracing::info!(bucket = %self.name, "made the bucket for files");
        Ok(made)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl FileStore for Bucket {
    async fn create(&self, name: &str, content_type: Option<&str>) -> Result<Box<dyn FileWriter>> {
        let link = self.connector.link().await.map_err(unavailable)?;
        let bucket = self.open(&link).await?;
        let headers = content_type.map(|kind| {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Content-Type", kind);
            headers
        });
        let about = ObjectMetadata {
            name: name.to_owned(),
            headers,
            chunk_size: Some(CHUNK_BYTES.min(link.client.max_payload())),
            ..ObjectMetadata::default()
        };
        let (pipe, from) = io::duplex(PIPE_BYTES);
        let whole = Arc::new(AtomicBool::new(false));
        let mut content = Content { from, whole: Arc::clone(&whole) };
        let mut task = JoinSet::new();
        task.spawn(async move {
            let put = bucket.put(about, &mut content).await;
            put.map(drop).map_err(|failure| unavailable(error::chain(&failure)))
        });
        let url = format!("nats-object://{}/{name}", self.name);
        Ok(Box::new(Writer { pipe, whole, task, url }))
    }
}

/// What is being written. Dropped, it breaks off.
struct Writer {
    pipe: DuplexStream,
    whole: Arc<AtomicBool>,
    task: JoinSet<Result<()>>,
    url: String,
}

impl Writer {
    async fn ended(&mut self) -> Result<()> {
        match self.task.join_next().await {
            Some(Ok(put)) => put,
            Some(Err(_)) | None => Err(unavailable("the upload was given up")),
        }
    }
}

#[async_trait]
impl FileWriter for Writer {
    async fn write(&mut self, piece: Bytes) -> Result<()> {
        if self.pipe.write_all(&piece).await.is_ok() {
            return Ok(());
        }
        // the other end is gone, and knows why
        self.ended().await.and(Err(unavailable("the upload ended early")))
    }

    async fn finish(mut self: Box<Self>) -> Result<String> {
        self.whole.store(true, Ordering::SeqCst);
        if self.pipe.shutdown().await.is_err() {
            return self.ended().await.and(Err(unavailable("the upload ended early")));
        }
        self.ended().await?;
        Ok(std::mem::take(&mut self.url))
    }
}

/// The content on its way. Its end is one only if it was said to be.
struct Content {
    from: DuplexStream,
    whole: Arc<AtomicBool>,
}

impl AsyncRead for Content {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.from).poll_read(context, into))?;
        let ended = into.filled().len() == before;
        Poll::Ready(if ended && !self.whole.load(Ordering::SeqCst) {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        })
    }
}

fn unavailable(cause: impl fmt::Display) -> Error {
    let detail = "the object store does not take a file";
    Error::transient(Code::FileStoreUnavailable, detail).with("cause", cause)
}
