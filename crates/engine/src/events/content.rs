//! Large content of a mail: read piece by piece, and kept inside the event while it is small, else
//! in the pipeline's file store (a claim check).
//!
//! In memory at once are a piece and what goes inside the event. What cannot be read, and what
//! nothing takes, is said to be missing; only a failure that passes ends the work, since whoever
//! asked begins again. Names of files come of the message alone, so the same mail told again
//! replaces its files and adds none. What is in a mail is Exchange's to say each time anew: MIME of
//! one mail may differ from one reading to the next.

use std::future::Future;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mailbridge_core::{
    Changes, Code, Deadline, Error, FileStore, FileWriter, Mailbox, Result, Verdict,
    changes::What,
    contract::{FileContent, MessageId},
};
use sha2::{Digest, Sha256};
use tokio::time::timeout_at;

/// Characters of a file's own name that are kept.
const NAME_CHARS_MAX: usize = 80;

/// Where the content of one message comes from and goes to.
#[derive(Clone, Copy)]
pub(super) struct Carrier<'a> {
    pub(super) changes: &'a dyn Changes,
    pub(super) store: Option<&'a dyn FileStore>,
    pub(super) pipeline: &'a str,
    pub(super) mailbox: &'a Mailbox,
    pub(super) id: &'a MessageId,
    pub(super) deadline: &'a Deadline,
}

/// A file as it is called in the store.
#[derive(Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) name: &'a str,
    pub(super) content_type: Option<&'a str>,
}

/// Where content may be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Inside the event up to so many bytes, else in the store.
    Here(u64),
    /// In the store, however small it is.
    Store,
}

/// Why content is in neither.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) code: Code,
}

impl Missing {
    /// Nothing has room for it.
    pub(super) const TOO_LARGE: Self = Self { code: Code::EventTooLarge };

    /// What is wrong for good is told in the event; anything else ends the work.
    pub(super) fn of(error: Error) -> Result<Self> {
        match error.verdict() {
            Verdict::Permanent => Ok(Self { code: error.code() }),
            Verdict::Transient { .. } | Verdict::InDoubt | Verdict::Blocked { .. } => Err(error),
        }
    }
}

/// Content that was kept, or why it was not.
pub(super) type Kept = Result<FileContent, Missing>;

impl Carrier<'_> {
    /// Reads content and keeps it.
    pub(super) async fn fetch(
        &self,
        what: What<'_>,
        called: Called<'_>,
        place: Place,
    ) -> Result<Kept> {
        let mut content = match self.changes.content(self.mailbox, what, self.deadline).await {
            Ok(content) => content,
            Err(error) => return Missing::of(error).map(Err),
        };
        let mut sink = Sink::new(*self, called, place);
        loop {
            match content.next().await {
                Ok(Some(piece)) => {
                    if let Err(missing) = sink.write(piece).await? {
                        return Ok(Err(missing));
                    }
                }
                Ok(None) => return sink.finish().await,
                Err(error) => return Missing::of(error).map(Err),
            }
        }
    }

    /// Puts what is in memory into the store.
    pub(super) async fn put(&self, called: Called<'_>, bytes: Bytes) -> Result<Kept> {
        let mut sink = Sink::new(*self, called, Place::Store);
        match sink.write(bytes).await? {
            Ok(()) => sink.finish().await,
            Err(missing) => Ok(Err(missing)),
        }
    }

    async fn create(&self, called: Called<'_>) -> Result<Result<Box<dyn FileWriter>, Missing>> {
        let Some(store) = self.store else { return Ok(Err(Missing::TOO_LARGE)) };
        let name = self.path(called.name);
        match self.within(store.create(&name, called.content_type)).await {
            Ok(writer) => Ok(Ok(writer)),
            Err(error) => Missing::of(error).map(Err),
        }
    }

    /// A call of the store. It ends by the deadline, which moves when the call is done.
    async fn within<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let Ok(done) = timeout_at(self.deadline.at(), call).await else {
            let detail = "the file store did not take a piece in time";
            return Err(Error::transient(Code::FileStoreUnavailable, detail));
        };
        self.deadline.progress();
        done
    }

    /// Says nothing of the mailbox and the message to somebody who only sees the names.
    fn path(&self, name: &str) -> String {
        let (pipeline, mailbox) = (safe(self.pipeline), self.mailbox.as_str().to_lowercase());
        format!("{pipeline}/{}/{}/{name}", digest(&mailbox), digest(&self.id.0))
    }
}

