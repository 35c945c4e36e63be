//! The clients of one configured bus.
//!
//! librdkafka connects, and connects again, by itself and for ever. Here is what it does not do:
//! reading secrets for each client, and telling in the log and in errors why a broker cannot be
//! reached.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use mailbridge_core::{
    Error, Result,
    plugin::{Tokens, WantsTokens},
};
use rdkafka::{
    ClientConfig, ClientContext,
    admin::AdminClient,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::KafkaError,
    producer::{FutureProducer, Producer as _},
    types::RDKafkaErrorCode,
};
use tokio::time::Instant;

use crate::{
    config::{Config, Mechanism, Sasl, Tls},
    error, options,
    token::Token,
};

/// How long the brokers may take to answer a question about topics.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// What is kept on its way to the brokers, at most. Beyond it, publishing waits.
const QUEUED_KBYTES_MAX: &str = "65536";
/// A topic's limit is for what is sent together: what fits alone must not be refused for the company
/// it came in (kafka.apache.org, topic configuration, `max.message.bytes`).
const BATCH_BYTES_MAX: &str = "65536";
/// How long a record waits for company.
const LINGER_MS: &str = "1";
/// Longer than any topic takes: the topic's own limit is what counts.
const MESSAGE_BYTES_MAX: &str = "104857600";

/// Makes clients.
pub(crate) struct Connector {
    pub bus: Arc<str>,
    config: Config,
    /// The user's own options, checked.
    options: BTreeMap<String, String>,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
    /// A connection's, where the brokers ask for them.
    pub tokens: OnceLock<Arc<dyn Tokens>>,
}

/// The one producer of a bus, by which topics are looked up too.
pub(crate) struct Link {
    pub producer: FutureProducer<Watch>,
    watch: Watch,
}

impl Connector {
    /// Checks what can be checked offline.
    pub fn new(bus: &str, config: Config) -> Result<Self> {
        config.check()?;
        let options = options::checked(&config)?;
        let (link, tokens) = (tokio::sync::Mutex::default(), OnceLock::new());
        Ok(Self { bus: bus.into(), config, options, link, tokens })
    }

    /// See [`mailbridge_core::plugin::Plugin::wants_tokens`].
    pub fn wants_tokens(&self) -> Option<WantsTokens> {
        self.config.wants_tokens()
    }

    /// The configuration of any client: the user's options, and over them what they cannot change.
    ///
    /// # Errors
    /// `credential_unreadable`.
    pub async fn client(&self) -> Result<ClientConfig> {
        let mut client = ClientConfig::new();
        client
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("log.connection.close", "false");
        client.extend(self.options.clone());
        client.set("bootstrap.servers", self.config.brokers.join(","));
        client.set("client.id", &self.config.client_id);
        client.set_log_level(RDKafkaLogLevel::Info);
        let Config { tls, sasl, .. } = &self.config;
        if let Some(Tls { ca, cert, key, key_password }) = tls {
            let files = [("ssl.ca", ca), ("ssl.certificate", cert), ("ssl.key", key)];
            for (name, path) in files {
                if let Some(path) = path {
                    client.set(format!("{name}.location"), path.to_string_lossy());
                }
            }
            if let Some(password) = key_password {
                client.set("ssl.key.password", password.read().await?.expose());
            }
        }
        if let Some(Sasl { mechanism, user, password, .. }) = sasl {
            let mechanism = match mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
                Mechanism::OAuthBearer => "OAUTHBEARER",
            };
            client.set("sasl.mechanism", mechanism);
            if let (Some(user), Some(password)) = (user, password) {
                client.set("sasl.username", user);
                client.set("sasl.password", password.read().await?.expose());
            }
        }
        let protocol = match (tls.is_some(), sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        Ok(client)
    }

    /// What follows a client of this bus.
    ///
    /// # Errors
    /// `credential_unreadable`, where the brokers ask for a token and there is none.
    pub async fn watch(&self) -> Result<Watch> {
        let token = match (self.config.sasl.as_ref(), self.tokens.get()) {
            (Some(Sasl { token: Some(source), .. }), _) => Some(Token::read_from(source).await?),
            (Some(sasl), Some(tokens)) if sasl.is_token() => {
                Some(Token::got_from(Arc::clone(tokens)).await?)
            }
            _ => None,
        };
        Ok(Watch { bus: Arc::clone(&self.bus), last: Arc::default(), token: token.map(Arc::new) })
    }

    /// A client that makes topics and reads their settings; none where the brokers ask for tokens,
    /// since rust-rdkafka's admin client has nobody to hand it new ones.
    pub async fn admin(&self) -> Result<Option<AdminClient<Watch>>> {
        if self.config.sasl.as_ref().is_some_and(Sasl::is_token) {
            return Ok(None);
        }
        let admin = self.client().await?.create_with_context(self.watch().await?);
        admin.map(Some).map_err(|failure| unusable(&failure))
    }

    /// The producer, made now if there is none, or if the last one has failed for good.
    pub async fn link(&self) -> Result<Arc<Link>> {
        let mut link = self.link.lock().await;
        if let Some(link) = link.as_ref().filter(|link| link.is_usable()) {
            return Ok(Arc::clone(link));
        }
        let watch = self.watch().await?;
        let producer = self.producer(BATCH_BYTES_MAX, LINGER_MS).await?;
        let producer = producer.create_with_context(watch.clone());
        let producer = producer.map_err(|error| unusable(&error))?;
        Ok(Arc::clone(link.insert(Arc::new(Link { producer, watch }))))
    }

