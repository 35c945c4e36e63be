//! Events and a value of state in one Kafka transaction.
//!
//! Each share of the work has a transactional id. Who begins to commit for a share initialises its
//! producer, by which the brokers abort what another has open there and refuse what that one does
//! later; then it reads the state to its end. So what it finds to stand is what stands, until it is
//! itself refused. The value goes into the transaction last, so that the state's log waits for no
//! event (`docs/adr`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use mailbridge_core::{Code, Error, Put, Result, Revision};
use rdkafka::{
    error::KafkaError,
    producer::{FutureProducer, Producer as _},
    types::RDKafkaErrorCode as Kafka,
};
use tokio::sync::Mutex as Turn;

use super::{
    lots::{self, Lots, Placed, delivered},
    refused,
};
use crate::{
    client::{ASK_TIMEOUT, Connector, Watch, blocking, unusable},
    error,
    state::{KafkaStore, Proposed},
};

/// How long a transaction may be open. Who reads what is committed waits so long for what a worker
/// leaves that is killed in the middle, unless another takes its share over before.
const OPEN_MAX: &str = "10000";
/// A record must be with the brokers in less than that.
const SENT_WITHIN: &str = "8000";
/// How long the brokers may take to begin and to end.
const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// How long others may have open what they began before.
const READ_WITHIN: Duration = Duration::from_secs(8);
const READ_AGAIN: Duration = Duration::from_millis(20);
/// How long a request waits at first that the brokers are not ready for, such as the first of a
/// transaction while they still end the one before; longer each time.
const AGAIN_AFTER_MS: &str = "10";
/// A lot of records is one batch for each partition, and there is time to hand it over whole.
const BATCH_BYTES: &str = "1000000";
const LINGER_MS: &str = "5";
const WHAT: &str = "the brokers did not commit the events";

type Producer = Arc<FutureProducer<Watch>>;

/// Commits, share by share.
pub(super) struct Commits {
    connector: Arc<Connector>,
    store: Arc<KafkaStore>,
    lots: Lots,
    /// What is committed by, and by one at a time. Without a producer, the share is not ours.
    shares: Mutex<HashMap<String, Arc<Turn<Option<Producer>>>>>,
}

/// A value that goes with the records.
pub(super) struct Value<'a> {
    pub key: &'a str,
    pub bytes: &'a Bytes,
    pub expected: Option<Revision>,
}

