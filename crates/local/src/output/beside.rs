//! Appends to a file that others write too: their lines are left as they are.
//!
//! Unlike [`super::file`] it takes no lock, cuts nothing off, and writes only after a whole line.
//! All lines go with one write to the end of the file, as the producers of such files do.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use mailbridge_core::{Code, Error, Result};

use super::{Sink, file::ids, recent::Recent};
use crate::error;

/// A file that lines are added to.
pub(super) struct Beside(PathBuf);

impl Beside {
    /// Makes the file if it is not there. Gives the ids at its end.
    pub(super) fn open(path: &Path) -> Result<(Self, Recent)> {
        let failed = |cause| error::file("a file cannot be written", path, &cause);
        if path.metadata().is_ok_and(|known| !known.is_file()) {
            return Err(error::kind("this is not a file, so nothing can be put back", path));
        }
        let mut file = open(path).map_err(failed)?;
        Ok((Self(path.to_owned()), ids(&mut file).map_err(failed)?))
    }
}

impl Sink for Beside {
    /// Opens the file each time: a producer may have begun a new one.
    fn append(&mut self, lines: &[u8]) -> Result<()> {
        let failed = |cause| error::file("a file cannot be written", &self.0, &cause);
        let mut file = open(&self.0).map_err(failed)?;
        if !ends_with_a_line(&mut file).map_err(failed)? {
            let detail = "the file's last line has no ending; somebody may be writing it, so wait \
                          or finish it";
            let error = Error::transient(Code::LocalFile, detail);
            return Err(error.with("path", self.0.display()));
        }
        file.write_all(lines).and_then(|()| file.sync_data()).map_err(failed)
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).open(path)
}

fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_producer_has_half_written_is_left_and_its_lines_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.ndjson");
        std::fs::write(&path, "{\"id\":\"1\"}\n{\"id\":\"2").unwrap();
        let (mut file, known) = Beside::open(&path).unwrap();
        assert!(known.knows("1") && !known.knows("2"));
        let error = file.append(b"{}\n").unwrap_err();
        assert!(error.to_string().contains("has no ending"), "{error}");
        let mut producer = File::options().append(true).open(&path).unwrap();
        producer.write_all(b"\"}\n").unwrap();
        file.append(b"{}\n").unwrap();
        let content = std::fs::read_to_string(&path).unwrap();
        assert_eq!(content, "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{}\n");
    }

    #[test]
    fn a_file_that_others_have_locked_or_moved_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("in.ndjson"), dir.path().join("in.1"));
        let other = File::create(&path).unwrap();
        other.lock().unwrap();
        let (mut file, _) = Beside::open(&path).unwrap();
        file.append(b"{}\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        file.append(b"[]\n").unwrap();
        assert_eq!(std::fs::read(&moved).unwrap(), b"{}\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"[]\n");
    }
}
