//! `file://`: a folder of this machine, and what is really in it.
//!
//! A link may lead out of the folder, so the path is resolved at every read, and what is opened is
//! compared with what was resolved.

use std::{
    fs, io,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{File, Files, Result};
use reqwest::Url;

use crate::{
    error::{changed, missing, not_allowed, unavailable},
    place::Prefix,
};

#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(prefix: &Prefix) -> Result<Self> {
        Self::path(prefix).map(Self)
    }

    /// The folder of a prefix.
    pub(crate) fn path(prefix: &Prefix) -> Result<PathBuf> {
        let path = prefix.url().to_file_path();
        path.map_err(|()| not_allowed("expected a folder, such as file:///srv/mail/"))
    }

    /// The file, if it is a file and in the folder.
    fn find(folder: &Path, url: &Url) -> Result<(fs::File, fs::Metadata)> {
        let path = url.to_file_path().map_err(|()| missing(url))?;
        let failed = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(url),
            kind => unavailable(url, kind),
        };
        let folder = folder.canonicalize().map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        if !path.starts_with(&folder) {
            return Err(not_allowed("a link leads out of the folder that the pipeline allows"));
        }
        // not a pipe, which would be waited for
        let resolved = fs::symlink_metadata(&path).map_err(failed)?;
        if !resolved.is_file() {
            return Err(missing(url));
        }
        let file = fs::File::open(&path).map_err(failed)?;
        let opened = file.metadata().map_err(failed)?;
        if (opened.dev(), opened.ino()) != (resolved.dev(), resolved.ino()) {
            return Err(changed(url));
        }
        Ok((file, opened))
    }
}

/// What changes with the content, as far as a file system tells.
fn version(metadata: &fs::Metadata) -> String {
    let (ino, bytes) = (metadata.ino(), metadata.len());
    format!("{ino}-{bytes}-{}.{:09}", metadata.mtime(), metadata.mtime_nsec())
}

#[async_trait]
impl Files for Folder {
    async fn open(&self, url: &str) -> Result<File> {
        let (folder, url) = (self.0.clone(), crate::place::plain_url(url)?);
        blocking(url.clone(), move || {
            let (_, metadata) = Self::find(&folder, &url)?;
            let version = Some(version(&metadata));
            Ok(File { url: url.into(), bytes: metadata.len(), version, content_type: None })
        })
        .await
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        let (folder, url) = (self.0.clone(), crate::place::plain_url(&file.url)?);
        let known = file.version.clone();
        blocking(url.clone(), move || {
            let (file, before) = Self::find(&folder, &url)?;
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let mut bytes = vec![0; length];
            let read = file.read_exact_at(&mut bytes, range.start);
            let after = file.metadata().map_err(|cause| unavailable(&url, cause.kind()))?;
            let same = known.as_deref() == Some(version(&before).as_str())
                && version(&before) == version(&after);
            match read {
                Ok(()) if same => Ok(bytes.into()),
                Err(cause) if same => Err(unavailable(&url, cause.kind())),
                _ => Err(changed(&url)),
            }
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    url: Url,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(unavailable(&url, "reading it was given up")))
}
