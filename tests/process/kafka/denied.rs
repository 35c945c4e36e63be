//! Brokers that let somebody in to some topics and not to others: what is refused is named, and
//! nothing else is held up by it.

use std::{net::SocketAddr, process::Stdio};

use mailbridge_sandbox::DEMO_DOMAIN;
use mailbridge_testkit::{
    program::{Launch, Program},
    server::{KafkaOptions, KafkaServer},
};

use super::rig::{Plan, Rig};
use crate::rig::{SOON, free_port, http_client, mailbox, request, secret, until};

/// A broker that knows a user `guest`, and asks its lists whether he may.
async fn broker() -> KafkaServer {
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let properties = [
        ("listener.name.users.sasl.enabled.mechanisms", "PLAIN".to_owned()),
        (
            "listener.name.users.plain.sasl.jaas.config",
            format!("{module} required user_guest=\"guest\";"),
        ),
        ("authorizer.class.name", authorizer.to_owned()),
        ("super.users", "User:ANONYMOUS".to_owned()),
        ("allow.everyone.if.no.acl.found", "true".to_owned()),
    ];
    let options = KafkaOptions {
        doors: vec![("USERS".to_owned(), "SASL_PLAINTEXT".to_owned())],
        properties: properties.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..KafkaOptions::default()
    };
    KafkaServer::start_with(options).await.expect("a broker")
}

/// Denies the guest a topic, or takes that back.
fn deny(server: &KafkaServer, topic: &str, what: &str) {
    let mut tool = server.tool("org.apache.kafka.tools.AclCommand");
    tool.args(["--bootstrap-server", &server.broker(), what, "--force"]);
    tool.args(["--deny-principal", "User:guest", "--operation", "All", "--topic", topic]);
    let tool = tool.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(tool.status().expect("the tool").success());
}

/// A program with three pipelines: of a topic that may be denied, of one that is open, and of a bus
/// whose password is wrong.
fn start(server: &KafkaServer, rig: &Rig) -> (Program, SocketAddr) {
    let launch = Launch::mailbridge().expect("the program").args(["run"]);
    let (identity, _) = secret(&rig.sandbox, launch.folder());
    let (door, url) = (server.door("USERS").expect("a door"), rig.sandbox.base_url());
    let http = free_port();
    let bus = |name: &str, password: &str| {
        let path = launch.folder().join(name);
        std::fs::write(&path, password).expect("a password file");
        format!(
            "  {name}: {{ kafka: {{ brokers: [\"{door}\"], sasl: {{ mechanism: plain, user: guest, \
             password: {{ file: {} }} }} }} }}",
            path.display()
        )
    };
    let dead = rig.topic("dead");
    let pipeline = |name: &str, bus: &str, topic: &str| {
        format!(
            "  {name}:\n    requests:\n      \
             from: {{ bus: {bus}, topics: [\"{topic}\"], group: {name} }}\n      \
             connection: contoso\n      mailbox: noreply@{DEMO_DOMAIN}\n      \
             allow_mailboxes: [\"*@{DEMO_DOMAIN}\"]\n      \
             dead_letters: {{ bus: right, topic: \"{dead}\" }}\n      \
             deadline: 5s\n      settle_time: 5s\n"
        )
    };
    let config = format!(
        "http: {{ listen: \"{http}\" }}\nconnections:\n  contoso:\n{identity}\n    \
         cloud: {{ login: \"{url}\", graph: \"{url}\" }}\nbuses:\n{}\n{}\npipelines:\n{}{}{}",
        bus("right", "guest"),
        bus("wrong", "guessed"),
        pipeline("denied", "right", &rig.topic("send")),
        pipeline("open", "right", &rig.topic("open")),
        pipeline("stranger", "wrong", &rig.topic("open")),
    );
    let launch = launch.config(&config).expect("a configuration");
    (launch.start().expect("it starts"), http)
}

/// Waits until `/readyz` says this of a pipeline.
async fn says(http: SocketAddr, pipeline: &str, wanted: &[&str]) {
    until(SOON, &format!("/readyz says {wanted:?} of {pipeline}"), async || {
        let answer = http_client().get(format!("http://{http}/readyz")).send().await;
        let Ok(answer) = answer else { return false };
        let Ok(body) = answer.text().await else { return false };
        let status: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let all = status["pipelines"].as_array().cloned().unwrap_or_default();
        let of = all.iter().find(|it| it["pipeline"] == pipeline);
        of.is_some_and(|of| wanted.iter().all(|wanted| of.to_string().contains(wanted)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_denied_and_a_wrong_password_stop_no_other_pipeline() {
    let server = broker().await;
    let rig = Rig::over(&server.broker(), Plan::default()).await;
    rig.make_topic("open", 1).await;
    deny(&server, &rig.topic("send"), "--add");
    let (program, http) = start(&server, &rig);
    let topic = rig.topic("send");
    says(http, "denied", &["bus_unauthorized", "TOPIC_AUTHORIZATION_FAILED", &topic, "cure"]).await;
    says(http, "stranger", &["bus_unauthorized", "SASL", "cure"]).await;
    rig.produce("k", request(0, &mailbox(0)).as_bytes()).await;
    rig.produce_to("open", "k", request(1, &mailbox(1)).as_bytes()).await;
    rig.sent(1, SOON).await;
    assert_eq!(rig.copies().into_keys().collect::<Vec<_>>(), ["r1"]);
    // once it is cured, nobody has to do anything here
    deny(&server, &topic, "--remove");
    rig.sent(2, SOON).await;
    says(http, "denied", &["\"state\":\"ready\""]).await;
    for line in program.lines() {
        assert!(!line.text.contains("guessed"), "a password is in the log");
    }
}
