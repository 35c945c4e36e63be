//! Files in the object store.

use std::io::Cursor;

use async_nats::jetstream::object_store::Config;
use mailbridge_core::{Code, plugin::Plugin};
use mailbridge_testkit::server::NatsServer;
use serde_json::json;

use crate::rig::{nats, stranger};

#[tokio::test]
async fn an_object_is_read_in_ranges_and_changes_links_and_losses_are_told() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let config = Config { bucket: "files".to_owned(), ..Config::default() };
    let bucket = stranger.create_object_store(config).await.unwrap();
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[0] ^ 7).collect();
    bucket.put("a/Grüße.pdf", &mut Cursor::new(content.clone())).await.unwrap();
    let files = nats.files().unwrap();
    let url = "nats-object://files/a/Gr%C3%BC%C3%9Fe.pdf";
    let file = files.open(url).await.unwrap();
    assert_eq!(file.bytes, 1_000_000);
    for (from, to) in [(0, 300_000), (300_000, 999_999), (10, 20), (999_999, 1_000_000)] {
        let bytes = files.read(&file, from..to).await.unwrap();
        let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
        assert_eq!(bytes, content[from..to]);
    }
    bucket.put("a/Grüße.pdf", &mut Cursor::new(b"other")).await.unwrap();
    let code = files.read(&file, 0..1).await.unwrap_err().code();
    assert_eq!(code, Code::AttachmentChanged);
    let original = bucket.get("a/Grüße.pdf").await.unwrap();
    bucket.add_link("link", &original).await.unwrap();
    let code = async |url: &str| files.open(url).await.unwrap_err().code();
    assert_eq!(code("nats-object://files/link").await, Code::AttachmentNotAllowed);
    assert_eq!(code("nats-object://files/none").await, Code::AttachmentMissing);
    assert_eq!(code("nats-object://nobody/none").await, Code::AttachmentUnavailable);
    bucket.delete("a/Grüße.pdf").await.unwrap();
    assert_eq!(code(url).await, Code::AttachmentMissing);
}
