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

use async_nats::jetstream::object_store::ObjectMetadata;
use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, FileStore, FileWriter, Result};
use tokio::{
    io::{self, AsyncRead, AsyncWriteExt as _, DuplexStream, ReadBuf},
    task::JoinSet,
};

use crate::{client::Connector, error};

/// Bytes between whoever writes and the bucket.
const PIPE_BYTES: usize = 256 * 1024;

/// A bucket of the object store.
pub(crate) struct Bucket {
    connector: Arc<Connector>,
    name: String,
}

impl Bucket {
    pub fn new(connector: Arc<Connector>, name: &str) -> Self {
        Self { connector, name: name.to_owned() }
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
        let bucket = link.jetstream.get_object_store(&self.name).await;
        let bucket = bucket.map_err(|failure| {
            unavailable(error::chain(&failure))
                .with("bucket", &self.name)
                .with("command", format!("nats object add {}", self.name))
        })?;
        let headers = content_type.map(|kind| {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Content-Type", kind);
            headers
        });
        let about = ObjectMetadata { name: name.to_owned(), headers, ..ObjectMetadata::default() };
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
