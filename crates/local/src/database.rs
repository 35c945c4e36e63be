//! A redb file that outlives its failures: redb refuses all work after one (a full disk, say) until
//! the file is opened anew, so that is done for whoever comes next.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mailbridge_core::{Code, Error, Result};
use redb::{
    Database, DatabaseError, Key, ReadOnlyTable, ReadableDatabase as _, TableDefinition,
    TableError, Value,
};

use crate::error;

const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// An open database file.
pub(crate) struct Reopening {
    file: PathBuf,
    /// Gone after a failure.
    database: Mutex<Option<Arc<Database>>>,
}

impl Reopening {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// *Blocked*, where another process has it open.
    pub(crate) fn open(file: PathBuf) -> Result<Self> {
        let database = Mutex::new(Some(Arc::new(open(&file)?)));
        Ok(Self { file, database })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The database, opened anew if it must be.
    pub(crate) fn get(&self) -> Result<Arc<Database>> {
        let mut slot = self.slot();
        if let Some(database) = &*slot {
            return Ok(Arc::clone(database));
        }
        let opened = Arc::new(open(&self.file)?);
        *slot = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Lets go of the database, and says why.
    pub(crate) fn failed(&self, what: &'static str, cause: &redb::Error) -> Error {
        *self.slot() = None;
        error::state(what, &self.file, cause)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Database>>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One name for a file, however its folder is written; the folder is made.
pub(crate) fn canonical(file: &Path) -> Result<PathBuf> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    let dir = dir.map_err(|cause| error::file("nothing can be kept here", file, &cause))?;
    Ok(dir.join(file.file_name().unwrap_or_default()))
}

/// A table as it stands; nothing, where it was never written.
pub(crate) fn table<K: Key + 'static, V: Value + 'static>(
    database: &Database,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, redb::Error> {
    match database.begin_read()?.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}

fn open(file: &Path) -> Result<Database> {
    redb::Builder::new().set_cache_size(CACHE_BYTES).create(file).map_err(|cause| match cause {
        DatabaseError::DatabaseAlreadyOpen => Error::blocked(
            Code::StateFailed,
            "another mailbridge process has this open; stop it or give this one another `dir`",
        )
        .with("file", file.display()),
        cause => error::state("the database cannot be opened", file, cause),
    })
}
