//! Brokers that let us in by Entra's tokens, as Azure Event Hubs does: got by the credentials of the
//! connection that sends.

use std::{net::SocketAddr, time::Duration};

use mailbridge_sandbox::DEMO_DOMAIN;
use mailbridge_testkit::{
    program::{Launch, Program},
    server::{KafkaOptions, KafkaServer},
};

use super::rig::{Plan, Rig};
use crate::rig::{LOAD, SOON, free_port, http_client, mailbox, request, secret, until};

/// A broker with a door for those who have a token, which need not be signed.
async fn broker() -> KafkaServer {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
    let properties = [
        ("listener.name.tokens.sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
        (
            "listener.name.tokens.oauthbearer.sasl.jaas.config",
            format!("{module} required unsecuredLoginStringClaim_sub=\"broker\";"),
        ),
    ];
    let options = KafkaOptions {
        doors: vec![("TOKENS".to_owned(), "SASL_PLAINTEXT".to_owned())],
        properties: properties.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..KafkaOptions::default()
    };
    KafkaServer::start_with(options).await.expect("a broker")
}

const SCOPE: &str = "https://test.servicebus.windows.net/.default";

fn start(server: &KafkaServer, rig: &Rig, scope: &str) -> (Program, SocketAddr) {
    start_as("run", server, rig, scope)
}

fn start_as(command: &str, server: &KafkaServer, rig: &Rig, scope: &str) -> (Program, SocketAddr) {
    let launch = Launch::mailbridge().expect("the program").args([command]);
    let (identity, _) = secret(&rig.sandbox, launch.folder());
    let (door, url) = (server.door("TOKENS").expect("a door"), rig.sandbox.base_url());
    let [send, dead] = ["send", "dead"].map(|what| rig.topic(what));
    let http = free_port();
    let config = format!(
        r#"
http: {{ listen: "{http}" }}
connections:
  contoso:
{identity}
    cloud: {{ login: "{url}", graph: "{url}" }}
buses:
  hubs:
    kafka:
      brokers: ["{door}"]
      sasl: {{ mechanism: oauthbearer, connection: contoso, scope: "{scope}" }}
pipelines:
  orders:
    requests:
      from: {{ bus: hubs, topics: ["{send}"], group: orders }}
      connection: contoso
      mailbox: noreply@{DEMO_DOMAIN}
      allow_mailboxes: ["*@{DEMO_DOMAIN}"]
      dead_letters: {{ bus: hubs, topic: "{dead}" }}
      deadline: 5s
      settle_time: 5s
"#
    );
    let launch = launch.config(&config).expect("a configuration");
    (launch.start().expect("it starts"), http)
}

async fn ready(http: SocketAddr, wanted: &str) {
    until(SOON, &format!("/readyz says {wanted}"), async || {
        let answer = http_client().get(format!("http://{http}/readyz")).send().await;
        let Ok(answer) = answer else { return false };
        let body = answer.text().await.unwrap_or_default();
        body.contains(wanted)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connections_tokens_let_us_in_and_one_that_is_not_granted_is_told() {
    let server = broker().await;
    let rig = Rig::over(&server.broker(), Plan::default()).await;
    rig.produce("k", request(1, &mailbox(1)).as_bytes()).await;

    let (mut refused, http) = start(&server, &rig, "https://elsewhere.example/.default");
    ready(http, "\"ready\":false").await;
    ready(http, "AADSTS500011").await;
    refused.kill9().expect("it runs");
    assert_eq!(rig.handle().truth().sent_total(), 0);

    let (program, http) = start(&server, &rig, SCOPE);
    ready(http, "\"ready\":true").await;
    rig.sent(1, SOON).await;
    for line in program.lines() {
        assert!(!line.text.contains("eyJ"), "a token is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_got_anew_before_they_end_and_nobody_notices() {
    let server = broker().await;
    let sandbox = Plan::default().sandbox.token_lifetime(Duration::from_secs(20));
    let rig = Rig::over(&server.broker(), Plan { sandbox, ..Plan::default() }).await;
    let (program, http) = start(&server, &rig, SCOPE);
    ready(http, "\"ready\":true").await;
    for round in 1..=2 {
        let got = format!("{{connection=\"hubs\",result=\"ok\"}} {}", round + 1);
        until(LOAD, &format!("metrics say {got}"), async || {
            let answer = http_client().get(format!("http://{http}/metrics")).send().await;
            let Ok(answer) = answer else { return false };
            answer.text().await.is_ok_and(|text| text.contains(&got))
        })
        .await;
        rig.produce("k", request(round, &mailbox(1)).as_bytes()).await;
        rig.sent(round as u64, SOON).await;
    }
    ready(http, "\"ready\":true").await;
    let complaint = |text: &str| text.contains("the input failed") || text.contains("got no token");
    assert!(!program.lines().iter().any(|line| complaint(&line.text)), "{:?}", program.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_token_puts_dead_letters_back_too() {
    let server = broker().await;
    let rig = Rig::over(&server.broker(), Plan::default()).await;
    rig.produce("k", b"no request").await;
    let (mut program, _) = start(&server, &rig, SCOPE);
    until(SOON, "it is dead-lettered", async || rig.records("dead").len() == 1).await;
    program.kill9().expect("it runs");
    program.wait_exit(SOON).await.expect("it is gone");
    let (mut replay, _) = start_as("replay", &server, &rig, SCOPE);
    let ended = replay.wait_exit(SOON).await.expect("it ends");
    assert!(ended.success(), "{:?}", replay.lines());
    assert_eq!(rig.records("send").len(), 2, "{:?}", replay.lines());
}
