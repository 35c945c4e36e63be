//! `https://` and `http://`, against a server of our own that behaves well and badly.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use mailbridge_core::{Code, Files, Verdict};
use serde_json::json;

use crate::{Served, content, files, serve, whole};

#[derive(Clone, Default)]
struct Site {
    version: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn start(&self) -> Served {
        serve(Router::new().fallback(answer).with_state(self.clone())).await
    }

    fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }
}

const LENGTH: usize = 100_000;

async fn answer(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Response {
    site.requests.fetch_add(1, Ordering::SeqCst);
    site.asked.lock().unwrap().push(uri.to_string());
    let empty = |status: StatusCode| Response::builder().status(status);
    match uri.path() {
        "/pub/ranges" => ranges(&site, &headers),
        "/pub/plain" => {
            let answer = empty(StatusCode::OK).header(header::ETAG, "\"p\"");
            answer.body(content(LENGTH).into()).unwrap()
        }
        "/pub/empty" => {
            let answer = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            answer.header(header::CONTENT_RANGE, "bytes */0").body(Body::empty()).unwrap()
        }
        "/pub/moved" => redirect("/pub/ranges"),
        "/pub/out" => redirect("/private/ranges"),
        "/pub/elsewhere" => redirect("http://169.254.169.254/latest/meta-data/"),
        "/pub/round" => redirect("/pub/round"),
        "/pub/busy" => empty(StatusCode::SERVICE_UNAVAILABLE).body(Body::empty()).unwrap(),
        "/pub/closed" => empty(StatusCode::FORBIDDEN).body(Body::empty()).unwrap(),
        _ => empty(StatusCode::NOT_FOUND).body(Body::empty()).unwrap(),
    }
}

fn redirect(to: &str) -> Response {
    let answer = Response::builder().status(StatusCode::FOUND).header(header::LOCATION, to);
    answer.body(Body::empty()).unwrap()
}

fn ranges(site: &Site, headers: &HeaderMap) -> Response {
    let etag = format!("\"v{}\"", site.version.load(Ordering::SeqCst));
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_MATCH).is_some_and(|wanted| wanted != etag) {
        let answer = Response::builder().status(StatusCode::PRECONDITION_FAILED);
        return answer.body(Body::empty()).unwrap();
    }
    let range = text(header::RANGE).unwrap().strip_prefix("bytes=").unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let to = if to.is_empty() { LENGTH - 1 } else { to.parse().unwrap() };
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::ETAG, etag)
        .header(header::CONTENT_TYPE, "image/png")
        .header(header::CONTENT_RANGE, format!("bytes {from}-{to}/{LENGTH}"))
        .body(content(LENGTH)[from..=to].to_vec().into())
        .unwrap()
}

#[tokio::test]
async fn a_file_is_read_by_ranges_or_from_one_open_answer() {
    let site = Site::default();
    let served = site.start().await;
    let at = &served.at;
    let prefix = format!("{at}/pub/");
    let files = files(json!([{ "prefix": prefix, "private": true }])).unwrap();
    let file = files.open(&format!("{at}/pub/ranges")).await.unwrap();
    assert_eq!((file.bytes, file.content_type.as_deref()), (LENGTH as u64, Some("image/png")));
    site.requests();
    assert_eq!(whole(&files, &format!("{at}/pub/ranges"), 30_000).await.unwrap(), content(LENGTH));
    assert_eq!(site.requests(), 2, "one to open, one for all pieces");
    assert_eq!(whole(&files, &format!("{at}/pub/plain"), 30_000).await.unwrap(), content(LENGTH));
    assert_eq!(site.requests(), 2, "one to open, one for all pieces");
    // any order, the same piece again
    let file = files.open(&format!("{at}/pub/plain")).await.unwrap();
    for range in [50_000..60_000, 0..10, 50_000..60_000, 60_000..60_001_u64] {
        let (from, to) =
            (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        assert_eq!(files.read(&file, range).await.unwrap(), content(LENGTH)[from..to]);
    }
    assert_eq!(whole(&files, &format!("{at}/pub/empty"), 10).await.unwrap(), b"");
    assert_eq!(whole(&files, &format!("{at}/pub/moved"), 60_000).await.unwrap(), content(LENGTH));
}

#[tokio::test]
async fn what_changes_is_told() {
    let site = Site::default();
    let served = site.start().await;
    let at = &served.at;
    let files = files(json!([{ "prefix": at, "private": true }])).unwrap();
    let file = files.open(&format!("{at}/pub/ranges")).await.unwrap();
    site.version.fetch_add(1, Ordering::SeqCst);
    let error = files.read(&file, 0..10).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::AttachmentChanged, Verdict::Permanent));
}

#[tokio::test]
async fn no_redirect_leads_out_and_refusals_have_their_names() {
    let site = Site::default();
    let served = site.start().await;
    let at = &served.at;
    let prefix = format!("{at}/pub/");
    let files = files(json!([{ "prefix": prefix, "private": true }])).unwrap();
    for (path, code) in [
        ("pub/out", Code::AttachmentNotAllowed),
        ("pub/elsewhere", Code::AttachmentNotAllowed),
        ("private/ranges", Code::AttachmentNotAllowed),
        ("pub/round", Code::AttachmentUnavailable),
        ("pub/busy", Code::AttachmentUnavailable),
        ("pub/closed", Code::AttachmentUnavailable),
        ("pub/none", Code::AttachmentMissing),
    ] {
        let error = files.open(&format!("{at}/{path}?sig=hush")).await.unwrap_err();
        assert_eq!(error.code(), code, "{path}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    let asked = site.asked.lock().unwrap();
    assert!(!asked.iter().any(|uri| uri.starts_with("/private")), "it was asked for: {asked:?}");
}

#[tokio::test]
async fn a_name_that_leads_home_is_not_followed_unless_the_place_says_so() {
    let site = Site::default();
    let served = site.start().await;
    let at = served.at.replace("127.0.0.1", "localhost").replace("http:", "https:");
    let files = files(json!([at])).unwrap();
    let error = files.open(&format!("{at}/pub/ranges")).await.unwrap_err();
    assert_eq!(error.code(), Code::AttachmentUnavailable);
    assert!(error.to_string().contains("no public address"), "{error}");
    assert_eq!(site.requests(), 0);
}
