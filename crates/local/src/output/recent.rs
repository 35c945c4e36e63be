//! The ids of what was written last.

use std::collections::{HashSet, VecDeque};

use sha2::{Digest, Sha256};

/// How many ids are kept.
pub(super) const IDS_MAX: usize = 65_536;

/// A bounded memory of ids. Keeps 16 bytes of a hash of each, so that long ids cost no more.
#[derive(Default)]
pub(super) struct Recent {
    known: HashSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

impl Recent {
    pub(super) fn knows(&self, id: &str) -> bool {
        self.known.contains(&hash(id))
    }

    pub(super) fn add_some(&mut self, id: Option<&str>) {
        if let Some(id) = id {
            self.add(id);
        }
    }

    pub(super) fn add(&mut self, id: &str) {
        let hash = hash(id);
        if !self.known.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn hash(id: &str) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&Sha256::digest(id)[..16]);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::default();
        for id in 0..=IDS_MAX {
            recent.add(&id.to_string());
            recent.add(&id.to_string());
        }
        assert!(!recent.knows("0"));
        assert!(recent.knows("1") && recent.knows(&IDS_MAX.to_string()));
        assert_eq!(recent.known.len(), IDS_MAX);
    }
}
