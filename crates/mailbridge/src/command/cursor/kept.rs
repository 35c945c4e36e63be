//! What the state store keeps of one pipeline's folders.

use std::sync::Arc;

use mailbridge_core::{Put, Result, Revision, StateStore as _};
use mailbridge_engine::{
    StoreHost,
    events::record::{self, Record},
};

use crate::config::EventsPipeline;

/// The records of one pipeline.
pub struct Kept {
    prefix: String,
    store: StoreHost,
}

/// What is kept of a folder.
pub struct Folder {
    pub key: String,
    pub revision: Revision,
    /// An error, where it cannot be read.
    pub record: Result<Record>,
}

impl Folder {
    /// How people know it.
    pub fn name(&self, pipeline: &str) -> String {
        match &self.record {
            Ok(record) => format!("{pipeline} {} {}", record.mailbox, record.folder.path),
            Err(_) => format!("{pipeline} {}", self.key),
        }
    }
}

impl Kept {
    pub fn of(pipeline: &EventsPipeline) -> Self {
        let store = StoreHost::new(Arc::clone(&pipeline.state.build));
        Self { prefix: record::prefix(&pipeline.name), store }
    }

    /// All folders, by mailbox and path.
    pub async fn folders(&self) -> Result<Vec<Folder>> {
        let mut folders = Vec::new();
        for key in self.store.list(&self.prefix).await? {
            // one that is gone meanwhile is none
            if let Some((bytes, revision)) = self.store.get(&key).await? {
                folders.push(Folder { key, revision, record: Record::from_bytes(&bytes) });
            }
        }
        folders.sort_by_cached_key(|folder| folder.name(""));
        Ok(folders)
    }

    /// Replaces a record, or removes it.
    pub async fn put(&self, key: &str, next: Option<&Record>, expected: Revision) -> Result<Put> {
        match next {
            Some(record) => self.store.put(key, record.to_bytes()?, Some(expected)).await,
            None => self.store.delete(key, expected).await,
        }
    }
}
