//! One broker with a door of every kind, for all tests of this process.

use std::{path::Path, time::Duration};

use mailbridge_core::{Delivery, Disposition, Error, Input, Needs, Settled, plugin::Plugin};
use mailbridge_kafka::{Kafka, Source, Target};
use mailbridge_testkit::server::{KafkaOptions, KafkaServer};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::OnceCell, time::timeout};

pub const NEEDS: Needs =
    Needs { in_flight: 8, concluding: 0, deadline: Duration::from_millis(200) };
pub const PROMPT: Duration = Duration::from_secs(20);

pub struct Rig {
    pub server: KafkaServer,
    pub folder: TempDir,
}

/// The broker, started when it is first asked for.
pub async fn rig() -> &'static Rig {
    static RIG: OnceCell<Rig> = OnceCell::const_new();
    RIG.get_or_init(start).await
}

async fn start() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let module = "org.apache.kafka.common.security";
    let pem = |door: &str| {
        [
            (format!("listener.name.{door}.ssl.keystore.type"), "PEM".to_owned()),
            (format!("listener.name.{door}.ssl.keystore.location"), file("broker.pem")),
            (format!("listener.name.{door}.ssl.truststore.type"), "PEM".to_owned()),
            (format!("listener.name.{door}.ssl.truststore.location"), file("ca.pem")),
        ]
    };
    let more = [
        ("listener.name.mutual.ssl.client.auth".to_owned(), "required".to_owned()),
        (
            "listener.name.users.sasl.enabled.mechanisms".to_owned(),
            "PLAIN,SCRAM-SHA-256,OAUTHBEARER".to_owned(),
        ),
        (
            "listener.name.users.plain.sasl.jaas.config".to_owned(),
            format!(
                "{module}.plain.PlainLoginModule required user_bridge=\"secret\" \
                 user_guest=\"guest\";"
            ),
        ),
        (
            "listener.name.users.scram-sha-256.sasl.jaas.config".to_owned(),
            format!("{module}.scram.ScramLoginModule required;"),
        ),
        (
            "listener.name.users.oauthbearer.sasl.jaas.config".to_owned(),
            format!(
                "{module}.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"bridge\";"
            ),
        ),
        (
            "authorizer.class.name".to_owned(),
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        ),
        ("super.users".to_owned(), "User:ANONYMOUS;User:bridge".to_owned()),
        ("allow.everyone.if.no.acl.found".to_owned(), "true".to_owned()),
    ];
    let doors = [("TRUSTED", "SSL"), ("MUTUAL", "SSL"), ("USERS", "SASL_PLAINTEXT")];
    let options = KafkaOptions {
        doors: doors.map(|(name, protocol)| (name.to_owned(), protocol.to_owned())).to_vec(),
        properties: [pem("trusted"), pem("mutual")].concat().into_iter().chain(more).collect(),
        scram: vec![("bridge".to_owned(), "scrambled".to_owned())],
    };
    let server = KafkaServer::start_with(options).await.unwrap();
    Rig { server, folder }
}

/// An authority, and certificates of it for the broker and for us, as Kafka reads PEM.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    // or issuer and subject of the others would have one name, as of a certificate signed by itself
    params.distinguished_name.push(DnType::CommonName, "authority of the tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for name in ["broker", "client"] {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate =
            CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let both = format!("{}{}", key.serialize_pem(), certificate.pem());
        std::fs::write(folder.join(format!("{name}.pem")), both).unwrap();
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

impl Rig {
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A plugin that comes in by the open door.
    pub fn kafka(&self) -> Kafka {
        plugin(&self.server.broker(), json!({}))
    }

    /// A bare producer.
    pub fn producer(&self) -> FutureProducer {
        ClientConfig::new().set("bootstrap.servers", self.server.broker()).create().unwrap()
    }

    /// Produces numbered records to one partition.
    pub async fn produce(&self, topic: &str, partition: i32, numbers: std::ops::Range<u32>) {
        let producer = self.producer();
        for number in numbers {
            let payload = number.to_string();
            let record = FutureRecord::<(), str>::to(topic).partition(partition).payload(&payload);
            producer.send(record, Timeout::Never).await.unwrap();
        }
    }
}

pub fn plugin(broker: &str, mut more: Value) -> Kafka {
    let mut config = json!({
        "brokers": [broker],
        "options": { "session.timeout.ms": 3000, "heartbeat.interval.ms": 300 },
    });
    config.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    Kafka::new("log", serde_json::from_value(config).unwrap()).unwrap()
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4().simple())
}

pub fn source(value: Value) -> Source {
    serde_json::from_value(value).unwrap()
}

pub fn target(value: Value) -> Target {
    serde_json::from_value(value).unwrap()
}

/// Makes a topic.
pub async fn make(kafka: &Kafka, topic: &str, create: Value) {
    kafka.output(&target(json!({ "topic": topic, "create": create }))).await.unwrap();
}

pub async fn next(input: &mut Box<dyn Input>) -> Delivery {
    let next = timeout(PROMPT, input.next()).await.expect("something comes");
    next.unwrap().expect("a topic has no end")
}

/// The next so many, by their text.
pub async fn take(input: &mut Box<dyn Input>, count: usize) -> Vec<(String, Delivery)> {
    let mut taken = Vec::new();
    for _ in 0..count {
        let delivery = next(input).await;
        let text = String::from_utf8(delivery.message.payload.to_vec()).unwrap();
        taken.push((text, delivery));
    }
    taken
}

pub async fn done(delivery: Delivery) -> Settled {
    delivery.receipt.settle(Disposition::Done).await.unwrap()
}

/// The error of a build that must fail.
pub fn failed<T: ?Sized>(result: Result<Box<T>, Error>) -> Error {
    match result {
        Ok(_) => panic!("it was built"),
        Err(error) => error,
    }
}
