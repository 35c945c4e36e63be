//! All mailboxes, found by address or user id, in shards so that they do not wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use super::Mailbox;
use crate::dice::hash;
use crate::lock::{read, write};

const SHARDS: usize = 16;

type Shard = RwLock<HashMap<Box<str>, Arc<Mailbox>>>;

/// The book of mailboxes. A mailbox stands in it twice: under its address and its user id.
#[derive(Debug, Default)]
pub struct Registry {
    shards: [Shard; SHARDS],
}

impl Registry {
    fn shard(&self, key: &str) -> &Shard {
        let number = usize::try_from(hash(0, key.as_bytes()) % SHARDS as u64).unwrap_or(0);
        &self.shards[number]
    }

    /// By address or user id, in any case.
    pub fn find(&self, key: &str) -> Option<Arc<Mailbox>> {
        let key = key.to_lowercase();
        read(self.shard(&key)).get(key.as_str()).cloned()
    }

    /// Adds a mailbox unless its address is taken; gives back the one that is there.
    pub fn add(&self, mailbox: Mailbox) -> Arc<Mailbox> {
        let address = mailbox.address.clone();
        let kept = write(self.shard(&address))
            .entry(address.into())
            .or_insert_with(|| Arc::new(mailbox))
            .clone();
        let id = kept.user_id.clone();
        write(self.shard(&id)).entry(id.into()).or_insert_with(|| kept.clone());
        kept
    }

    /// Every mailbox, by address.
    pub fn all(&self) -> Vec<Arc<Mailbox>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = read(shard);
            let by_address = shard.iter().filter(|(key, mailbox)| ***key == *mailbox.address);
            all.extend(by_address.map(|(_, mailbox)| mailbox.clone()));
        }
        all.sort_by(|a, b| a.address.cmp(&b.address));
        all
    }
}
