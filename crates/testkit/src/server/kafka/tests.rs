//! The launcher against the real server.

use std::io::Write as _;
use std::path::Path;

use super::*;

/// Writes lines with Kafka's own producer, and fails as it does.
fn produce(server: &KafkaServer, lines: &str) {
    let mut tool = server.tool("org.apache.kafka.tools.ConsoleProducer");
    tool.args(["--bootstrap-server", &server.broker(), "--topic", "kept"]);
    let mut tool = tool.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    tool.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(tool.wait().unwrap().success());
}

fn consume(server: &KafkaServer, count: usize) -> String {
    let mut tool = server.tool("org.apache.kafka.tools.consumer.ConsoleConsumer");
    tool.args(["--bootstrap-server", &server.broker(), "--topic", "kept", "--from-beginning"]);
    tool.args(["--max-messages", &count.to_string(), "--timeout-ms", "20000"]);
    String::from_utf8(tool.output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn records_survive_a_stop_and_a_kill_on_the_same_port_and_a_dropped_server_is_gone() {
    let properties = vec![
        ("auto.create.topics.enable".to_owned(), "true".to_owned()),
        ("num.partitions".to_owned(), "1".to_owned()),
    ];
    let options = KafkaOptions { properties, ..KafkaOptions::default() };
    let mut server = KafkaServer::start_with(options).await.unwrap();
    let broker = server.broker();
    produce(&server, "before the stop\n");
    server.stop().await.unwrap();
    assert!(TcpStream::connect(&broker).is_err(), "still there after the stop");
    server.start_again().await.unwrap();
    produce(&server, "before the kill\n");
    server.kill().await.unwrap();
    server.start_again().await.unwrap();
    assert_eq!(server.broker(), broker);
    assert_eq!(consume(&server, 2), "before the stop\nbefore the kill\n");

    let (id, folder) = (server.id().unwrap(), server.folder.path().to_owned());
    drop(server);
    assert!(!Path::new(&format!("/proc/{id}")).exists());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_wrong_setting_is_shown_with_what_the_server_says() {
    let properties = vec![("num.io.threads".to_owned(), "none".to_owned())];
    let options = KafkaOptions { properties, ..KafkaOptions::default() };
    let error = KafkaServer::start_with(options).await.unwrap_err().to_string();
    assert!(error.contains("num.io.threads"), "{error}");
}
