//! What the tests share.

use std::{path::Path, time::Duration};

use async_nats::jetstream::{self, consumer};
use mailbridge_core::{Delivery, Error, Input, Needs, plugin::Plugin};
use mailbridge_nats::{Nats, Source, Target};
use mailbridge_testkit::server::NatsServer;
use serde_json::{Value, json};

pub const NEEDS: Needs =
    Needs { in_flight: 4, concluding: 0, deadline: Duration::from_millis(500) };
/// How long something that must happen may take.
pub const PROMPT: Duration = Duration::from_secs(10);

/// The plugin, with more settings than the address.
pub fn nats(url: &str, more: Value) -> Nats {
    let config = with(json!({ "servers": [url] }), more);
    Nats::new("events", serde_json::from_value(config).unwrap()).unwrap()
}

/// A source on MAIL, with more settings.
pub fn source(more: Value) -> Source {
    let source = json!({ "stream": "MAIL", "consumer": "worker", "subjects": ["mail.send"] });
    serde_json::from_value(with(source, more)).unwrap()
}

/// The first section, with the keys of the second added or replaced.
fn with(mut section: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("{more} is no section") };
    section.as_object_mut().unwrap().extend(more);
    section
}

pub fn target(target: Value) -> Target {
    serde_json::from_value(target).unwrap()
}

/// A source that makes what it needs, and whose deliveries come back after a second.
pub fn quick() -> Source {
    source(json!({ "create": true, "ack_wait": "1s" }))
}

pub async fn stranger(server: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

pub async fn publish(stranger: &jetstream::Context, count: usize) {
    for number in 0..count {
        let payload = format!("request {number}");
        stranger.publish("mail.send", payload.into()).await.unwrap().await.unwrap();
    }
}

/// The consumer as the server knows it.
pub async fn consumer(stranger: &jetstream::Context) -> consumer::Info {
    let stream = stranger.get_stream("MAIL").await.unwrap();
    stream.consumer_info("worker").await.unwrap()
}

pub async fn next(input: &mut Box<dyn Input>) -> Delivery {
    let next = tokio::time::timeout(PROMPT, input.next()).await.expect("something comes");
    next.unwrap().expect("a stream has no end")
}

/// The error by which an input ends.
pub async fn end(input: &mut Box<dyn Input>) -> Error {
    tokio::time::timeout(PROMPT, input.next()).await.expect("it ends").unwrap_err()
}

/// The error of a build that must fail.
pub fn failed<T>(result: Result<Box<T>, Error>) -> Error
where
    T: ?Sized,
{
    match result {
        Ok(_) => panic!("it was built"),
        Err(error) => error,
    }
}

/// Whether the plugin is let in: a build that is refused for want of a stream has been.
pub async fn lets_in(nats: &Nats) -> Result<(), Error> {
    match nats.input(&source(json!({ "create": true })), &NEEDS).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

pub fn write(folder: &Path, name: &str, content: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    file.to_str().unwrap().to_owned()
}
