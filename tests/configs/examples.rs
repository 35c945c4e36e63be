//! The examples that take from a bus, run as they are against a real one: the ports differ, a sandbox
//! inside the process is the tenant, and streams that the file takes for granted are made. Those that the
//! guide's commands run are run there; how each credential signs in is tried by `process`.

use std::fs;

use crate::guide::World;

/// What an example leaves to whoever runs it, for one pipeline of one connection.
fn rest(connection: &str, pipeline: &str) -> String {
    format!(
        "
connections: {{ {connection}: {{ cloud: sandbox }} }}
buses: {{ events: {{ nats: {{ servers: [\"nats://127.0.0.1:4222\"] }} }} }}
pipelines:
  {pipeline}:
    requests:
      from: {{ create: true }}
      outcomes: {{ stream: MAIL_OUTCOMES, create: true }}
      dead_letters: {{ stream: MAIL_DEAD, create: true }}
"
    )
}

async fn started(world: &mut World, example: &str, rest: &str, ready: &str) {
    fs::write(world.folder().join("rest.yaml"), world.here(rest)).expect("a file");
    world.stay(&format!("mailbridge run configs/{example} rest.yaml"), example);
    world.shows(ready, example).await;
    world.stay("nats sub mail.outcome", example);
    world.shows("Subscribing on mail.outcome", example).await;
}

/// A request for a mailbox that the example allows.
fn request(key: &str, mailbox: &str) -> String {
    format!(
        r#"{{"id":"{key}","mailbox":"{mailbox}","to":"bob@example.org","text":"It is on its way."}}"#
    )
}

fn accepted(key: &str) -> String {
    format!("…\"type\":\"mailbridge.request.accepted\"…\"key\":\"{key}\"…")
}

/// On NATS: who they are differs, and what they do does not.
const ON_NATS: [(&str, &str, &str, &str); 4] = [
    ("two-tenants.yaml", "everyone", "letters", "news@fabrikam.example"),
    ("workload-identity.yaml", "contoso", "orders", "noreply@contoso.com"),
    ("managed-identity.yaml", "contoso", "orders", "noreply@contoso.com"),
    ("certificate.yaml", "contoso", "orders", "noreply@contoso.com"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_on_nats_send() {
    for (example, connection, pipeline, mailbox) in ON_NATS {
        let mut world = World::of("nats pub").await;
        let rest = rest(connection, pipeline);
        started(&mut world, example, &rest, "…\"made the consumer\"…").await;
        let publish = format!("nats pub mail.send.order '{}'", request("r1", mailbox));
        world.run(&publish, example).await;
        world.shows(&accepted("r1"), example).await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_shares_what_it_sends() {
    let example = "worker-pool.yaml";
    let mut world = World::of("nats pub").await;
    let rest = "connections: { contoso: { cloud: sandbox } }";
    started(&mut world, example, rest, "…\"made the consumer\"…").await;
    let second = "mailbridge run configs/worker-pool.yaml rest.yaml --http 127.0.0.1:8082";
    world.stay(second, example);
    world.shows("…\"mailboxes are shared\"…\"workers\":2…", example).await;
    let key = |n: usize| format!("r{n}");
    for n in 0..8 {
        let request = request(&key(n), "noreply@contoso.com");
        world.run(&format!("nats pub mail.send.order '{request}'"), example).await;
    }
    for n in 0..8 {
        world.shows(&accepted(&key(n)), example).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_kafka_to_nats() {
    let example = "kafka-to-nats.yaml";
    let mut world = World::of("nats pub --bootstrap-server").await;
    let rest = rest("contoso", "orders");
    started(&mut world, example, &rest, "…\"took a partition\"…").await;
    let produce = format!(
        "echo '{}' | kafka-console-producer.sh --bootstrap-server 127.0.0.1:9092 --topic mail.send",
        request("r1", "noreply@contoso.com")
    );
    world.run(&produce, example).await;
    world.shows(&accepted("r1"), example).await;
    world.end().await;
}