/// A file's name in the store: an id that keeps it apart from others of the message, and as much of
/// its own name as every store takes.
pub(super) fn file_name(id: &str, own: Option<&str>) -> String {
    match own.map(safe).filter(|own| !own.is_empty()) {
        Some(own) => format!("{}-{own}", digest(id)),
        None => digest(id),
    }
}

/// 128 bits of a digest.
pub(super) fn digest(text: &str) -> String {
    let mut digits = format!("{:x}", Sha256::digest(text));
    digits.truncate(32);
    digits
}

/// Of a name, what may stand in a path's segment; the end of a long one, which says what it is.
fn safe(name: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || "._=-".contains(c);
    let name: String = name.chars().map(|c| if kept(c) { c } else { '_' }).collect();
    let from = name.len().saturating_sub(NAME_CHARS_MAX);
    name[from..].trim_matches('.').to_owned()
}

/// Takes content, first into memory, and into the store when that is too small.
struct Sink<'a> {
    carrier: Carrier<'a>,
    called: Called<'a>,
    here_max: u64,
    here: Vec<u8>,
    writer: Option<Box<dyn FileWriter>>,
    hash: Sha256,
    bytes: u64,
    place: Place,
}

impl<'a> Sink<'a> {
    fn new(carrier: Carrier<'a>, called: Called<'a>, place: Place) -> Self {
        let here_max = match place {
            Place::Here(max) => max,
            Place::Store => 0,
        };
        let (here, hash) = (Vec::new(), Sha256::new());
        Self { carrier, called, here_max, here, writer: None, hash, bytes: 0, place }
    }

    async fn write(&mut self, piece: Bytes) -> Result<Result<(), Missing>> {
        self.bytes += piece.len() as u64;
        self.hash.update(&piece);
        if self.writer.is_none() && self.bytes <= self.here_max {
            self.here.extend_from_slice(&piece);
            return Ok(Ok(()));
        }
        if let Err(missing) = self.open().await? {
            return Ok(Err(missing));
        }
        self.store(piece).await
    }

    /// Begins the file, with what there is already.
    async fn open(&mut self) -> Result<Result<(), Missing>> {
        if self.writer.is_some() {
            return Ok(Ok(()));
        }
        match self.carrier.create(self.called).await? {
            Ok(writer) => self.writer = Some(writer),
            Err(missing) => return Ok(Err(missing)),
        }
        let before = std::mem::take(&mut self.here);
        self.store(before.into()).await
    }

    async fn store(&mut self, piece: Bytes) -> Result<Result<(), Missing>> {
        if let Some(writer) = &mut self.writer
            && !piece.is_empty()
            && let Err(error) = self.carrier.within(writer.write(piece)).await
        {
            return Missing::of(error).map(Err);
        }
        Ok(Ok(()))
    }

    async fn finish(mut self) -> Result<Kept> {
        // an empty file is a file too
        if self.place == Place::Store
            && let Err(missing) = self.open().await?
        {
            return Ok(Err(missing));
        }
        let sha256 = format!("{:x}", self.hash.finalize());
        let bytes = self.bytes;
        let Some(writer) = self.writer else {
            let base64 = Some(STANDARD.encode(&self.here));
            return Ok(Ok(FileContent { base64, url: None, bytes, sha256 }));
        };
        match self.carrier.within(writer.finish()).await {
            Ok(url) => Ok(Ok(FileContent { base64: None, url: Some(url), bytes, sha256 })),
            Err(error) => Missing::of(error).map(Err),
        }
    }
}

#[cfg(test)]
mod tests;
