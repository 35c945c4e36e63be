//! What may be open only once in a process: a database, a file that is appended to.
//!
//! Two buses, or two pipelines, may name the same file. They then share what is open, and it is
//! closed when the last of them lets go. Keyed by path; nothing is ever kept open here by itself.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use mailbridge_core::Result;

/// The open ones of one kind.
pub(crate) struct Shared<T>(Mutex<BTreeMap<PathBuf, Weak<T>>>);

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Weak<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is open under this path, else a new one. Blocks; `make` must not come back
    /// here.
    pub(crate) fn get(
        &'static self,
        path: &Path,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<Handle<T>> {
        let mut open = self.open();
        open.retain(|_, weak| weak.strong_count() > 0);
        let inner = if let Some(inner) = open.get(path).and_then(Weak::upgrade) {
            inner
        } else {
            let inner = Arc::new(make()?);
            open.insert(path.to_owned(), Arc::downgrade(&inner));
            inner
        };
        Ok(Handle { inner: Some(inner), of: self })
    }

    /// Whether somebody still has something open below this folder.
    #[cfg(test)]
    pub(crate) fn is_any_open(&self, folder: &Path) -> bool {
        let open = self.open();
        open.iter().any(|(path, it)| path.starts_with(folder) && it.strong_count() > 0)
    }
}

/// A share in something that is open.
pub(crate) struct Handle<T: 'static> {
    /// There until dropped.
    inner: Option<Arc<T>>,
    of: &'static Shared<T>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), of: self.of }
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let Some(inner) = &self.inner else { unreachable!("a handle is empty only in drop") };
        inner
    }
}

impl<T> Drop for Handle<T> {
    /// Under the lock, so that whoever opens next finds the file closed, its lock released.
    fn drop(&mut self) {
        let _open = self.of.open();
        self.inner = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shared_while_it_is_held_and_made_anew_after() {
        static NUMBERS: Shared<u32> = Shared::new();
        let one = NUMBERS.get(Path::new("a"), || Ok(1)).unwrap();
        let same = NUMBERS.get(Path::new("a"), || Ok(2)).unwrap();
        let other = NUMBERS.get(Path::new("b"), || Ok(3)).unwrap();
        assert_eq!((*one, *same, *other), (1, 1, 3));
        drop(one);
        drop(same.clone());
        assert_eq!(*NUMBERS.get(Path::new("a"), || Ok(4)).unwrap(), 1);
        drop(same);
        assert_eq!(*NUMBERS.get(Path::new("a"), || Ok(5)).unwrap(), 5);
    }
}
