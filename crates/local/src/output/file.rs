//! Appends to a file, durably.
//!
//! A crash can leave half a line at the end of a file. Its message was not confirmed, so it is
//! published again: the half is cut off when the file is opened. A file is locked while it is open,
//! since two processes would take each other's lines for halves.
//!
//! A file that was moved away (log rotation) is left alone, and a new one is begun.

use std::{
    fs::{File, Metadata, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use mailbridge_core::Result;

use super::{Sink, recent::Recent};
use crate::{error, files, record};

/// How much of the end of a file is read for the ids that stand there.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;

/// A file that lines are appended to.
pub(super) struct Appended {
    path: PathBuf,
    /// Gone after a failure: it is opened, and put right, before the next line.
    file: Option<File>,
}

impl Appended {
    /// Opens a file, makes it if it is not there, and puts its end right. Gives the ids at its end.
    pub(super) fn open(path: &Path) -> Result<(Self, Recent)> {
        let (file, recent) = open(path)?;
        Ok((Self { path: path.to_owned(), file: Some(file) }, recent))
    }

    /// The file, which is where it should be.
    fn file(&mut self) -> Result<&mut File> {
        if self.file.as_ref().is_some_and(|file| !stands_at(file, &self.path)) {
            tracing::info!(file = %self.path.display(), "the file was moved; a new one is begun");
            self.file = None;
        }
        if self.file.is_none() {
            self.file = Some(open(&self.path)?.0);
        }
        self.file.as_mut().ok_or_else(|| error::kind("the file is not open", &self.path))
    }
}

impl Sink for Appended {
    fn append(&mut self, lines: &[u8]) -> Result<()> {
        let file = self.file()?;
        if let Err(cause) = append(file, lines) {
            self.file = None;
            return Err(error::file("a file cannot be written", &self.path, &cause));
        }
        Ok(())
    }
}

/// All of the lines, or none.
fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?;
    let written = file.write_all(lines).and_then(|()| sync(file, &before));
    if written.is_err() && before.is_file() {
        // Best effort: whole lines of it would stand there although they were not confirmed.
        file.set_len(before.len()).ok();
    }
    written
}

/// A device has nothing to sync.
fn sync(file: &File, kind: &Metadata) -> io::Result<()> {
    if kind.is_file() { file.sync_data() } else { Ok(()) }
}

fn open(path: &Path) -> Result<(File, Recent)> {
    let failed = |cause| error::file("a file cannot be written", path, &cause);
    if let Ok(known) = path.metadata()
        && !known.is_file()
    {
        if !files::is_device(&known) {
            let what = "this is not a file; for a pipe, give - as the path";
            return Err(error::kind(what, path));
        }
        let device = File::options().append(true).open(path).map_err(failed)?;
        return Ok((device, Recent::default()));
    }
    let file = File::options().read(true).append(true).create(true).open(path);
    let mut file = file.map_err(failed)?;
    lock(&file, path)?;
    let recent = put_right(&mut file, path).map_err(failed)?;
    // Until its directory is on the disk, a new file may be gone after a crash.
    if let Some(dir) = path.parent() {
        files::sync_dir(dir).map_err(failed)?;
    }
    Ok((file, recent))
}

fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(error::kind("another process writes to this file; give each its own", path))
        }
        // Some network file systems have no locks; there it is left to the user.
        Err(TryLockError::Error(cause)) if cause.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(cause)) => {
            Err(error::file("a file cannot be locked", path, &cause))
        }
    }
}

fn stands_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(ours), Ok(theirs)) => files::same(&ours, &theirs),
        _ => false,
    }
}

/// Makes the file end with a whole line, and gives the ids at its end.
fn put_right(file: &mut File, path: &Path) -> io::Result<Recent> {
    let length = file.metadata()?.len();
    let (mut recent, rest) = whole_lines(&tail(file, length)?);
    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(&rest).is_ok();
    let torn = rest.starts_with(b"{") || rest.contains(&0);
    if rest.is_empty() {
        return Ok(recent);
    }
    if torn && !whole {
        let bytes = rest.len();
        tracing::warn!(file = %path.display(), bytes,
            "half a line that a crash left is cut off; its message was not confirmed");
        file.set_len(length - bytes as u64)?;
    } else {
        // Whole, or of somebody else's making: only its ending is missing.
        recent.add_some(record::id(&rest).as_deref());
        file.write_all(b"\n")?;
    }
    file.sync_data()?;
    Ok(recent)
}

