//! What a connection counts, by the names and labels that dashboards rest on.

use mailbridge_core::{Doubt, Guarantee::AtLeastOnce};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::{
    scene::{PLAIN, Scene},
    stub::{Asked, Reply},
};

#[tokio::test]
async fn requests_tokens_and_throttles_are_counted_and_no_mailbox_is_named() {
    let recorder = PrometheusBuilder::new().build_recorder();
    // for this thread, which runs all of the test
    let _installed = metrics::set_default_local_recorder(&recorder);
    let scene = Scene::new(|asked: &Asked| {
        if asked.target.contains("slow") { Reply::status(429) } else { Reply::status(202) }
    })
    .await;
    let send = |mailbox| scene.send_from(mailbox, PLAIN, AtLeastOnce, Doubt::None);
    assert!(send("a@x.org").await.is_ok());
    assert!(send("b@x.org").await.is_ok());
    assert!(send("slow@x.org").await.is_err());
    let told = recorder.handle().render();
    let counted = |metric: &str, labels: &str, count: u32| {
        let line = format!("{metric}{{connection=\"contoso\"{labels}}} {count}");
        assert!(told.lines().any(|found| found == line), "{line}\nin\n{told}");
    };
    let requests = "mailbridge_graph_requests_total";
    counted(requests, r#",operation="send_mail",status="202""#, 2);
    counted(requests, r#",operation="send_mail",status="429""#, 1);
    counted("mailbridge_graph_request_seconds_count", r#",operation="send_mail""#, 3);
    counted("mailbridge_token_requests_total", r#",result="ok""#, 1);
    counted("mailbridge_graph_throttled_total", "", 1);
    assert!(!told.contains("x.org"));
}
