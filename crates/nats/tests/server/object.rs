//! Files in the object store.

use std::io::Cursor;

use async_nats::jetstream::object_store::Config;
use mailbridge_core::{Code, Verdict, plugin::Plugin};
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

#[tokio::test]
async fn a_file_is_in_the_bucket_once_it_is_whole() {
    let server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let store = nats.file_store("files", false).unwrap();
    let error = store.create("a", None).await.err().expect("no bucket yet");
    assert_eq!(error.code(), Code::FileStoreUnavailable);
    assert!(error.to_string().contains("nats object add files"), "{error}");

    let config = Config { bucket: "files".to_owned(), ..Config::default() };
    let bucket = stranger.create_object_store(config).await.unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[0] ^ 7).collect();
    let mut broken = store.create("box/one.pdf", None).await.unwrap();
    for piece in content.chunks(100_000).take(20) {
        broken.write(piece.to_vec().into()).await.unwrap();
    }
    drop(broken);
    assert!(bucket.info("box/one.pdf").await.is_err(), "half a file is none");

    let files = nats.files().unwrap();
    for all in [&content[..], &content[..10], &[]] {
        let mut writer = store.create("box/one.pdf", Some("application/pdf")).await.unwrap();
        for piece in all.chunks(100_000) {
            writer.write(piece.to_vec().into()).await.unwrap();
        }
        let url = writer.finish().await.unwrap();
        assert_eq!(url, "nats-object://files/box/one.pdf");
        let file = files.open(&url).await.unwrap();
        assert_eq!(file.bytes, all.len() as u64);
        assert_eq!(file.content_type.as_deref(), Some("application/pdf"));
        let half = file.bytes / 2;
        let read = files.read(&file, half..file.bytes).await.unwrap();
        let from = usize::try_from(half).unwrap();
        assert_eq!(read, all[from..]);
    }
}

#[tokio::test]
async fn a_bucket_is_made_if_that_was_asked_for_and_pieces_fit_the_server() {
    let server = NatsServer::with_config("max_payload: 16384").await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let store = || nats.file_store("files", true).unwrap();
    let (one, two) = (store(), store());
    let (one, two) = tokio::join!(one.create("one", None), two.create("two", None));
    let content = vec![7; 500_000];
    for writer in [one, two] {
        let mut writer = writer.unwrap();
        for piece in content.chunks(200_000) {
            writer.write(piece.to_vec().into()).await.unwrap();
        }
        let url = writer.finish().await.unwrap();
        assert_eq!(nats.files().unwrap().open(&url).await.unwrap().bytes, 500_000);
    }
    let bucket = stranger.get_stream("OBJ_files").await.unwrap();
    assert_eq!(bucket.cached_info().config.description.as_deref(), Some("made by mailbridge"));
}

#[tokio::test]
async fn a_server_that_is_gone_is_not_a_bucket_that_is_missing() {
    let mut server = NatsServer::start().await.unwrap();
    let (stranger, nats) = (stranger(&server).await, nats(server.url(), json!({})));
    let config = Config { bucket: "files".to_owned(), ..Config::default() };
    stranger.create_object_store(config).await.unwrap();
    let store = nats.file_store("files", true).unwrap();
    let mut writer = store.create("one", None).await.unwrap();
    server.stop().await.unwrap();
    let written = writer.write(vec![7; 100].into()).await;
    let error = match written {
        Ok(()) => writer.finish().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.code(), Code::FileStoreUnavailable);
    assert!(matches!(error.verdict(), Verdict::Transient { .. }), "{error:?}");
    let error = store.create("two", None).await.err().unwrap();
    assert_eq!((error.code(), error.field("command")), (Code::FileStoreUnavailable, None));
}
