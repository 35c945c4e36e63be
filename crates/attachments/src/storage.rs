//! One place that files are put into, so that an event only refers to them.
//!
//! The other direction of [`Attachments`](crate::Attachments): what is stored here can be referred to
//! by requests. Where it is, is the operator's to say, and what a file is called is mailbridge's own;
//! nothing of a mail leads anywhere else.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, FileStore, FileWriter, Result};
use object_store::buffered::BufWriter;
use reqwest::Url;
use tokio::{
    fs,
    io::{self, AsyncWriteExt as _},
};
use uuid::Uuid;

use crate::{
    config::Place,
    error::not_allowed,
    file::Folder,
    place::{Prefix, keys_fit},
    store::{ObjectStores, Variables},
};

/// Bytes that are collected before they go to a disk.
const BUFFER_BYTES: usize = 256 * 1024;

/// Gives a bucket of a bus, by the names of the bus and of the bucket, and whether to make it where
/// it is missing.
pub type BucketOf<'a> = &'a dyn Fn(&str, &str, bool) -> Result<Arc<dyn FileStore>>;

/// A place for files.
#[derive(Debug)]
pub struct Storage {
    prefix: Prefix,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Folder(PathBuf),
    Objects(ObjectStores),
    Bus(Arc<dyn FileStore>),
}

impl Storage {
    /// The place that a pipeline names. `variables` are the environment's, for object stores.
    ///
    /// # Errors
    /// `config_invalid`, with the field `key` where one key of the place is at fault.
    pub fn new(place: &Place, variables: &Variables, of_bus: BucketOf<'_>) -> Result<Self> {
        Self::find(place, variables, of_bus).map_err(|error| {
            let wrong = Error::permanent(Code::ConfigInvalid, error.detail().to_owned());
            match error.field("key") {
                Some(key) => wrong.with("key", key),
                None => wrong,
            }
        })
    }

    fn find(place: &Place, variables: &Variables, of_bus: BucketOf<'_>) -> Result<Self> {
        let prefix = Prefix::parse(&place.prefix)?;
        keys_fit(place, &prefix)?;
        let kind = match prefix.url().scheme() {
            "https" | "http" => {
                let detail = "files cannot be put there: expected file, s3, az, gs or nats-object";
                return Err(not_allowed(detail));
            }
            "file" => Kind::Folder(Folder::path(&prefix)?),
            "nats-object" => {
                let Some(bus) = &place.bus else {
                    let detail = "expected the bus whose object store it is";
                    return Err(not_allowed(detail).with("key", "bus"));
                };
                let bucket = prefix.url().host_str().unwrap_or_default();
                Kind::Bus(
                    of_bus(bus, bucket, place.create).map_err(|error| error.with("key", "bus"))?,
                )
            }
            _ => Kind::Objects(ObjectStores::new(&prefix, &place.options, variables)?),
        };
        Ok(Self { prefix, kind })
    }
}

#[async_trait]
impl FileStore for Storage {
    async fn create(&self, name: &str, content_type: Option<&str>) -> Result<Box<dyn FileWriter>> {
        let url = below(&self.prefix, name)?;
        Ok(match &self.kind {
            Kind::Folder(folder) => Box::new(InFolder::create(folder, name, url).await?),
            Kind::Objects(stores) => {
                let writer = stores.writer(&url, content_type).await?;
                Box::new(InStore { writer: Some(writer), url })
            }
            Kind::Bus(store) => {
                let name = url.path().trim_start_matches('/').to_owned();
                store.create(&name, content_type).await?
            }
        })
    }
}

/// The URL of a file, which lies below the prefix whatever the name is.
fn below(prefix: &Prefix, name: &str) -> Result<Url> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._=-".contains(c);
    let segment = |segment: &str| {
        !segment.is_empty() && ![".", ".."].contains(&segment) && segment.chars().all(plain)
    };
    let url = prefix.url().join(name).ok().filter(|url| prefix.holds(url));
    url.filter(|_| name.split('/').all(segment))
        .ok_or_else(|| Error::permanent(Code::Internal, "a file cannot be stored under this name"))
}

/// It may work next time. `cause` says nothing of the file.
pub(crate) fn unavailable(cause: impl std::fmt::Display) -> Error {
    let detail = "the place for large content does not take a file";
    Error::transient(Code::FileStoreUnavailable, detail).with("cause", cause)
}

/// A file that is being written beside its place.
struct InFolder {
    /// Gone once it is in its place.
    part: Option<PathBuf>,
    path: PathBuf,
    file: io::BufWriter<fs::File>,
    url: Url,
}

impl InFolder {
    async fn create(folder: &Path, name: &str, url: Url) -> Result<Self> {
        let failed = |cause: io::Error| unavailable(cause.kind());
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).await.map_err(failed)?;
        let part = parent.join(format!(".{}.part", Uuid::new_v4()));
        let file = fs::File::create_new(&part).await.map_err(failed)?;
        let file = io::BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { part: Some(part), path, file, url })
    }

    /// On the disk, under its name, as is that name.
    async fn place(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.get_ref().sync_all().await?;
        if let Some(part) = &self.part {
            fs::rename(part, &self.path).await?;
        }
        self.part = None;
        match self.path.parent() {
            Some(parent) => fs::File::open(parent).await?.sync_all().await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl FileWriter for InFolder {
    async fn write(&mut self, piece: Bytes) -> Result<()> {
        self.file.write_all(&piece).await.map_err(|cause| unavailable(cause.kind()))
    }

    async fn finish(mut self: Box<Self>) -> Result<String> {
        self.place().await.map_err(|cause| unavailable(cause.kind()))?;
        Ok(self.url.to_string())
    }
}

impl Drop for InFolder {
    fn drop(&mut self) {
        if let Some(part) = self.part.take()
            && let Err(cause) = std::fs::remove_file(&part)
        {
            tracing::warn!(file = %part.display(), cause = %cause.kind(),
                "a file that was not finished could not be removed");
        }
    }
}

/// An object that is being uploaded: a small one in one piece when it is whole, a large one in parts
/// that are nothing until the last.
struct InStore {
    /// Gone once it is whole.
    writer: Option<BufWriter>,
    url: Url,
}

#[async_trait]
impl FileWriter for InStore {
    async fn write(&mut self, piece: Bytes) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.put(piece).await.map_err(|error| failed(&error)),
            None => Err(unavailable("the upload has failed before")),
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<String> {
        if let Some(writer) = &mut self.writer {
            // a failure of the store is inside
            let failed = |cause: io::Error| match cause.get_ref().map(|it| it.downcast_ref()) {
                Some(Some(error)) => failed(error),
                _ => unavailable(cause.kind()),
            };
            writer.shutdown().await.map_err(failed)?;
        }
        self.writer = None;
        Ok(self.url.to_string())
    }
}

/// In words of ours: those of the crate may repeat a URL or a setting.
fn failed(error: &object_store::Error) -> Error {
    unavailable(match error {
        object_store::Error::NotFound { .. } => "there is no such bucket or container",
        object_store::Error::PermissionDenied { .. } => "it denies the access",
        object_store::Error::Unauthenticated { .. } => "it does not know the credentials",
        _ => "it cannot be reached, or fails",
    })
}
