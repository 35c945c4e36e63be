//! NATS JetStream, on a real nats-server of its own for each promise.
//!
//! Requests are published and outcomes are read with a bare client, as a stranger would.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    header::{HeaderName, HeaderValue, NATS_MESSAGE_ID},
    jetstream::{self, stream::StorageType},
};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use mailbridge_core::{
    Code, Error, Headers, Input, Keep, Message, Needs, Output, Result, StateStore,
    plugin::{Begin, Plugin, ReadBack},
};
use mailbridge_nats::{Nats, Source, Target};
use mailbridge_testkit::{conformance::World, server::NatsServer};
use serde_json::json;
use tokio::sync::Mutex;

mailbridge_testkit::promises!(NatsWorld::start().await);
mailbridge_testkit::promises_of_reading_back!(NatsWorld::start().await);

const REQUESTS: &str = "requests.conformance";
const OUTCOMES: &str = "outcomes.conformance";
const ACK_WAIT: Duration = Duration::from_secs(1);

/// One server, with a stream for the source and one for the target.
struct NatsWorld {
    server: Mutex<NatsServer>,
    nats: Nats,
    stranger: jetstream::Context,
    client: async_nats::Client,
}

impl NatsWorld {
    async fn start() -> Self {
        let server = NatsServer::start().await.unwrap();
        let url = server.url().to_owned();
        let config = serde_json::from_value(json!({ "servers": [url] })).unwrap();
        let client = async_nats::connect(&url).await.unwrap();
        let stranger = jetstream::new(client.clone());
        for (name, subject) in [("REQUESTS", REQUESTS), ("OUTCOMES", OUTCOMES)] {
            let stream = jetstream::stream::Config {
                name: name.to_owned(),
                subjects: vec![subject.to_owned()],
                storage: StorageType::File,
                ..jetstream::stream::Config::default()
            };
            stranger.create_stream(stream).await.unwrap();
        }
        let nats = Nats::new("events", config).unwrap();
        Self { server: Mutex::new(server), nats, stranger, client }
    }
}

fn requests() -> Source {
    let source = json!({
        "stream": "REQUESTS", "consumer": "worker", "subjects": [REQUESTS],
        "create": true, "ack_wait": "1s",
    });
    serde_json::from_value(source).unwrap()
}

fn outcomes() -> Target {
    serde_json::from_value(json!({ "subject": OUTCOMES })).unwrap()
}

fn broken(what: &'static str, cause: &dyn std::fmt::Display) -> Error {
    Error::transient(Code::Internal, what).with("cause", cause)
}

#[async_trait]
impl World for NatsWorld {
    fn comes_back_within(&self) -> Duration {
        ACK_WAIT + Duration::from_millis(500)
    }

    fn drops_repeats(&self) -> bool {
        true
    }

    async fn input(&self, needs: Needs) -> Result<Box<dyn Input>> {
        let source = requests();
        self.nats.check_source(&source, &needs)?;
        self.nats.input(&source, &needs).await
    }

    async fn publish(&self, message: Message) -> Result<()> {
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers.iter() {
            let value = std::str::from_utf8(value).unwrap();
            headers
                .append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
        }
        if let Some(id) = &message.id {
            headers.insert(NATS_MESSAGE_ID, id.as_str());
        }
        let sent = self.stranger.publish_with_headers(REQUESTS, headers, message.payload).await;
        let confirmed = sent.map_err(|error| broken("the stranger cannot publish", &error))?.await;
        confirmed.map(drop).map_err(|error| broken("nothing confirms the stranger", &error))
    }

    async fn output(&self) -> Result<Box<dyn Output>> {
        self.nats.output(&outcomes()).await
    }

    async fn published(&self) -> Result<Vec<Message>> {
        let unreadable = |error: async_nats::Error| broken("the target cannot be read", &error);
        let stream =
            self.stranger.get_stream("OUTCOMES").await.map_err(|e| unreadable(e.into()))?;
        let reader = jetstream::consumer::pull::Config::default();
        let reader = stream.create_consumer(reader).await.map_err(|e| unreadable(e.into()))?;
        let stored = reader.fetch().max_messages(1000).messages().await;
        let mut stored = stored.map_err(|e| unreadable(e.into()))?;
        let mut messages = Vec::new();
        while let Some(message) = stored.try_next().await.map_err(unreadable)? {
            let message = message.message;
            let mut headers = Headers::new();
            for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
                for value in values {
                    headers.push(name.to_string(), value.as_str().as_bytes().to_vec());
                }
            }
            messages.push(Message { headers, payload: message.payload, ..Message::default() });
        }
        Ok(messages)
    }

    async fn read_back(&self, name: &str, begin: Begin) -> Result<ReadBack> {
        self.nats.read_back(&outcomes(), name, begin).await
    }

    async fn write_back(&self) -> Result<Box<dyn Output>> {
        self.nats.write_back(&requests()).await
    }

    async fn store(&self) -> Result<Box<dyn StateStore>> {
        let store = serde_json::from_value(json!({ "bucket": "state", "create": true }));
        self.nats.store(&store.unwrap(), Keep::Forever).await
    }

    async fn restart(&self) -> Result<()> {
        let mut server = self.server.lock().await;
        server.stop().await.map_err(|error| broken("the server does not stop", &error))?;
        server.start_again().await.map_err(|error| broken("the server does not start", &error))?;
        // The suite asks for ports at once, as no host does: wait until there is a connection.
        while self.client.flush().await.is_err()
            || self.stranger.query_account().await.is_err()
            || self.nats.output(&outcomes()).await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
