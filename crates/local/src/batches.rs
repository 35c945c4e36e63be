//! Many callers, one write to the disk.
//!
//! A confirmed write costs an fsync, whatever its size. So whoever comes while one is under way
//! waits and goes with the next, together with all who came meanwhile: under load the cost of an
//! fsync is shared, and alone nobody waits for a timer. There is no writer thread to start or stop:
//! the first to come takes the work to a blocking thread, which goes on until nothing waits.

use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use mailbridge_core::{Code, Error, Result};
use tokio::sync::oneshot;

/// Something that does many items at the cost of one.
pub(crate) trait Batched: Send + Sync + 'static {
    type Item: Send + 'static;
    type Done: Send + 'static;

    /// Where items wait.
    fn queue(&self) -> &Queue<Self::Item, Self::Done>;

    /// Does them, in order, and says for each what it came to. Blocks; never called twice at once.
    fn run(&self, items: Vec<Self::Item>) -> Vec<Result<Self::Done>>;
}

/// Where items wait. Each caller waits for its own, so there are no more of them than callers.
pub(crate) struct Queue<Item, Done>(Mutex<Waiting<Item, Done>>);

type Entry<Item, Done> = (Item, oneshot::Sender<Result<Done>>);

struct Waiting<Item, Done> {
    entries: Vec<Entry<Item, Done>>,
    /// Somebody is at work, and will look here again.
    busy: bool,
}

impl<Item, Done> Queue<Item, Done> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Waiting { entries: Vec::new(), busy: false }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<Item, Done>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that wait; with none, the work is over.
    fn take(&self) -> Option<Vec<Entry<Item, Done>>> {
        let mut waiting = self.waiting();
        waiting.busy = !waiting.entries.is_empty();
        waiting.busy.then(|| std::mem::take(&mut waiting.entries))
    }
}

/// Does one item, with all others that come at the same time. A call that is dropped may still have
/// its effect.
pub(crate) async fn submit<Owner, Does>(owner: &Owner, item: Does::Item) -> Result<Does::Done>
where
    Owner: Deref<Target = Does> + Clone + Send + 'static,
    Does: Batched,
{
    let (tell, told) = oneshot::channel();
    let first = {
        let mut waiting = owner.queue().waiting();
        waiting.entries.push((item, tell));
        !std::mem::replace(&mut waiting.busy, true)
    };
    if first {
        let owner = owner.clone();
        tokio::task::spawn_blocking(move || work(&*owner));
    }
    told.await.unwrap_or_else(|_| {
        Err(Error::transient(Code::Internal, "a write was given up before it was confirmed"))
    })
}

fn work<Does: Batched>(does: &Does) {
    while let Some(entries) = does.queue().take() {
        let (items, tell) = entries.into_iter().unzip();
        let mut waiting = InWork { queue: does.queue(), tell };
        let done = does.run(items);
        for (tell, done) in std::mem::take(&mut waiting.tell).into_iter().zip(done) {
            // Whoever does not wait any more need not be told.
            tell.send(done).ok();
        }
    }
}

/// Those who wait for a batch. A panic fails them, and who has come since, but nobody who comes
/// later: they are let go only after the queue is free again.
struct InWork<'a, Item, Done> {
    queue: &'a Queue<Item, Done>,
    tell: Vec<oneshot::Sender<Result<Done>>>,
}

impl<Item, Done> Drop for InWork<'_, Item, Done> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut waiting = self.queue.waiting();
            waiting.busy = false;
            waiting.entries.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use tokio::task::JoinSet;

    use super::*;

    /// Doubles numbers, batch by batch, each when it is let.
    struct Doubler {
        queue: Queue<u32, u32>,
        go: Mutex<mpsc::Receiver<()>>,
        batches: Mutex<Vec<usize>>,
    }

    impl Batched for Doubler {
        type Item = u32;
        type Done = u32;

        fn queue(&self) -> &Queue<u32, u32> {
            &self.queue
        }

        fn run(&self, items: Vec<u32>) -> Vec<Result<u32>> {
            self.go.lock().unwrap().recv().unwrap();
            self.batches.lock().unwrap().push(items.len());
            assert!(!items.contains(&13), "unlucky");
            items.into_iter().map(|item| Ok(item * 2)).collect()
        }
    }

    fn doubler() -> (mpsc::Sender<()>, Arc<Doubler>) {
        let (let_go, go) = mpsc::channel();
        let doubler =
            Doubler { queue: Queue::new(), go: Mutex::new(go), batches: Mutex::default() };
        (let_go, Arc::new(doubler))
    }

    #[tokio::test]
    async fn who_comes_during_a_write_goes_with_the_next() {
        let (let_go, doubler) = doubler();
        let mut tasks = JoinSet::new();
        for item in 0..10 {
            let doubler = Arc::clone(&doubler);
            tasks.spawn(async move { (item, submit(&doubler, item).await.unwrap()) });
        }
        // All ten have come before the first batch, which is held, is let go.
        tokio::task::yield_now().await;
        for _ in 0..10 {
            let_go.send(()).unwrap();
        }
        while let Some(done) = tasks.join_next().await {
            let (item, double) = done.unwrap();
            assert_eq!(double, item * 2);
        }
        let batches = doubler.batches.lock().unwrap().clone();
        assert_eq!(batches.iter().sum::<usize>(), 10);
        assert!(batches.len() <= 2, "{batches:?}");
    }

    #[tokio::test]
    async fn a_panic_fails_who_waits_and_nobody_after() {
        let (let_go, doubler) = doubler();
        for _ in 0..2 {
            let_go.send(()).unwrap();
        }
        assert_eq!(submit(&doubler, 13).await.unwrap_err().code(), Code::Internal);
        assert_eq!(submit(&doubler, 4).await.unwrap(), 8);
    }
}
