//! What differs between systems.

use std::{fs::Metadata, io, path::Path};

/// Whether two are one and the same file.
#[cfg(unix)]
pub(crate) fn same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether two are one and the same file, as far as that shows.
#[cfg(not(unix))]
pub(crate) fn same(one: &Metadata, other: &Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

/// Whether it is a character device, such as `/dev/null`.
#[cfg(unix)]
pub(crate) fn is_device(known: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    known.file_type().is_char_device()
}

/// Whether it is a character device.
#[cfg(not(unix))]
pub(crate) fn is_device(_known: &Metadata) -> bool {
    false
}

/// Makes the names in a directory durable.
#[cfg(unix)]
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Makes the names in a directory durable; elsewhere that comes with the files.
#[cfg(not(unix))]
pub(crate) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}
