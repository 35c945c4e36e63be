//! The thread that reads a topic of state to its end, again and again, and what it shares with those
//! who use the store.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use mailbridge_core::{Code, Error, Result};
use rdkafka::{
    Message as _,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
    producer::FutureRecord,
    types::RDKafkaErrorCode as Kafka,
};
use tokio::sync::{broadcast, oneshot, watch};

use super::{
    fold::{Effect, Fold, Proposal},
    write,
};
use crate::{
    client::{ASK_TIMEOUT, Link, Watch},
    error,
};

/// Signals that a listener may be late by; the oldest are lost to it then.
const SIGNALS_MAX: usize = 256;
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long the end of the log may show no record before one is written to be read there.
const UNREAD_MAX: Duration = Duration::from_millis(100);
/// How often what nobody asks for any more is forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// What the reader and its users share.
pub(super) struct Shared {
    lot: Mutex<Lot>,
    wake: Condvar,
    news: watch::Sender<u64>,
    /// Signals: the topic, and what is told.
    pub signals: broadcast::Sender<(Arc<str>, Bytes)>,
}

#[derive(Default)]
pub(super) struct Lot {
    pub fold: Fold,
    /// Those who wait for what becomes of their proposal.
    awaited: HashMap<String, oneshot::Sender<Effect>>,
    /// Questions for the end of the log: how many were put, how many are answered.
    asked: u64,
    answered: u64,
    /// When the end was last reached.
    pub reached: Option<Instant>,
    failed: Option<Error>,
    stopped: bool,
    woken: bool,
}

impl Lot {
    /// Announces a proposal, so that its effect is told.
    pub fn expect(&mut self, name: &str) -> oneshot::Receiver<Effect> {
        let (told, effect) = oneshot::channel();
        self.awaited.insert(name.to_owned(), told);
        effect
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            lot: Mutex::default(),
            wake: Condvar::new(),
            news: watch::Sender::default(),
            signals: broadcast::Sender::new(SIGNALS_MAX),
        }
    }
}

impl Shared {
    pub fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wake(&self) {
        self.lot().woken = true;
        self.wake.notify_all();
    }

    fn sleep(&self, at_most: Duration) {
        let woken = self.wake.wait_timeout_while(self.lot(), at_most, |lot| !lot.woken);
        woken.unwrap_or_else(PoisonError::into_inner).0.woken = false;
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Ends the reader.
    pub fn stop(&self) {
        self.lot().stopped = true;
        self.wake();
    }

    /// Whether it is of any use.
    pub fn is_well(&self) -> bool {
        let lot = self.lot();
        lot.failed.is_none() && !lot.stopped
    }

    fn fail(&self, error: Error) {
        self.lot().failed.get_or_insert(error);
        self.tell();
    }

    /// Nobody waits for it any more.
    pub fn forget(&self, name: &str) {
        self.lot().awaited.remove(name);
    }

    /// Returns once everything is applied that stood in the log when this was called.
    pub async fn catch_up(&self) -> Result<()> {
        let mut news = self.news.subscribe();
        let question = {
            let mut lot = self.lot();
            lot.asked += 1;
            lot.asked
        };
        self.wake();
        let answered = async {
            loop {
                news.borrow_and_update();
                {
                    let lot = self.lot();
                    if let Some(error) = &lot.failed {
                        return Err(error.clone());
                    }
                    if lot.answered >= question {
                        return Ok(());
                    }
                }
                // the sender is in `self`
                news.changed().await.ok();
            }
        };
        let late = |_| {
            let detail = "the end of the state's log was not reached in time";
            Err(Error::transient(Code::StateFailed, detail))
        };
        tokio::time::timeout(2 * ASK_TIMEOUT, answered).await.unwrap_or_else(late)
    }
}

/// The consumer with its thread's own state.
pub(super) struct Reader {
    pub consumer: BaseConsumer<Watch>,
    pub link: Arc<Link>,
    pub shared: Arc<Shared>,
    pub topic: String,
    /// How long a value is remembered at least, where not forever.
    pub keep: Option<Duration>,
    /// The questions that were put before the end was looked up, that end, and when.
    pub looked_up: Option<(u64, u64, Instant)>,
    pub forgotten_at: Instant,
}

impl Reader {
    /// Runs until nobody needs it, or it fails.
    pub fn run(mut self) {
        loop {
            {
                let lot = self.shared.lot();
                if lot.stopped || lot.failed.is_some() {
                    return;
                }
            }
            self.poll();
            self.answer();
            self.tidy();
            self.shared.sleep(SLEEP_MAX);
        }
    }

