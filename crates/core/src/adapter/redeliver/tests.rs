use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

/// A log of `n` messages that notes what was settled.
struct Log {
    left: VecDeque<u64>,
    seen_before: SeenBefore,
    settled: Noted,
    revoked: Arc<AtomicBool>,
}

struct LogReceipt(u64, Noted, Arc<AtomicBool>);

#[async_trait]
impl Settle for LogReceipt {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        self.1.lock().unwrap().push((self.0, disposition));
        Ok(Settled::Yes)
    }

    async fn extend(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_stale(&self) -> bool {
        self.2.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Input for Log {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        Ok(self.left.pop_front().map(|offset| Delivery {
            message: Message::default(),
            position: Position::new(offset.to_string()),
            seen_before: self.seen_before,
            receipt: Receipt::new(LogReceipt(
                offset,
                Arc::clone(&self.settled),
                Arc::clone(&self.revoked),
            )),
        }))
    }
}

type Noted = Arc<Mutex<Vec<(u64, Disposition)>>>;

fn log(count: u64, parked_max: usize) -> (Redeliver<Log>, Noted) {
    log_of(SeenBefore::No, count, parked_max)
}

fn log_of(seen_before: SeenBefore, count: u64, parked_max: usize) -> (Redeliver<Log>, Noted) {
    let settled = Noted::default();
    let revoked = Arc::default();
    let (left, noted) = ((0..count).collect(), Arc::clone(&settled));
    let log = Log { left, seen_before, settled: noted, revoked };
    (Redeliver::new(log, parked_max), settled)
}

async fn take(input: &mut Redeliver<Log>) -> Delivery {
    input.next().await.unwrap().expect("a delivery")
}

const SOON: Disposition = Disposition::Again { after: Duration::from_secs(5) };

#[tokio::test(start_paused = true)]
async fn comes_back_after_its_delay_and_the_log_is_told_only_at_the_end() {
    let (mut input, settled) = log(1, 8);
    let start = Instant::now();
    take(&mut input).await.receipt.settle(SOON).await.unwrap();
    let again = take(&mut input).await;
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(again.seen_before, SeenBefore::Times(1));
    assert!(settled.lock().unwrap().is_empty());
    again.receipt.settle(Disposition::Done).await.unwrap();
    assert_eq!(*settled.lock().unwrap(), [(0, Disposition::Done)]);
    assert!(input.next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_receipt_comes_back_at_once() {
    let (mut input, _) = log(1, 8);
    drop(take(&mut input).await);
    assert_eq!(take(&mut input).await.seen_before, SeenBefore::Times(1));
}

#[tokio::test(start_paused = true)]
async fn what_the_log_cannot_tell_is_said_once_and_then_how_often_it_came_from_here() {
    for (told, then) in
        [(SeenBefore::No, [1, 2]), (SeenBefore::Maybe, [1, 2]), (SeenBefore::Times(3), [4, 5])]
    {
        let (mut input, _) = log_of(told, 1, 8);
        let first = take(&mut input).await;
        assert_eq!(first.seen_before, told);
        drop(first);
        for times in then {
            assert_eq!(take(&mut input).await.seen_before, SeenBefore::Times(times), "{told:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_nothing_new_is_taken() {
    let (mut input, _) = log(3, 1);
    take(&mut input).await.receipt.settle(SOON).await.unwrap();
    assert_eq!(take(&mut input).await.position.as_str(), "0");
}

#[tokio::test(start_paused = true)]
async fn does_not_end_while_something_is_out() {
    let (mut input, _) = log(1, 8);
    let held = take(&mut input).await;
    let ended = tokio::time::timeout(Duration::from_mins(1), input.next()).await;
    assert!(ended.is_err(), "it waits for the delivery that is out");
    held.receipt.settle(Disposition::Done).await.unwrap();
    assert!(input.next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn those_that_come_back_at_once_do_not_keep_out_the_log() {
    let (mut input, _) = log(3, 8);
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let delivery = take(&mut input).await;
        seen.push(delivery.position.as_str().to_owned());
        delivery.receipt.settle(Disposition::Again { after: Duration::ZERO }).await.unwrap();
    }
    assert!(["0", "1", "2"].iter().all(|offset| seen.contains(&(*offset).to_owned())), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn what_became_somebody_elses_while_it_was_parked_is_not_handed_out() {
    let (mut input, settled) = log(2, 8);
    let revoked = Arc::clone(&input.inner.revoked);
    take(&mut input).await.receipt.settle(SOON).await.unwrap();
    let held = take(&mut input).await;
    revoked.store(true, Ordering::Relaxed);
    assert!(held.receipt.is_stale());
    drop(held);
    assert!(input.next().await.unwrap().is_none());
    assert!(settled.lock().unwrap().is_empty());
}
