//! Files in memory, for tests of whoever reads them through the port: they can vanish, change and
//! be out of reach, and the largest piece that anybody asked for is known.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{Code, Error, File, Files, Result};
use sha2::{Digest, Sha256};

/// A shelf of files. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, (Content, u64)>,
    versions: u64,
    /// Calls that still fail as an outage.
    outage: u32,
    piece_bytes_max: u64,
    bytes_read: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Bytes),
    /// So many bytes, each a function of its place: a large file that takes no memory.
    Pattern(u64),
}

impl Shelf {
    /// Puts a file there, or another in its place.
    pub fn put(&self, url: &str, bytes: impl Into<Bytes>) {
        self.store(url, Content::Bytes(bytes.into()));
    }

    /// Puts a file there that is a [`pattern`], which takes no memory.
    pub fn put_pattern(&self, url: &str, bytes: u64) {
        self.store(url, Content::Pattern(bytes));
    }

    fn store(&self, url: &str, content: Content) {
        let mut state = self.lock();
        state.versions += 1;
        let version = state.versions;
        state.files.insert(url.to_owned(), (content, version));
    }

    /// Takes a file away.
    pub fn remove(&self, url: &str) {
        self.lock().files.remove(url);
    }

    /// The next so many calls fail as if the place did not answer.
    pub fn fail(&self, calls: u32) {
        self.lock().outage = calls;
    }

    /// The largest piece that was asked for, in bytes.
    pub fn piece_bytes_max(&self) -> u64 {
        self.lock().piece_bytes_max
    }

    /// How many bytes were read in all.
    pub fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a pattern file at a range. Their period is no power of two, so that pieces in the
/// wrong order show.
pub fn pattern(range: Range<u64>) -> Vec<u8> {
    let period: Vec<u8> = (0..251).collect();
    let skip = usize::try_from(range.start % 251).unwrap_or_default();
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length + 251);
    bytes.extend_from_slice(&period[skip..]);
    while bytes.len() < length {
        bytes.extend_from_slice(&period);
    }
    bytes.truncate(length);
    bytes
}

/// The SHA-256 of bytes, as requests and the sandbox's truth write it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut digits, byte| {
        for half in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(u32::from(half), 16));
        }
        digits
    })
}

impl State {
    fn answers(&mut self) -> Result<()> {
        if self.outage == 0 {
            return Ok(());
        }
        self.outage -= 1;
        Err(Error::transient(Code::AttachmentUnavailable, "the shelf does not answer"))
    }

    fn find(&self, url: &str) -> Result<(&Content, u64)> {
        let found = self.files.get(url).map(|(content, version)| (content, *version));
        found.ok_or_else(|| {
            let name = url.rsplit('/').next().unwrap_or_default();
            let detail = "there is no such file on the shelf";
            Error::permanent(Code::AttachmentMissing, detail).with("attachment", name)
        })
    }
}

#[async_trait]
impl Files for Shelf {
    async fn open(&self, url: &str) -> Result<File> {
        let mut state = self.lock();
        state.answers()?;
        let (content, version) = state.find(url)?;
        let bytes = match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Pattern(bytes) => *bytes,
        };
        let version = Some(version.to_string());
        Ok(File { url: url.to_owned(), bytes, version, content_type: None })
    }

    async fn read(&self, file: &File, range: Range<u64>) -> Result<Bytes> {
        let mut state = self.lock();
        state.answers()?;
        let (content, version) = state.find(&file.url)?;
        if file.version != Some(version.to_string()) {
            let detail = "the file on the shelf is another one now";
            return Err(Error::permanent(Code::AttachmentChanged, detail));
        }
        let piece = match content {
            Content::Bytes(bytes) => {
                let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
                bytes.slice(at(range.start)..at(range.end))
            }
            Content::Pattern(_) => pattern(range.clone()).into(),
        };
        let bytes = range.end - range.start;
        state.piece_bytes_max = state.piece_bytes_max.max(bytes);
        state.bytes_read += bytes;
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_read_in_pieces_and_can_vanish_change_and_be_out_of_reach() {
        let shelf = Shelf::default();
        shelf.put("s3://b/k", "hello");
        let file = shelf.open("s3://b/k").await.unwrap();
        assert_eq!(shelf.read(&file, 1..3).await.unwrap(), "el");
        assert_eq!(shelf.piece_bytes_max(), 2);
        shelf.put("s3://b/k", "other");
        let error = shelf.read(&file, 0..1).await.unwrap_err();
        assert_eq!(error.code(), Code::AttachmentChanged);
        shelf.remove("s3://b/k");
        let error = shelf.open("s3://b/k").await.unwrap_err();
        assert_eq!((error.code(), error.field("attachment")), (Code::AttachmentMissing, Some("k")));
        shelf.fail(1);
        let error = shelf.open("s3://b/k").await.unwrap_err();
        assert_eq!(error.code(), Code::AttachmentUnavailable);
        shelf.put_pattern("s3://b/p", 1000);
        let file = shelf.open("s3://b/p").await.unwrap();
        assert_eq!(shelf.read(&file, 250..252).await.unwrap(), vec![250, 0]);
    }
}
