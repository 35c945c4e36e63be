//! The bytes of an attachment: hashed while they come in, and kept once.
//!
//! Small ones stay in memory. What came through an upload session lies in a temporary file that the
//! operating system removes by itself, so that mails of 150 MB cost no memory. Copies share the
//! bytes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::lock::lock;
use crate::text::hex;

/// Bytes that do not change any more, with their length and their SHA-256, which stay when the
/// bytes are dropped.
#[derive(Clone, Debug)]
pub struct Blob {
    pub length: usize,
    sha256: [u8; 32],
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    Nothing,
    Memory(Bytes),
    File(Arc<Mutex<File>>),
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        let sha256 = Sha256::digest(&bytes).into();
        Self { length: bytes.len(), sha256, kept: Kept::Memory(bytes) }
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Blob {
    /// All bytes; none when they are not kept.
    pub fn read(&self) -> io::Result<Bytes> {
        match &self.kept {
            Kept::Nothing => Ok(Bytes::new()),
            Kept::Memory(bytes) => Ok(bytes.clone()),
            Kept::File(file) => {
                let mut file = lock(file);
                let mut bytes = Vec::with_capacity(self.length);
                file.seek(SeekFrom::Start(0))?;
                file.read_to_end(&mut bytes)?;
                Ok(bytes.into())
            }
        }
    }

    /// Lower-case hexadecimal.
    pub fn sha256(&self) -> String {
        hex(&self.sha256)
    }

    /// Drops the bytes.
    pub fn forget(&mut self) {
        self.kept = Kept::Nothing;
    }
}

/// A blob that is still coming in.
#[derive(Debug)]
pub struct Spool {
    length: usize,
    hasher: Sha256,
    file: Option<File>,
}

impl Spool {
    /// With `keep` unset the bytes are hashed and counted only.
    pub fn new(keep: bool) -> io::Result<Self> {
        let file = keep.then(tempfile::tempfile).transpose()?;
        Ok(Self { length: 0, hasher: Sha256::new(), file })
    }

    /// How many bytes have come so far.
    pub fn length(&self) -> usize {
        self.length
    }

    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        self.hasher.update(bytes);
        self.length += bytes.len();
        Ok(())
    }

    pub fn finish(self) -> Blob {
        let kept = self.file.map_or(Kept::Nothing, |file| Kept::File(Arc::new(Mutex::new(file))));
        Blob { length: self.length, sha256: self.hasher.finalize().into(), kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `abc`: FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn memory_and_spool_say_the_same() {
        let whole = Blob::from(b"abc".to_vec());
        let mut spool = Spool::new(true).unwrap();
        spool.append(b"a").unwrap();
        spool.append(b"bc").unwrap();
        let spooled = spool.finish();
        for blob in [whole, spooled] {
            assert_eq!((blob.length, blob.sha256().as_str()), (3, ABC));
            let copy = blob.clone();
            assert_eq!(&blob.read().unwrap()[..], b"abc");
            assert_eq!(&copy.read().unwrap()[..], b"abc", "reading twice works");
        }
    }

    #[test]
    fn what_is_not_kept_is_still_known() {
        let mut spool = Spool::new(false).unwrap();
        spool.append(b"abc").unwrap();
        let blob = spool.finish();
        assert_eq!((blob.read().unwrap().len(), blob.sha256().as_str()), (0, ABC));
    }
}
