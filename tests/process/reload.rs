//! A configuration that changes while the program runs: what is meant is followed, what is wrong is
//! told, and nobody else notices.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::PathBuf};

use mailbridge_sandbox::DEMO_DOMAIN;
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    bus::On,
    rig::{LOAD, Plan, Rig, SOON, free_port, http_client, mailbox, plain, request, until},
};

/// The configuration file of a test, which can be changed.
struct File {
    path: PathBuf,
    text: String,
    versions: u32,
}

impl File {
    fn of(rig: &Rig) -> Self {
        let path = rig.launch.folder().join("config.yaml");
        let text = fs::read_to_string(&path).expect("the file");
        Self { path, text, versions: 0 }
    }

    /// Has the file's name lead to another text, as a mounted ConfigMap does.
    fn link(&mut self, text: &str) {
        self.versions += 1;
        let version = self.path.with_file_name(format!("version-{}.yaml", self.versions));
        fs::write(&version, text).expect("another file");
        let link = self.path.with_file_name("link");
        symlink(&version, &link).expect("a link");
        fs::rename(&link, &self.path).expect("a rename");
    }

    /// The file with another pipeline, to which requests are posted.
    fn with_desk(&self, http: SocketAddr) -> String {
        let desk = format!(
            "  desk:
    requests:
      from: {{ bus: desk, http: \"{http}\" }}
      connection: contoso
      mailbox: noreply@{DEMO_DOMAIN}
      allow_mailboxes: [\"*@{DEMO_DOMAIN}\"]
      outcomes: {{ bus: desk, http: \"{http}\" }}
      dead_letters: {{ bus: desk, path: dead.ndjson }}
"
        );
        self.text.replace("buses:\n", "buses:\n  desk: { local: {} }\n") + &desk
    }
}

async fn post(http: SocketAddr, n: usize) -> Option<StatusCode> {
    let post = http_client().post(format!("http://{http}/requests"));
    let body = request(n, &format!("noreply@{DEMO_DOMAIN}"));
    let post = post.header("content-type", "application/json").body(body);
    Some(post.send().await.ok()?.status())
}

/// What `/readyz` says of a pipeline.
async fn pipeline(rig: &Rig, name: &str) -> Option<Value> {
    let (_, body) = rig.readyz().await?;
    body["pipelines"].as_array()?.iter().find(|it| it["pipeline"] == name).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_come_change_and_go_beside_one_that_sends_on() {
    let rig = Rig::new(On::Nats, Plan::default()).await;
    let mut file = File::of(&rig);
    let mut program = rig.start();
    rig.green().await;
    let since = pipeline(&rig, "orders").await.expect("it runs")["since"].clone();
    rig.publish_load(0, 600, 50).await;

    let [first, second] = [free_port(), free_port()];
    file.link(&file.with_desk(first));
    until(SOON, "one has come", async || post(first, 9000).await.is_some()).await;
    rig.sent(601, LOAD).await;
    rig.publish_load(600, 600, 50).await;
    file.link(&file.with_desk(second));
    until(SOON, "it has changed", async || post(second, 9001).await.is_some()).await;
    assert_eq!(post(first, 9002).await, None, "it is no more where it was");
    rig.sent(1202, LOAD).await;
    rig.publish_load(1202, 600, 50).await;
    file.link(&file.text.clone());
    until(SOON, "it has gone", async || pipeline(&rig, "desk").await.is_none()).await;
    assert_eq!(post(second, 9003).await, None);

    rig.sent(1802, LOAD).await;
    rig.drained(LOAD).await;
    assert!(rig.copies().values().all(|copies| *copies == 1), "nothing is sent twice");
    for (key, outcomes) in rig.outcomes().await {
        assert_eq!(outcomes[0].data.attempts, 1, "{key}");
    }
    assert_eq!(pipeline(&rig, "orders").await.expect("it runs")["since"], since, "untouched");
    program.sigterm().expect("the same process all the time");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_changes_under_load_sends_everything_once() {
    let rig = Rig::new(On::Nats, Plan { args: vec!["--no-watch"], ..Plan::default() }).await;
    let file = File::of(&rig);
    rig.publish_load(0, 900, 30).await;
    let mut program = rig.start();
    for (sent, deadline) in [(200, 6), (400, 7), (600, 8)] {
        rig.sent(sent, LOAD).await;
        let text = file.text.replace("deadline: 5s", &format!("deadline: {deadline}s"));
        assert_ne!(text, file.text);
        fs::write(&file.path, text).expect("the file");
        program.forget_lines();
        program.sighup().expect("it runs");
        let changed = |line: &str| line.contains("was read again") && line.contains("orders");
        program.wait_for(changed, SOON).await.expect("it says so");
    }
    rig.drained(LOAD).await;
    rig.assert_exactly_once(900).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_mistakes_changes_nothing_and_is_told_until_it_is_right() {
    let rig = Rig::new(On::Nats, Plan { args: vec!["--no-watch"], ..Plan::default() }).await;
    let file = File::of(&rig);
    let mut program = rig.start();
    rig.green().await;
    let gauge = "mailbridge_config_last_reload_successful";
    assert!(rig.metrics().await.contains(&format!("{gauge} 1")));

    // nobody looks, so nothing is said before somebody asks
    fs::write(&file.path, file.text.replace("guarantee: once", "guarantee: twice"))
        .expect("a file");
    program.sighup().expect("it runs");
    until(SOON, "it is refused", async || rig.metrics().await.contains(&format!("{gauge} 0")))
        .await;
    let told = rig.status().await["config"]["refused"]["mistakes"].to_string();
    assert!(told.contains("config.yaml:") && told.contains("guarantee"), "{told}");
    let refused = |line: &str| line.contains("the configuration is refused");
    program.wait_for(refused, SOON).await.expect("it says so");
    rig.publish(plain(request(1, &mailbox(1)))).await;
    rig.sent(1, SOON).await;

    fs::write(&file.path, format!("{}log: {{ level: debug }}\n", file.text)).expect("a file");
    program.sighup().expect("it runs");
    until(SOON, "it is right", async || rig.metrics().await.contains(&format!("{gauge} 1"))).await;
    let restart = |line: &str| line.contains("read at the start only") && line.contains("log");
    program.wait_for(restart, SOON).await.expect("it says what it does not follow");
    assert_eq!(rig.status().await["config"]["refused"], Value::Null);
    let metrics = rig.metrics().await;
    for result in ["refused", "unchanged"] {
        let counted = format!("mailbridge_config_reloads_total{{result=\"{result}\"}} 1");
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
    }
    rig.publish(plain(request(2, &mailbox(1)))).await;
    rig.sent(2, SOON).await;
    program.sigterm().expect("the same process all the time");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
}
