//! Records of every shape that other clients write.

use mailbridge_core::{Code, Settled, plugin::Plugin};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use serde_json::json;

use crate::rig::{NEEDS, done, make, next, plugin, rig, source, take, target, unique};

/// What this build of librdkafka reads and writes.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_is_read_and_may_be_written() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("codecs"));
    make(&kafka, &topic, json!({ "partitions": 1 })).await;
    let from = source(json!({ "topics": [topic], "group": topic }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    for codec in CODECS {
        // long enough that compressing pays: what does not is sent as it is
        let text = codec.repeat(2000);
        let options = json!({ "options": { "compression.codec": codec } });
        let ours = plugin(&rig.server.broker(), options);
        let output = ours.output(&target(json!({ "topic": topic }))).await.unwrap();
        let payload = text.clone().into();
        output.publish(mailbridge_core::Message { payload, ..Default::default() }).await.unwrap();
        let (read, delivery) = take(&mut input, 1).await.remove(0);
        assert_eq!(read, text, "{codec}");
        assert_eq!(done(delivery).await, Settled::Yes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_no_codec_is_refused_offline() {
    let config = json!({ "brokers": ["a:1"], "options": { "compression.codec": "brotli" } });
    let error = mailbridge_kafka::Kafka::new("log", serde_json::from_value(config).unwrap());
    let error = error.err().unwrap();
    assert_eq!(error.code(), Code::ConfigInvalid, "{error:?}");
    assert_eq!(error.field("key"), Some("options.compression.codec"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_value_without_key_and_with_headers_of_any_bytes_they_are_as_they_were() {
    let rig = rig().await;
    let (kafka, topic) = (rig.kafka(), unique("shapes"));
    make(&kafka, &topic, json!({ "partitions": 1 })).await;
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", rig.server.broker()).create().unwrap();
    let tombstone = FutureRecord::<[u8], [u8]>::to(&topic).key(b"gone");
    let empty = FutureRecord::<[u8], [u8]>::to(&topic).key(b"").payload(b"");
    let headers = OwnedHeaders::new()
        .insert(Header { key: "latin-1", value: Some(&b"gr\xfc\xdfe"[..]) })
        .insert(Header { key: "null", value: None::<&[u8]> })
        .insert(Header { key: "again", value: Some(&b"1"[..]) })
        .insert(Header { key: "again", value: Some(&b"2"[..]) });
    let bytes = FutureRecord::<[u8], [u8]>::to(&topic).payload(&[0xff, 0]).headers(headers);
    for record in [tombstone, empty, bytes] {
        producer.send(record, Timeout::Never).await.unwrap();
    }
    let from = source(json!({ "topics": [topic], "group": topic }));
    let mut input = kafka.input(&from, &NEEDS).await.unwrap();
    for (key, payload) in [(Some(&b"gone"[..]), &b""[..]), (Some(b""), b""), (None, &[0xff, 0])] {
        let delivery = next(&mut input).await;
        assert_eq!(delivery.message.key.as_deref(), key);
        assert_eq!(&delivery.message.payload[..], payload);
        let headers = delivery.message.headers.clone();
        if key.is_none() {
            let all: Vec<_> =
                headers.iter().map(|(name, value)| (name, value.as_ref().to_vec())).collect();
            let expected: [(&str, &[u8]); 4] =
                [("latin-1", b"gr\xfc\xdfe"), ("null", b""), ("again", b"1"), ("again", b"2")];
            assert_eq!(all, expected.map(|(name, value)| (name, value.to_vec())));
            assert_eq!(headers.get("latin-1"), None, "it is no text");
        }
        assert_eq!(done(delivery).await, Settled::Yes);
    }
}
