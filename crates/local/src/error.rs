//! What the file system and the database say, as core's failures.
//!
//! Their texts hold paths and the system's own words, never what stands in a file.

use std::{fmt, io, path::Path};

use mailbridge_core::{Code, Error};

/// A file could not be read or written. It may be possible the next time (a disk was full, a file
/// not there yet).
pub(crate) fn file(what: &'static str, path: &Path, cause: &io::Error) -> Error {
    Error::transient(Code::LocalFile, what).with("path", path.display()).with("cause", cause)
}

/// A file is of a kind that cannot be used.
pub(crate) fn kind(what: &'static str, path: &Path) -> Error {
    Error::blocked(Code::LocalFile, what).with("path", path.display())
}

/// The database could not be read or written.
pub(crate) fn state(what: &'static str, path: &Path, cause: impl fmt::Display) -> Error {
    Error::transient(Code::StateFailed, what).with("file", path.display()).with("cause", cause)
}

/// A setting that cannot be used, with its key.
pub(crate) fn setting(key: &'static str, expected: &'static str) -> Error {
    Error::permanent(Code::ConfigInvalid, expected).with("key", key)
}