/// The ids at the end of a file.
pub(super) fn ids(file: &mut File) -> io::Result<Recent> {
    let length = file.metadata()?.len();
    Ok(whole_lines(&tail(file, length)?).0)
}

/// The ids of whole lines, and what is left after them.
fn whole_lines(tail: &Bytes) -> (Recent, Bytes) {
    let end = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut recent = Recent::default();
    for line in tail[..end].split(|byte| *byte == b'\n') {
        recent.add_some(record::id(&tail.slice_ref(line)).as_deref());
    }
    (recent, tail.slice(end..))
}

/// The end of a file, from the start of a line: at least the last line, however long it is.
fn tail(file: &mut File, length: u64) -> io::Result<Bytes> {
    let mut window = TAIL_BYTES;
    loop {
        let start = length.saturating_sub(window);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length - start).read_to_end(&mut bytes)?;
        let bytes = Bytes::from(bytes);
        if start == 0 {
            return Ok(bytes);
        }
        // The last byte ends the last line; one before it begins a line.
        let inner = &bytes[..bytes.len().saturating_sub(1)];
        if let Some(at) = inner.iter().position(|byte| *byte == b'\n') {
            return Ok(bytes.slice(at + 1..));
        }
        window = window.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a file's content when it is opened, and whether an id is known then.
    fn opened(content: &[u8], id: &str) -> (Vec<u8>, bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.ndjson");
        std::fs::write(&path, content).unwrap();
        let (file, recent) = Appended::open(&path).unwrap();
        drop(file);
        (std::fs::read(&path).unwrap(), recent.knows(id))
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let (content, known) = opened(b"{\"id\":\"1\"}\n{\"id\":\"2\",\"payl", "1");
        assert_eq!(content, b"{\"id\":\"1\"}\n");
        assert!(known);
        assert_eq!(opened(b"{\"id\"", "1").0, b"");
        assert_eq!(opened(b"{\"id\":\"1\"}\n\0\0\0", "1").0, b"{\"id\":\"1\"}\n");
    }

    #[test]
    fn a_whole_line_gets_its_ending() {
        let (content, known) = opened(b"{\"id\":\"1\"}\n{\"id\":\"2\"}", "2");
        assert_eq!(content, b"{\"id\":\"1\"}\n{\"id\":\"2\"}\n");
        assert!(known);
    }

    #[test]
    fn what_others_wrote_is_not_cut() {
        assert_eq!(opened(b"a header\nof somebody", "").0, b"a header\nof somebody\n");
    }

    #[test]
    fn a_last_line_longer_than_the_tail_is_read_whole() {
        let mut content = b"{\"id\":\"1\"}\n{\"id\":\"2\",\"x\":\"".to_vec();
        content.resize(content.len() + usize::try_from(TAIL_BYTES).unwrap(), b'x');
        assert_eq!(opened(&content, "1").0, b"{\"id\":\"1\"}\n");
        content.extend_from_slice(b"\"}\n");
        let (kept, known) = opened(&content, "2");
        assert_eq!(kept.len(), content.len());
        assert!(known);
    }

    #[test]
    fn a_second_process_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.ndjson");
        let other = File::create(&path).unwrap();
        other.lock().unwrap();
        let error = Appended::open(&path).err().unwrap();
        assert!(error.to_string().contains("another process writes"), "{error}");
    }

    #[test]
    fn a_file_that_was_moved_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("out.ndjson"), dir.path().join("out.1"));
        let (mut file, _) = Appended::open(&path).unwrap();
        file.append(b"{}\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        file.append(b"[]\n").unwrap();
        assert_eq!(std::fs::read(&moved).unwrap(), b"{}\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"[]\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_takes_lines_and_a_directory_does_not() {
        Appended::open(Path::new("/dev/null")).unwrap().0.append(b"{}\n").unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert!(Appended::open(dir.path()).is_err());
    }
}
