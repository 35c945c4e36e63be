//! How many requests were answered how: by operation and status.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::route::Operation;

/// The statuses counted by themselves; the last two cells are "cut" and "other".
const STATUSES: [u16; 24] = [
    200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 410, 411, 413, 415, 416, 423, 429, 500, 501,
    502, 503, 504, 507, 509,
];
const CELLS: usize = STATUSES.len() + 2;

/// Counts without a lock.
#[derive(Debug)]
pub struct Counters {
    cells: Vec<[AtomicU64; CELLS]>,
}

/// Count by status, by operation. The status `cut` is a connection that got no answer.
pub type Counts = BTreeMap<Operation, BTreeMap<String, u64>>;

impl Default for Counters {
    fn default() -> Self {
        let row = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { cells: Operation::ALL.iter().map(|_| row()).collect() }
    }
}

impl Counters {
    /// Counts an answer; `None` is a cut connection.
    pub fn count(&self, operation: Operation, status: Option<u16>) {
        let cell = match status {
            None => STATUSES.len(),
            Some(status) => {
                let known = STATUSES.iter().position(|one| *one == status);
                known.unwrap_or(STATUSES.len() + 1)
            }
        };
        self.cells[operation as usize][cell].fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counts {
        let mut out = Counts::new();
        for (operation, row) in Operation::ALL.iter().zip(&self.cells) {
            for (index, cell) in row.iter().enumerate() {
                let count = cell.load(Ordering::Relaxed);
                if count > 0 {
                    out.entry(*operation).or_default().insert(label(index), count);
                }
            }
        }
        out
    }

    pub fn reset(&self) {
        for cell in self.cells.iter().flatten() {
            cell.store(0, Ordering::Relaxed);
        }
    }
}

fn label(index: usize) -> String {
    match STATUSES.get(index) {
        Some(status) => status.to_string(),
        None if index == STATUSES.len() => "cut".to_owned(),
        None => "other".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_cuts_are_counted() {
        let counters = Counters::default();
        counters.count(Operation::SendMail, Some(202));
        counters.count(Operation::SendMail, Some(202));
        counters.count(Operation::SendMail, None);
        counters.count(Operation::GetUser, Some(299));
        let counts = counters.read();
        assert_eq!(counts[&Operation::SendMail]["202"], 2);
        assert_eq!(counts[&Operation::SendMail]["cut"], 1);
        assert_eq!(counts[&Operation::GetUser]["other"], 1);
        counters.reset();
        assert!(counters.read().is_empty());
    }
}
