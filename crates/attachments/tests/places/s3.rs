//! `s3://`, against a server that speaks the part of S3's protocol that reading needs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};
use mailbridge_core::{Code, Files};
use serde_json::json;

use crate::{content, files, serve, whole};

const LENGTH: usize = 50_000;

#[derive(Clone, Default)]
struct Bucket(Arc<AtomicUsize>);

async fn answer(
    State(bucket): State<Bucket>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let text = |name: header::HeaderName| headers.get(name).and_then(|it| it.to_str().ok());
    let status = |status: StatusCode| Response::builder().status(status);
    let signed = text(header::AUTHORIZATION).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=key/") {
        return status(StatusCode::FORBIDDEN).body(Body::empty()).unwrap();
    }
    if uri.path() != "/files/2026/report.pdf" {
        return status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    }
    let etag = format!("\"{}\"", bucket.0.load(Ordering::SeqCst));
    if text(header::IF_MATCH).is_some_and(|wanted| wanted != etag) {
        return status(StatusCode::PRECONDITION_FAILED).body(Body::empty()).unwrap();
    }
    let answer = |code| {
        status(code)
            .header(header::ETAG, &etag)
            .header(header::LAST_MODIFIED, "Mon, 23 Nov 2026 00:00:00 GMT")
            .header(header::CONTENT_TYPE, "application/pdf")
    };
    if method == Method::HEAD {
        let answer = answer(StatusCode::OK).header(header::CONTENT_LENGTH, LENGTH);
        return answer.body(Body::empty()).unwrap();
    }
    let range = text(header::RANGE).unwrap().strip_prefix("bytes=").unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
    answer(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_RANGE, format!("bytes {from}-{to}/{LENGTH}"))
        .body(content(LENGTH)[from..=to].to_vec().into())
        .unwrap()
}

#[tokio::test]
async fn an_object_is_read_in_pieces_changes_are_told_and_nothing_else_is_reached() {
    let bucket = Bucket::default();
    let options = |secret: &str| {
        json!({ "endpoint": "", "allow_http": "true", "region": "eu-central-1",
                "access_key_id": secret, "secret_access_key": "hush" })
    };
    let place = |at: &str, key: &str| {
        let mut options = options(key);
        options["endpoint"] = at.into();
        json!([{ "prefix": "s3://files/2026/", "options": options }])
    };
    let served = serve(Router::new().fallback(answer).with_state(bucket.clone())).await;
    let at = &served.at;
    let good = files(place(at, "key")).unwrap();
    let url = "s3://files/2026/report.pdf";
    assert_eq!(whole(&good, url, 16_000).await.unwrap(), content(LENGTH));
    let file = good.open(url).await.unwrap();
    assert_eq!(file.content_type.as_deref(), Some("application/pdf"));
    bucket.0.fetch_add(1, Ordering::SeqCst);
    let error = good.read(&file, 0..10).await.unwrap_err();
    assert_eq!(error.code(), Code::AttachmentChanged);
    let code = async |url: &str| good.open(url).await.unwrap_err().code();
    assert_eq!(code("s3://files/2026/none.pdf").await, Code::AttachmentMissing);
    assert_eq!(code("s3://files/2025/report.pdf").await, Code::AttachmentNotAllowed);
    assert_eq!(code("s3://other/2026/report.pdf").await, Code::AttachmentNotAllowed);
    let denied = files(place(at, "stranger")).unwrap().open(url).await.unwrap_err();
    assert_eq!(denied.code(), Code::AttachmentUnavailable);
    assert!(!format!("{denied} {denied:?}").contains("hush"));
}
