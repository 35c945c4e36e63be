//! What the HTTP side answers, over the whole router.

use std::collections::BTreeSet;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
    response::Response,
};
use mailbridge_engine::events::callback::Callbacks;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{Called, notifications::BODY_BYTES_MAX, notified};
use crate::run::seen::Shown;

const HOOK: &str = "/notifications/support";

fn router() -> Router {
    let called = BTreeSet::from(["support".to_owned()]);
    let (_, pipelines) = watch::channel(Shown { called, ..Shown::default() });
    notified(Called { pipelines, callbacks: Callbacks::new() })
}

async fn post(path: &str, body: impl Into<Body>) -> Response {
    let request = Request::post(path).body(body.into()).unwrap();
    router().oneshot(request).await.unwrap()
}

async fn text(response: Response) -> String {
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_handshake_gets_its_token_back_decoded_as_plain_text() {
    for hook in [HOOK.to_owned(), format!("{HOOK}/lifecycle")] {
        let path = format!("{hook}?validationToken=Validation%3a+Request-Id%3A%20a%2Fb%2B1");
        let response = post(&path, Body::empty()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with("text/plain"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(text(response).await, "Validation: Request-Id: a/b+1");
    }
}

#[tokio::test]
async fn what_could_be_markup_is_no_token() {
    let long = "a".repeat(1025);
    for token in ["%3Cscript%3E", "a%26b", "%22", "a%0d%0ab", "%C3%A9", "", &long] {
        let response = post(&format!("{HOOK}?validationToken={token}"), Body::empty()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{token}");
        assert_eq!(text(response).await, "this is no token of Graph's\n");
    }
}

#[tokio::test]
async fn a_call_is_accepted_and_what_is_none_is_refused() {
    let call = r#"{"value": [{"subscriptionId": "s", "clientState": "wrong"}]}"#;
    for (path, body, status) in [
        (HOOK, call, StatusCode::ACCEPTED),
        ("/notifications/support/lifecycle", call, StatusCode::ACCEPTED),
        (HOOK, r#"{"value": ["no notification"]}"#, StatusCode::ACCEPTED),
        (HOOK, "", StatusCode::BAD_REQUEST),
        (HOOK, r#"{"value": 1"#, StatusCode::BAD_REQUEST),
        ("/notifications/suport", call, StatusCode::NOT_FOUND),
        ("/notifications/suport?validationToken=a", call, StatusCode::NOT_FOUND),
        ("/notifications/support/other", call, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(post(path, body).await.status(), status, "{path} {body}");
    }
    let get = Request::get(HOOK).body(Body::empty()).unwrap();
    let answer = router().oneshot(get).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_gigantic_body_is_refused() {
    let response = post(HOOK, vec![b' '; BODY_BYTES_MAX + 1]).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let never = Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
    assert_eq!(post(HOOK, never).await.status(), StatusCode::REQUEST_TIMEOUT);
}
