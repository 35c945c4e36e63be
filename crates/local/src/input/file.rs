//! Reads a file as a log.
//!
//! Ends at the end of the file, or waits there for more, or ends after the last whole line that
//! stood there when it was opened. While it waits it looks at the file a few times a second, without the system's change notifications, which some file systems do not have.
//! What was read and not handed out is kept in the reader, so a call to `next` may be dropped at
//! any point.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{Delivery, Disposition, Input, Receipt, Result, Settle, Settled};
use tokio::{
    io::AsyncReadExt as _,
    time::{Interval, MissedTickBehavior},
};

use super::{
    lines::{LINE_BYTES_MAX, Line, Lines, fingerprint},
    message,
};
use crate::{
    blocking, error, files,
    position::{Log, Place, Reading, Start},
};

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How often a file is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where reading a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Never: at the end it waits for more.
    Never,
    /// At the end.
    File,
    /// After the last whole line that stands there now: somebody else may be writing the next.
    Now,
}

/// Reads the lines of one file.
pub(crate) struct Reader {
    path: PathBuf,
    address: String,
    log: Reading,
    file: tokio::fs::File,
    chunk: Vec<u8>,
    lines: Lines,
    start: Start,
    /// After the last line that was taken from `lines`.
    passed: Place,
    /// A line that is on its way out, and from where it is met again.
    taken: Option<(Line, Place)>,
    /// When to look for more; nothing, if the end of the file is the end.
    look: Option<Interval>,
    /// What comes after so many bytes is not read.
    bytes_max: u64,
    /// At the end, as it was at the last look.
    at_end: bool,
    /// There is another file of this name, or this one has become shorter.
    replaced: bool,
}

impl Reader {
    /// Opens a file where it was left.
    pub(crate) async fn open(log: &Arc<Log>, path: &Path, end: End) -> Result<Self> {
        let log = log.read().await?;
        let Opened { file, bytes, lines, start } = open(path, &log).await?;
        Ok(Self {
            path: path.to_owned(),
            address: path.display().to_string(),
            log,
            file,
            chunk: vec![0; CHUNK_BYTES],
            lines,
            passed: start.from.clone(),
            start,
            taken: None,
            look: (end == End::Never).then(look),
            bytes_max: if end == End::Now { bytes } else { u64::MAX },
            at_end: false,
            replaced: false,
        })
    }

    /// Takes in more. False at the end, for good.
    async fn read(&mut self) -> Result<bool> {
        if self.at_end {
            let Some(look) = &mut self.look else { return Ok(false) };
            look.tick().await;
            if !self.replaced {
                self.replaced = self.is_replaced().await?;
            } else if self.log.is_settled() {
                self.open_again().await?;
            }
            self.at_end = false;
        }
        let left = self.bytes_max.saturating_sub(self.lines.offset());
        let room = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let read = self.file.read(&mut self.chunk[..room]).await;
        let read =
            read.map_err(|cause| error::file("a file cannot be read", &self.path, &cause))?;
        self.lines.push(&self.chunk[..read]);
        self.at_end = read == 0;
        // While more is waited for, or written, what has no ending yet may be half a line.
        let whole = self.look.is_none() && self.bytes_max == u64::MAX;
        if self.at_end && (whole || self.replaced) {
            self.lines.finish();
        }
        Ok(true)
    }

    /// Whether the path leads to another file now, or this one was cut below what was read. The old
    /// one is read to its end first, and what is open of it is waited for: it cannot be read again.
    async fn is_replaced(&self) -> Result<bool> {
        let failed = |cause| error::file("a file cannot be looked at", &self.path, &cause);
        let ours = self.file.metadata().await.map_err(failed)?;
        let theirs = match tokio::fs::metadata(&self.path).await {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
            theirs => theirs.map_err(failed)?,
        };
        Ok(!files::same(&ours, &theirs) || ours.len() < self.lines.offset())
    }