/// Why a transaction came to nothing, or nobody knows whether it did.
pub(super) enum Failure {
    /// Another has taken the share over.
    Fenced,
    /// So many records were too large together, and smaller lots may do.
    Together,
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Commits {
    pub fn new(connector: &Arc<Connector>, store: Arc<KafkaStore>) -> Self {
        Self {
            connector: Arc::clone(connector),
            store,
            lots: Lots::new(),
            shares: Mutex::default(),
        }
    }

    /// See [`mailbridge_core::Output::commit`].
    pub async fn commit(
        &self,
        share: &str,
        records: &[Placed<'_>],
        value: Value<'_>,
    ) -> Result<Put> {
        let turn = {
            let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shares.entry(share.to_owned()).or_default())
        };
        let mut turn = turn.lock().await;
        loop {
            // whoever breaks off here leaves the share without a producer, as after a failure
            let producer = match turn.take() {
                Some(producer) => producer,
                None => self.take_over(share).await?,
            };
            let Some(proposed) = self.store.proposal(value.key, value.expected) else {
                *turn = Some(producer);
                return Ok(Put::Conflict);
            };
            let failure = match self.transact(&producer, records, &proposed, value.bytes).await {
                Ok(offset) => {
                    // the share stays ours only with this read back: the next commit builds on it
                    let stands = self.store.settle(proposed, offset).await?;
                    *turn = Some(producer);
                    return Ok(stands.map_or(Put::Conflict, Put::Stored));
                }
                Err(failure) => failure,
            };
            // librdkafka leaves a gap in its numbers after a record that was refused, over which the
            // next transaction would fall: the next producer ends what this one left open
            discard(producer).await?;
            match failure {
                Failure::Together => {}
                Failure::Failed(error) => return Err(error),
                Failure::Fenced => {
                    tracing::info!(share, "another worker commits for this share of the work now");
                    return Ok(Put::Conflict);
                }
            }
        }
    }

    /// A producer for a share, that nobody else commits for from now on.
    async fn take_over(&self, share: &str) -> Result<Producer> {
        let mut client = self.connector.producer(BATCH_BYTES, LINGER_MS).await?;
        client
            // where the log ends is to be told with what is open
            .set("isolation.level", "read_uncommitted")
            .set("transactional.id", format!("{}/{share}", self.store.topic()))
            .set("transaction.timeout.ms", OPEN_MAX)
            .set("retry.backoff.ms", AGAIN_AFTER_MS)
            .set("message.timeout.ms", SENT_WITHIN);
        let producer = client.create_with_context(self.connector.watch().await?);
        let producer: Producer = Arc::new(producer.map_err(|error| unusable(&error))?);
        let begun = self.ask(&producer, |it| it.init_transactions(ENDED_WITHIN)).await?;
        if let Err(failure) = begun {
            discard(producer).await?;
            return Err(error::failed("the brokers did not begin a transaction", &failure));
        }
        self.read_all(&producer).await?;
        Ok(producer)
    }

    /// Reads the state to where its log ends now, whatever others have open before that: what was
    /// committed behind what is open is not read earlier, and stands all the same.
    async fn read_all(&self, producer: &Producer) -> Result<()> {
        let (asked, topic) = (Arc::clone(producer), self.store.topic().to_owned());
        let end = blocking(move || asked.client().fetch_watermarks(&topic, 0, ASK_TIMEOUT)).await?;
        let (_, end) = end.map_err(|failure| error::failed(WHAT, &failure))?;
        let give_up = Instant::now() + READ_WITHIN;
        while self.store.read_up_to() < u64::try_from(end).unwrap_or_default() {
            if Instant::now() > give_up {
                let detail = "a worker that was killed has left a transaction open; the brokers \
                              will end it";
                return Err(Error::transient(Code::StateFailed, detail));
            }
            tokio::time::sleep(READ_AGAIN).await;
            self.store.catch_up().await?;
        }
        Ok(())
    }

    /// Asks until it is decided, or for as long as that may take.
    async fn ask(
        &self,
        producer: &Producer,
        ask: impl Fn(&FutureProducer<Watch>) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<Result<(), KafkaError>> {
        let producer = Arc::clone(producer);
        blocking(move || {
            let give_up = Instant::now() + ENDED_WITHIN;
            loop {
                match ask(&producer) {
                    Err(KafkaError::Transaction(failure))
                        if failure.is_retriable() && Instant::now() < give_up => {}
                    decided => return decided,
                }
            }
        })
        .await
    }

    /// The offset of the value, once everything is committed.
    async fn transact(
        &self,
        producer: &Producer,
        records: &[Placed<'_>],
        proposed: &Proposed,
        value: &Bytes,
    ) -> Result<i64, Failure> {
        let filled = async {
            let begun = producer.begin_transaction();
            begun.map_err(|failure| error::failed(WHAT, &failure))?;
            self.lots.send(producer, records).await?;
            let record = proposed.record(self.store.topic(), value);
            let sent = producer.send_result(record);
            Ok(sent.map_err(|(failure, _)| refused(lots::code(&failure)))?)
        };
        let sent = match filled.await {
            Ok(sent) => sent,
            Err(failure) => return Err(self.abort(producer, failure).await),
        };
        // sends what waits first
        let committed = self.ask(producer, |it| it.commit_transaction(ENDED_WITHIN)).await?;
        match committed {
            Ok(()) => Ok(delivered(sent).await.map_err(refused)?),
            Err(KafkaError::Transaction(failure)) if failure.txn_requires_abort() => {
                Err(self.abort(producer, error::coded(WHAT, failure.code()).into()).await)
            }
            Err(_) if is_fenced(producer) => Err(Failure::Fenced),
            Err(failure) => Err(refused(lots::code(&failure)).into()),
        }
    }

    /// Nobody waits then for what is of no use any more; if it fails, not for long.
    async fn abort(&self, producer: &Producer, why: Failure) -> Failure {
        let aborted = self.ask(producer, |it| it.abort_transaction(ENDED_WITHIN)).await;
        if let Ok(Err(failure)) = aborted {
            tracing::debug!(%failure, "a transaction was not aborted");
        }
        if is_fenced(producer) { Failure::Fenced } else { why }
    }
}

fn is_fenced(producer: &Producer) -> bool {
    let failed = producer.client().fatal_error();
    failed.is_some_and(|(code, _)| {
        let fenced = [Kafka::Fenced, Kafka::ProducerFenced, Kafka::InvalidProducerEpoch];
        fenced.contains(&code)
    })
}

/// Lets a producer go, which may take a moment.
async fn discard(producer: Producer) -> Result<()> {
    blocking(move || drop(producer)).await
}