    /// The configuration of any producer. The user's own options go before what is given here.
    pub async fn producer(&self, batch_bytes: &str, linger_ms: &str) -> Result<ClientConfig> {
        let mut client = self.client().await?;
        client.set("enable.idempotence", "true");
        for (name, value) in [
            ("message.max.bytes", MESSAGE_BYTES_MAX),
            ("queue.buffering.max.kbytes", QUEUED_KBYTES_MAX),
            ("batch.size", batch_bytes),
            ("linger.ms", linger_ms),
            ("message.timeout.ms", "30000"),
        ] {
            if !self.options.contains_key(name) {
                client.set(name, value);
            }
        }
        Ok(client)
    }
}

/// librdkafka takes the options one by one and not together, or a file cannot be read.
pub(crate) fn unusable(error: &KafkaError) -> Error {
    use mailbridge_core::Code;
    let detail = "librdkafka cannot make a client of this configuration";
    let says = match error {
        KafkaError::ClientCreation(says) | KafkaError::ClientConfig(_, says, ..) => says.clone(),
        other => other.to_string(),
    };
    Error::blocked(Code::ConfigInvalid, detail).with("says", says)
}

impl Link {
    /// How many partitions a topic has; none if it does not exist.
    ///
    /// # Errors
    /// `bus_unreachable`, `bus_unauthorized`, with the reason that librdkafka gave meanwhile.
    pub async fn partitions(self: &Arc<Self>, topic: &str) -> Result<Option<usize>> {
        let (link, name) = (Arc::clone(self), topic.to_owned());
        let since = Instant::now();
        let asked = blocking(move || link.look_up(&name)).await?;
        asked.map_err(|failure| self.watch.explain(since, failure).with("topic", topic))
    }

    fn look_up(&self, topic: &str) -> Result<Option<usize>, RDKafkaErrorCode> {
        let fail = RDKafkaErrorCode::Fail;
        let client = self.producer.client();
        let metadata = client.fetch_metadata(Some(topic), ASK_TIMEOUT);
        let metadata = metadata.map_err(|error| error.rdkafka_error_code().unwrap_or(fail))?;
        let Some(found) = metadata.topics().iter().find(|it| it.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::NoError) if !found.partitions().is_empty() => {
                Ok(Some(found.partitions().len()))
            }
            None
            | Some(
                RDKafkaErrorCode::NoError
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic,
            ) => Ok(None),
            Some(code) => Err(code),
        }
    }

    fn is_usable(&self) -> bool {
        !self.watch.has_failed()
    }
}

/// Runs what blocks on a thread for such things.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Error::transient(mailbridge_core::Code::Internal, "a call to librdkafka panicked")
    })
}

/// Follows what a client has to say. Clones are one.
#[derive(Clone)]
pub(crate) struct Watch {
    bus: Arc<str>,
    last: Arc<Mutex<Last>>,
    token: Option<Arc<Token>>,
}

#[derive(Default)]
struct Last {
    /// The latest complaint that says why, and when it came.
    reason: Option<(Instant, RDKafkaErrorCode, String)>,
    /// The client itself is of no use any more: its credentials were refused, or it says so.
    failed: bool,
}

impl Watch {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_failed(&self) -> bool {
        self.last().failed
    }

    /// A failure, with the reason that was told since: that nobody answers in time is only how a
    /// refused password or a wrong certificate shows.
    pub fn explain(&self, since: Instant, code: RDKafkaErrorCode) -> Error {
        let what = "the brokers could not be asked";
        let silent = error::passes(code);
        let error = match &self.last().reason {
            Some((at, reason, says)) if silent && *at >= since => {
                error::coded(what, *reason).with("cause", says)
            }
            _ => error::coded(what, code),
        };
        error.with("bus", &self.bus)
    }

    /// Notes a complaint.
    pub fn note(&self, code: RDKafkaErrorCode, says: &str) {
        use RDKafkaErrorCode as Kafka;
        let bus = &self.bus;
        let name = error::name(code);
        // librdkafka tries again for ever, and says each time that it did
        if matches!(code, Kafka::AllBrokersDown | Kafka::BrokerTransportFailure) {
            tracing::debug!(%bus, kafka_error = name, says, "kafka is not reached");
        } else {
            tracing::warn!(%bus, kafka_error = name, says, "kafka reports a failure");
        }
        let mut last = self.last();
        last.failed |= matches!(code, Kafka::Authentication | Kafka::SaslAuthenticationFailed)
            || matches!(code, Kafka::SSL | Kafka::Fatal);
        // that all are down comes after the reason for it
        if code != Kafka::AllBrokersDown || last.reason.is_none() {
            last.reason = Some((Instant::now(), code, says.to_owned()));
        }
    }
}

impl ClientContext for Watch {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let bus = &self.bus;
        tracing::debug!(target: "librdkafka", %bus, ?level, facility, text, "librdkafka says");
    }

    fn error(&self, error: KafkaError, says: &str) {
        self.note(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), says);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn StdError>> {
        let token = self.token.as_ref().ok_or("no token is configured")?;
        Ok(token.get()?)
    }
}

impl ConsumerContext for Watch {}