    async fn open_again(&mut self) -> Result<()> {
        let Opened { file, lines, start, .. } = open(&self.path, &self.log).await?;
        self.file = file;
        self.lines = lines;
        self.passed = start.from.clone();
        self.start = start;
        self.replaced = false;
        Ok(())
    }

    fn hand_out(&self, line: &Line, before: Place) -> Delivery {
        let (position, seen_before) = self.log.hand_out(line, before);
        let ticket = Ticket::new(&self.log, line.number);
        let message = message(line, &self.address);
        Delivery { message, position, seen_before, receipt: Receipt::new(ticket) }
    }
}

#[async_trait]
impl Input for Reader {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            if let Some((line, _)) = &self.taken {
                self.log.mark(line.number).await?;
            }
            if let Some((line, before)) = self.taken.take() {
                return Ok(Some(self.hand_out(&line, before)));
            }
            if let Some(line) = self.lines.next() {
                let before = std::mem::replace(&mut self.passed, Place::after(&line));
                self.taken = self.start.wants(line.number).then_some((line, before));
            } else if !self.read().await? {
                return Ok(None);
            }
        }
    }
}

fn look() -> Interval {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look
}

/// The receipt of one line. Dropped unsettled, it leaves the line open.
struct Ticket {
    log: Arc<Log>,
    line: u64,
}

impl Ticket {
    fn new(log: &Arc<Log>, line: u64) -> Self {
        log.out.add();
        Self { log: Arc::clone(log), line }
    }
}

#[async_trait]
impl Settle for Ticket {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        match disposition {
            Disposition::Done | Disposition::Rejected => self.log.settle(self.line).await,
            // `Redeliver` keeps those; without it, the next reader meets the line again.
            Disposition::Again { .. } => Ok(Settled::Yes),
        }
    }

    /// A file has no deadline.
    async fn extend(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.log.out.remove();
    }
}

/// A file at the place where reading starts.
struct Opened {
    file: tokio::fs::File,
    bytes: u64,
    lines: Lines,
    start: Start,
}

async fn open(path: &Path, log: &Arc<Log>) -> Result<Opened> {
    let (path, log) = (path.to_owned(), Arc::clone(log));
    blocking(move || {
        let failed = |cause| error::file("a file cannot be read", &path, &cause);
        let mut file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(error::kind("this is not a file; for a pipe, give - as the path", &path));
        }
        let mut start = log.start();
        let known = stands(&mut file, &start.from).map_err(failed)?
            && stands(&mut file, &start.next).map_err(failed)?;
        if !known {
            let open = start.open.len();
            tracing::warn!(file = %path.display(), open,
                "this is not the file that was read before; it is read from its beginning");
            log.begin_anew();
            start = log.start();
        }
        let unended = ends_without_line_feed(&mut file, start.from.offset).map_err(failed)?;
        file.seek(SeekFrom::Start(start.from.offset)).map_err(failed)?;
        let lines = Lines::from(start.from.line, start.from.offset, unended);
        let bytes = metadata.len();
        Ok(Opened { file: tokio::fs::File::from_std(file), bytes, lines, start })
    })
    .await
}

/// Whether the line before a place is what it was.
fn stands(file: &mut File, place: &Place) -> io::Result<bool> {
    let Some(seal) = &place.before else { return Ok(true) };
    let length = place.offset.saturating_sub(seal.start);
    if file.metadata()?.len() < place.offset {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(seal.start))?;
    let mut text = Vec::new();
    file.take(length.min(LINE_BYTES_MAX as u64 + 1)).read_to_end(&mut text)?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    text.truncate(LINE_BYTES_MAX);
    Ok(fingerprint(&text) == seal.fingerprint)
}

/// Whether the last byte before an offset is none that ends a line.
fn ends_without_line_feed(file: &mut File, offset: u64) -> io::Result<bool> {
    let Some(last) = offset.checked_sub(1) else { return Ok(false) };
    file.seek(SeekFrom::Start(last))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte != *b"\n")
}