    fn poll(&self) {
        // an event hides what comes after it; a second nothing is nothing
        let mut nothing = 0;
        while nothing < 2 {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(record)) => {
                    nothing = 0;
                    self.apply(&record);
                }
                Some(Err(failure)) => self.failed(&failure),
                None => nothing += 1,
            }
        }
        // the ends of transactions have offsets too, which no record shows
        let position = self.consumer.position().ok();
        let position =
            position.and_then(|all| all.find_partition(&self.topic, 0)?.offset().to_raw());
        if let Some(next) = position.and_then(|next| u64::try_from(next).ok()) {
            self.shared.lot().fold.reach(next);
        }
    }

    fn apply(&self, record: &BorrowedMessage<'_>) {
        let Ok(offset) = u64::try_from(record.offset()) else { return };
        let time_ms = record.timestamp().to_millis().unwrap_or_default();
        let name = record.key().and_then(|key| std::str::from_utf8(key).ok());
        let mut lot = self.shared.lot();
        let Some(name) = name else { return lot.fold.skip(offset, time_ms) };
        if record.payload().is_none() {
            return lot.fold.strike(name, offset, time_ms);
        }
        if let Some(topic) = name.strip_prefix(write::SIGNAL) {
            let told = (topic.into(), Bytes::copy_from_slice(record.payload().unwrap_or_default()));
            // nobody need be listening
            self.shared.signals.send(told).ok();
            return lot.fold.skip(offset, time_ms);
        }
        let Some(proposal) = read(record, name, offset, time_ms) else {
            tracing::warn!(topic = %self.topic, offset, "a record of state is not one of ours");
            return lot.fold.skip(offset, time_ms);
        };
        let effect = lot.fold.apply(proposal);
        if let Some(waits) = lot.awaited.remove(name) {
            // whoever waited may have given up
            waits.send(effect).ok();
        }
    }

    fn failed(&self, failure: &KafkaError) {
        let code = failure.rdkafka_error_code().unwrap_or(Kafka::Fail);
        let fatal = matches!(failure, KafkaError::MessageConsumptionFatal(_));
        let gone = matches!(
            code,
            Kafka::UnknownTopicOrPartition
                | Kafka::UnknownTopic
                | Kafka::TopicAuthorizationFailed
                | Kafka::SaslAuthenticationFailed
                | Kafka::Authentication
                | Kafka::SSL
                | Kafka::AutoOffsetReset
        );
        if fatal || gone {
            let error = error::coded("the topic of state cannot be read", code);
            self.shared.fail(error.with("topic", &self.topic));
        }
    }

    /// Answers those who wait for the end of the log.
    fn answer(&mut self) {
        let (asked, answered, next) = {
            let lot = self.shared.lot();
            (lot.asked, lot.answered, lot.fold.next())
        };
        if self.looked_up.is_none() && asked > answered {
            match self.consumer.fetch_watermarks(&self.topic, 0, ASK_TIMEOUT) {
                Ok((_, end)) => {
                    let end = u64::try_from(end).unwrap_or_default();
                    self.looked_up = Some((asked, end, Instant::now()));
                    self.poll();
                }
                Err(failure) => {
                    // asked again with the next round, for as long as somebody waits
                    let topic = &self.topic;
                    tracing::debug!(topic, %failure, "the end of the state's log is not told");
                    return;
                }
            }
        }
        let Some((question, end, at)) = self.looked_up else { return };
        let mut lot = self.shared.lot();
        if lot.fold.next() >= end {
            lot.answered = question;
            lot.reached = Some(Instant::now());
            drop(lot);
            self.looked_up = None;
            self.shared.tell();
            // for those who asked meanwhile
            self.shared.wake();
        } else if lot.fold.next() == next && at.elapsed() > UNREAD_MAX {
            drop(lot);
            // what stood there last was compacted away: with one more, there is an end to read
            self.looked_up = Some((question, end, Instant::now()));
            write::strike(&self.link, &self.topic, "#");
        }
    }

    fn tidy(&mut self) {
        let Some(keep) = self.keep else { return };
        if self.forgotten_at.elapsed() > FORGET_EVERY {
            self.forgotten_at = Instant::now();
            let age_ms = i64::try_from(2 * keep.as_millis()).unwrap_or(i64::MAX);
            self.shared.lot().fold.forget(age_ms);
        }
    }
}

/// Reads a proposal, if it is one.
fn read(record: &BorrowedMessage<'_>, name: &str, offset: u64, time_ms: i64) -> Option<Proposal> {
    let headers = record.headers()?;
    let text = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    let seen = text(write::SEEN)?.parse().ok()?;
    let expects = match text(write::EXPECTS) {
        Some(offset) => Some(offset.parse().ok()?),
        None => None,
    };
    let value = match text(write::KIND)? {
        write::PUT => Some(Bytes::copy_from_slice(record.payload()?)),
        write::DELETE => None,
        _ => return None,
    };
    Some(Proposal { name: name.to_owned(), offset, time_ms, seen, expects, value })
}

/// A record of state.
pub(super) type Record<'a> = FutureRecord<'a, str, [u8]>;
