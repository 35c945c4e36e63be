//! Streams of a nats-server.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{self, consumer::pull, message::StreamMessage, stream},
};
use futures_util::StreamExt as _;
use mailbridge_core::{Headers, Message};
use mailbridge_testkit::server::NatsServer;

use super::{EVENTS, OUTCOMES, REQUESTS};
use crate::rig::{SOON, until};

/// By which the server drops repeats.
const ID: &str = "Nats-Msg-Id";
/// Messages that are asked for at once.
const AHEAD: usize = 64;

pub struct Streams {
    pub server: NatsServer,
    pub jetstream: jetstream::Context,
}

impl Streams {
    pub async fn start(payload_max: Option<usize>) -> Self {
        let config = payload_max.map(|bytes| format!("max_payload: {bytes}"));
        let server = NatsServer::with_config(&config.unwrap_or_default()).await;
        let server = server.expect("a nats-server");
        let client = async_nats::connect(server.url()).await.expect("a connection");
        Self { server, jetstream: jetstream::new(client) }
    }

    /// What is published from now on, stored or dropped.
    pub async fn watch(&self, subjects: &'static str) -> async_nats::Subscriber {
        let client = async_nats::connect(self.server.url()).await.expect("a connection");
        let watching = client.subscribe(subjects).await.expect("a subscription");
        client.flush().await.expect("the server knows");
        watching
    }

    pub async fn make(&self, what: &str) {
        let config = stream::Config {
            name: what.into(),
            subjects: vec![subject(what).replace("{mailbox}", ">")],
            duplicate_window: Duration::from_mins(10),
            ..stream::Config::default()
        };
        self.jetstream.create_stream(config).await.expect("a stream");
    }

    pub async fn make_requests(&self) {
        let requests = stream::Config {
            name: REQUESTS.into(),
            subjects: vec!["mail.send.>".into()],
            retention: stream::RetentionPolicy::WorkQueue,
            ..stream::Config::default()
        };
        let requests = self.jetstream.create_stream(requests).await.expect("a stream");
        let consumer = pull::Config {
            durable_name: Some("mailbridge".into()),
            ack_wait: Duration::from_secs(12),
            max_ack_pending: 10_000,
            filter_subject: "mail.send.>".into(),
            ..pull::Config::default()
        };
        requests.create_consumer(consumer).await.expect("a consumer");
    }

    pub fn section(&self) -> String {
        format!("{{ nats: {{ servers: [\"{}\"] }} }}", self.server.url())
    }

    pub fn source() -> String {
        format!(
            "{{ bus: events, stream: {REQUESTS}, consumer: mailbridge, \
             subjects: [\"mail.send.>\"] }}"
        )
    }

    pub fn target(what: &str) -> String {
        format!("{{ bus: events, subject: \"{}\" }}", subject(what))
    }

    pub async fn publish(&self, message: Message) {
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers.iter() {
            headers.append(name, std::str::from_utf8(value).expect("text"));
        }
        if let Some(id) = message.id {
            headers.insert(ID, id.as_str());
        }
        let published =
            self.jetstream.publish_with_headers("mail.send.test", headers, message.payload);
        published.await.expect("sent").await.expect("stored");
    }

    pub async fn messages(&self, what: &str) -> Vec<Message> {
        let mut stream = self.jetstream.get_stream(what).await.expect("the stream");
        let state = stream.info().await.expect("stream info").state.clone();
        if state.messages == 0 {
            return Vec::new();
        }
        let sequences = futures_util::stream::iter(state.first_sequence..=state.last_sequence);
        let messages = sequences.map(|sequence| stream.get_raw_message(sequence)).buffered(AHEAD);
        messages.map(|message| as_core_has_it(message.expect("a message"))).collect().await
    }

    pub async fn stored(&self, what: &str) -> u64 {
        let mut stream = self.jetstream.get_stream(what).await.expect("the stream");
        stream.info().await.expect("stream info").state.messages
    }

    pub async fn drained(&self, within: Duration) {
        let stream = self.jetstream.get_stream(REQUESTS).await.expect("the stream");
        let mut consumer =
            stream.get_consumer::<pull::Config>("mailbridge").await.expect("the consumer");
        until(within, "the consumer has nothing left", async || {
            let info = consumer.info().await.expect("consumer info");
            info.num_pending == 0 && info.num_ack_pending == 0
        })
        .await;
        // the server removes what was acknowledged a moment after it has counted that
        until(SOON, "nothing is left", async || self.stored(REQUESTS).await == 0).await;
    }
}

fn subject(what: &str) -> &'static str {
    match what {
        OUTCOMES => "mail.outcome",
        EVENTS => "mail.event.{mailbox}",
        _ => "mail.dead",
    }
}

fn as_core_has_it(message: StreamMessage) -> Message {
    let mut headers = Headers::new();
    for (name, values) in message.headers.iter() {
        for value in values {
            headers.push(name.to_string(), value.as_str().to_owned());
        }
    }
    let id = headers.get(ID).map(str::to_owned);
    headers.set(ID, None);
    Message { id, headers, payload: message.payload, ..Message::default() }
}
