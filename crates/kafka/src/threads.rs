//! The threads of consumers, so that the program does not end before they have let their
//! partitions go: the others in the group would wait for them.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long the end of the program waits for them.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits for its threads when it is dropped.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Takes a thread in, and forgets those that have ended.
    pub fn add(&self, thread: JoinHandle<()>) {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let threads = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let give_up = Instant::now() + ENDED_WITHIN;
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < give_up {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}
