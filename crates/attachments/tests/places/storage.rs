//! Files that are put somewhere: into a folder, and into a bucket of something that speaks S3.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::Response,
};
use mailbridge_attachments::{Place, Storage};
use mailbridge_core::{Code, Error, FileStore, Result, Verdict};
use serde_json::json;

use crate::{content, files, serve, whole};

fn storage(place: serde_json::Value) -> Result<Storage> {
    let place: Place = serde_json::from_value(place).expect("a place");
    let no_bus = |_: &str, _: &str, _: bool| -> Result<Arc<dyn FileStore>> {
        Err(Error::permanent(Code::ConfigInvalid, "no bus is configured"))
    };
    Storage::new(&place, &std::collections::HashMap::new(), &no_bus)
}

async fn put(store: &dyn FileStore, name: &str, all: &[u8], piece: usize) -> Result<String> {
    let mut writer = store.create(name, Some("application/pdf")).await?;
    for piece in all.chunks(piece) {
        writer.write(piece.to_vec().into()).await?;
    }
    writer.finish().await
}

#[tokio::test]
async fn a_folder_has_a_file_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = format!("file://{}/mail", folder.path().display());
    let store = storage(json!(prefix)).unwrap();
    let mut broken = store.create("a/b/one.pdf", None).await.unwrap();
    broken.write(content(1_000_000).into()).await.unwrap();
    drop(broken);
    let inside = || std::fs::read_dir(folder.path().join("mail/a/b")).unwrap().count();
    assert_eq!(inside(), 0, "what broke off left nothing");

    let all = content(1_000_000);
    let url = put(&store, "a/b/one.pdf", &all, 60_000).await.unwrap();
    assert_eq!(url, format!("{prefix}/a/b/one.pdf"));
    let files = files(json!([prefix])).unwrap();
    assert!(whole(&files, &url, 300_000).await.unwrap() == all, "requests can refer to it");
    put(&store, "a/b/one.pdf", b"other", 5).await.unwrap();
    assert_eq!(whole(&files, &url, 300_000).await.unwrap(), b"other");
    assert_eq!(inside(), 1);
    put(&store, "empty", b"", 1).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("mail/empty")).unwrap(), b"");
}

#[tokio::test]
async fn no_name_leads_out_and_a_place_that_takes_nothing_is_passing() {
    let folder = tempfile::tempdir().unwrap();
    let store = storage(json!(format!("file://{}/mail/", folder.path().display()))).unwrap();
    for name in ["../x", "a/../../x", "/etc/x", "a//b", "", ".", "a/.", "a b", "https://x/y"] {
        let refused = store.create(name, None).await.err().expect(name);
        assert_eq!(refused.verdict(), Verdict::Permanent, "{name}");
    }
    std::fs::write(folder.path().join("mail"), "in the way").unwrap();
    let error = store.create("x", None).await.err().unwrap();
    assert_eq!(error.code(), Code::FileStoreUnavailable);
    assert!(matches!(error.verdict(), Verdict::Transient { .. }));
}

#[test]
fn a_place_that_takes_no_files_is_refused() {
    for (place, key) in [
        (json!("https://files.example/"), None),
        (json!({ "prefix": "nats-object://files/" }), Some("bus")),
        (json!({ "prefix": "s3://b/", "create": true }), Some("create")),
        (json!({ "prefix": "file:///srv/", "options": { "region": "x" } }), Some("options")),
        (json!({ "prefix": "s3://b/", "options": { "regoin": "x" } }), Some("options.regoin")),
    ] {
        let error = storage(place.clone()).expect_err("a refusal");
        assert_eq!((error.code(), error.field("key")), (Code::ConfigInvalid, key), "{place}");
    }
}

/// Objects by path, and parts of those that are not whole.
#[derive(Clone, Default)]
struct Bucket(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    objects: BTreeMap<String, (Vec<u8>, String)>,
    parts: BTreeMap<usize, Vec<u8>>,
    largest: usize,
    denies: bool,
}

async fn answer(State(bucket): State<Bucket>, request: Request) -> Response {
    let status = |status: StatusCode| Response::builder().status(status);
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let path = head.uri.path().to_owned();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let mut kept = bucket.0.lock().unwrap();
    if kept.denies {
        return status(StatusCode::FORBIDDEN).body(Body::empty()).unwrap();
    }
    kept.largest = kept.largest.max(body.len());
    let text = |text: String| status(StatusCode::OK).header("etag", "\"1\"").body(text.into());
    if head.method == Method::POST && query.contains("uploads") {
        kept.parts.clear();
        kept.objects.insert(format!("{path}?"), (Vec::new(), kind));
        let id = "<UploadId>1</UploadId>";
        return text(format!(
            "<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>"
        ))
        .unwrap();
    }
    if head.method == Method::PUT && query.contains("partNumber") {
        let number = query.split('&').find_map(|it| it.strip_prefix("partNumber=")).unwrap();
        kept.parts.insert(number.parse().unwrap(), body);
        return text(String::new()).unwrap();
    }
    if head.method == Method::POST {
        let all = std::mem::take(&mut kept.parts).into_values().flatten().collect();
        let (_, kind) = kept.objects.remove(&format!("{path}?")).unwrap();
        kept.objects.insert(path, (all, kind));
        let etag = "<ETag>1</ETag>";
        return text(format!(
            "<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>"
        ))
        .unwrap();
    }
    kept.objects.insert(path, (body, kind));
    text(String::new()).unwrap()
}

#[tokio::test]
async fn an_object_is_written_in_one_piece_or_in_parts() {
    let bucket = Bucket::default();
    let served = serve(Router::new().fallback(answer).with_state(bucket.clone())).await;
    let options = json!({
        "endpoint": served.at, "region": "eu", "access_key_id": "key",
        "secret_access_key": "hush", "allow_http": "true",
    });
    let store = storage(json!({ "prefix": "s3://files/mail/", "options": options })).unwrap();
    let large = content(14_000_000);
    for (name, all) in [("small.pdf", content(1000)), ("large.pdf", large), ("none.pdf", vec![])] {
        let url = put(&store, &format!("box/{name}"), &all, 100_000).await.unwrap();
        assert_eq!(url, format!("s3://files/mail/box/{name}"));
        let held = bucket.0.lock().unwrap();
        let (stored, kind) = &held.objects[&format!("/files/mail/box/{name}")];
        assert!(*stored == all && kind == "application/pdf", "{name}: {}", stored.len());
    }
    assert!(bucket.0.lock().unwrap().largest < 6_000_000, "never as a whole in memory");
    let mut broken = store.create("box/broken.pdf", None).await.unwrap();
    broken.write(content(11_000_000).into()).await.unwrap();
    drop(broken);
    assert!(!bucket.0.lock().unwrap().objects.contains_key("/files/mail/box/broken.pdf"));

    bucket.0.lock().unwrap().denies = true;
    let error = put(&store, "box/denied.pdf", b"x", 1).await.unwrap_err();
    assert_eq!(error.code(), Code::FileStoreUnavailable);
    assert!(error.to_string().contains("denies") && !error.to_string().contains("hush"), "{error}");
}
