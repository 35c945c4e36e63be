//! Records of a client that nobody here wrote: Apache Kafka's own console producer.

use std::{io::Write as _, process::Stdio};

use mailbridge_testkit::server::KafkaServer;

use super::rig::{Plan, Rig};
use crate::rig::LOAD;

fn produce(server: &KafkaServer, rig: &Rig, properties: &[&str], lines: &str) {
    let mut tool = server.tool("org.apache.kafka.tools.ConsoleProducer");
    tool.args(["--bootstrap-server", &rig.broker, "--topic", &rig.topic("send")]);
    for property in properties {
        tool.args(["--property", property]);
    }
    let tool = tool.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tool = tool.spawn().expect("the console producer");
    tool.stdin.take().expect("its input").write_all(lines.as_bytes()).expect("written");
    assert!(tool.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_console_producer_writes_as_events_is_sent() {
    let rig = Rig::new(Plan::default()).await;
    let _worker = rig.start();
    {
        let shared = mailbridge_testkit::server::shared_kafka().await.expect("a broker");
        let server = shared.in_use().await;
        let binary = "ce_specversion:1.0,ce_id:7,ce_source:/shop,ce_type:order.mail,\
                      content-type:application/json\tk\t\
                      {\"to\":[\"a@example.org\"],\"subject\":\"binary\",\"text\":\"t\"}\n";
        let properties = ["parse.key=true", "parse.headers=true"];
        produce(&server, &rig, &properties, binary);
        let structured = "{\"specversion\":\"1.0\",\"id\":\"8\",\"source\":\"/shop\",\
                          \"type\":\"order.mail\",\"datacontenttype\":\"application/json\",\
                          \"data\":{\"to\":[\"a@example.org\"],\"subject\":\"structured\",\
                          \"text\":\"t\"}}\n";
        let structured = format!("content-type:application/cloudevents+json\tk\t{structured}");
        produce(&server, &rig, &properties, &structured);
        let plain = "{\"to\":[\"a@example.org\"],\"subject\":\"zstd\",\"text\":\"t\"}\n";
        produce(&server, &rig, &["compression.type=zstd"], plain);
    }
    rig.sent(3, LOAD).await;
    let subjects: Vec<_> = rig.copies().into_keys().collect();
    assert_eq!(subjects, ["binary", "structured", "zstd"]);
}
