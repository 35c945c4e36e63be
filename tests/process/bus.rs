//! The bus of a test's world, one surface over all: a nats-server of its own, or topics on a Kafka
//! broker. What only one of them has is not here.

mod kafka;
mod nats;

use std::time::Duration;

use mailbridge_core::Message;
use mailbridge_testkit::server::NatsServer;

pub use self::{
    kafka::{Place, Topics},
    nats::Streams,
};

/// Where requests stand.
pub const REQUESTS: &str = "send";
/// Where outcomes go.
pub const OUTCOMES: &str = "outcome";
/// Where events of mailboxes go.
pub const EVENTS: &str = "events";
/// Where dead letters go.
pub const DEAD: &str = "dead";

/// Which bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Nats,
    Kafka,
}

/// Makes tests of functions whose promise does not depend on the bus: one over each of them.
macro_rules! over_each_bus {
    ($($test:ident),+ $(,)?) => {
        crate::bus::over_each_bus!(@ over_nats Nats $($test)+);
        crate::bus::over_each_bus!(@ over_kafka Kafka $($test)+);
    };
    (@ $over:ident $on:ident $($test:ident)+) => {
        mod $over {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(crate::bus::On::$on).await;
                }
            )+
        }
    };
}
pub(crate) use over_each_bus;

impl On {
    /// Of a load that is large for the sake of what happens meanwhile: over Kafka a part of it does,
    /// since each request that stood there before the first worker came is looked for.
    pub fn part_of(self, load: usize) -> usize {
        if self == Self::Nats { load } else { load / 5 }
    }
}

/// A bus that runs.
pub enum Bus {
    Nats(Box<Streams>),
    Kafka(Box<Topics>),
}

impl Bus {
    /// `payload_max`: bytes of the largest message, where it is more than the bus takes by itself.
    pub async fn start(on: On, payload_max: Option<usize>) -> Self {
        match on {
            On::Nats => Self::Nats(Box::new(Streams::start(payload_max).await)),
            On::Kafka => Self::Kafka(Box::new(Topics::shared(payload_max).await)),
        }
    }

    /// Makes what requests are sent by, and read from by one pipeline.
    pub async fn make_requests(&self) {
        match self {
            Self::Nats(nats) => nats.make_requests().await,
            Self::Kafka(kafka) => kafka.make_topic(REQUESTS, kafka::PARTITIONS).await,
        }
    }

    /// Makes what something is published to.
    pub async fn make(&self, what: &str) {
        match self {
            Self::Nats(nats) => nats.make(what).await,
            Self::Kafka(kafka) => kafka.make_topic(what, 1).await,
        }
    }

    /// The section of the bus `events`.
    pub fn section(&self) -> String {
        match self {
            Self::Nats(nats) => nats.section(),
            Self::Kafka(kafka) => kafka.section(),
        }
    }

    /// What `state` says.
    pub fn state(&self) -> String {
        match self {
            Self::Nats(_) => "{ bus: events, bucket: mailbridge, create: true }".to_owned(),
            Self::Kafka(kafka) => {
                format!("{{ bus: events, topic: \"{}\", create: true }}", kafka.topic("state"))
            }
        }
    }

    /// What a pipeline's `from` says.
    pub fn source(&self) -> String {
        match self {
            Self::Nats(_) => Streams::source(),
            Self::Kafka(kafka) => kafka.source(),
        }
    }

    /// How something is named as a target.
    pub fn target(&self, what: &str) -> String {
        match self {
            Self::Nats(_) => Streams::target(what),
            Self::Kafka(kafka) => kafka.target(what),
        }
    }

    /// What positions of requests begin with.
    pub fn positions(&self) -> String {
        match self {
            Self::Nats(_) => format!("nats:{REQUESTS}/"),
            Self::Kafka(kafka) => format!("kafka:{}/", kafka.topic(REQUESTS)),
        }
    }

    /// Publishes a request, and waits until it is stored.
    pub async fn publish(&self, message: Message) {
        match self {
            Self::Nats(nats) => nats.publish(message).await,
            Self::Kafka(kafka) => kafka.publish(message).await,
        }
    }

    /// Everything that was published to something, as whoever reads it has it.
    pub async fn messages(&self, what: &str) -> Vec<Message> {
        match self {
            Self::Nats(nats) => nats.messages(what).await,
            Self::Kafka(kafka) => kafka.messages(what),
        }
    }

    /// How many [`Self::messages`] there are.
    pub async fn stored(&self, what: &str) -> u64 {
        match self {
            Self::Nats(nats) => nats.stored(what).await,
            Self::Kafka(kafka) => kafka.stored(what),
        }
    }

    /// Whether so many [`Self::messages`] are there: asked again and again, until they are.
    pub async fn holds(&self, what: &str, count: u64) -> bool {
        let may = match self {
            Self::Nats(_) => true,
            Self::Kafka(kafka) => kafka.length(what) >= count,
        };
        may && self.stored(what).await >= count
    }

    /// How many requests are not done.
    pub async fn waiting(&self) -> u64 {
        match self {
            Self::Nats(nats) => nats.stored(REQUESTS).await,
            Self::Kafka(kafka) => kafka.waiting(),
        }
    }

    /// Waits until every request is done, and nothing of it is left.
    pub async fn drained(&self, within: Duration) {
        match self {
            Self::Nats(nats) => nats.drained(within).await,
            Self::Kafka(kafka) => kafka.drained(within).await,
        }
    }

    /// For a test of NATS alone.
    pub fn jetstream(&self) -> &async_nats::jetstream::Context {
        match self {
            Self::Nats(nats) => &nats.jetstream,
            Self::Kafka(_) => panic!("a test of NATS"),
        }
    }

    /// The server, for a test of NATS alone.
    pub fn nats(&mut self) -> &mut NatsServer {
        match self {
            Self::Nats(nats) => &mut nats.server,
            Self::Kafka(_) => panic!("a test of NATS"),
        }
    }
}
