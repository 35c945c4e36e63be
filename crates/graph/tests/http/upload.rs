//! What an upload does when it is put off, cut, repeated or ended, and that nothing but its own bytes
//! goes to its URL.

use std::time::Duration;

use mailbridge_core::{Code, Deadline, Doubt, NoFiles, Verdict};
use mailbridge_testkit::shelf::sha256;
use serde_json::json;

use crate::{
    fake::{Fault, Large, ONCE, PIECE, by_reference, inline, never, next, patterned},
    scene::{MAILBOX, Scene, draft, perform_with},
    stub::{Asked, Reply, Stub},
};

#[tokio::test]
async fn an_upload_goes_on_where_it_was() {
    // each with the second piece: put off, not answered before and after it was taken, taken twice
    let faults: [(Fault, Fault); 5] = [
        (
            |state, asked| {
                (asked.what() == "PUT session" && state.chunks == 1).then(|| {
                    state.chunks += 1;
                    Reply::error(429, "ApplicationThrottled").with("retry-after", "0.2")
                })
            },
            never,
        ),
        (
            |state, asked| {
                (asked.what() == "PUT session" && state.chunks == 1).then(|| {
                    state.chunks += 1;
                    Reply::status(503)
                })
            },
            never,
        ),
        (never, |state, asked| {
            (asked.what() == "PUT session" && state.chunks == 2).then_some(Reply::Cut)
        }),
        (never, |state, asked| {
            (asked.what() == "PUT session" && state.chunks == 2).then(|| Reply::status(504))
        }),
        (
            |state, asked| {
                // somebody on the way delivers the piece twice
                if asked.what() == "PUT session" && state.chunks == 1 {
                    state.chunk(asked);
                }
                None
            },
            never,
        ),
    ];
    for (number, (before, after)) in faults.into_iter().enumerate() {
        let large = Large::new(before, after).await;
        large.shelf.put_pattern("s3://b/k", 3 * PIECE + 5);
        let mut request = by_reference("s3://b/k");
        request["attachments"][0]["sha256"] = json!(sha256(&patterned(3 * PIECE + 5)));
        large.send(&request).await.unwrap_or_else(|error| panic!("{number}: {error:?}"));
        let files = large.files();
        assert_eq!(files.len(), 1, "{number}");
        assert!(files[0].1 == patterned(3 * PIECE + 5), "{number}");
        assert_eq!(large.asked("POST createUploadSession").len(), 1, "{number}");
    }
}

#[tokio::test]
async fn a_session_that_ends_early_is_replaced_by_another() {
    let large = Large::new(
        |state, asked| {
            if asked.what() == "PUT session" && state.chunks == 1 && state.sessions == 1 {
                state.session = None;
            }
            None
        },
        never,
    )
    .await;
    large.send(&inline(&[2 * PIECE])).await.unwrap();
    assert_eq!(large.asked("POST createUploadSession").len(), 2);
    assert!(large.files()[0].1 == patterned(2 * PIECE));
}

#[tokio::test]
async fn an_upload_whose_end_nobody_knows_ends_the_draft() {
    // the last piece is taken, its answer is lost, and the session is not there any more
    let large = Large::new(never, |state, asked| {
        (asked.what() == "PUT session" && state.session.is_none()).then_some(Reply::Cut)
    })
    .await;
    let error = large.send(&inline(&[PIECE + 1])).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphUploadFailed);
    assert!(matches!(error.verdict(), Verdict::Transient { .. }));
    let steps = large.scene.stub.graph_asked();
    assert_eq!(steps.last().unwrap(), "DELETE draft");
    assert!(!steps.contains(&"POST send".to_owned()) && !steps.contains(&"PATCH draft".to_owned()));
}

#[tokio::test]
async fn an_upload_that_does_not_get_on_ends_in_bounded_time() {
    let faults: [Fault; 3] = [
        |_, asked| (asked.what() == "PUT session").then(|| Reply::status(416)),
        |_, asked| (asked.what() == "PUT session").then(|| next(0)),
        |_, asked| (asked.what() == "PUT session").then(|| Reply::status(410)),
    ];
    for fault in faults {
        let large = Large::new(fault, never).await;
        let error = large.send(&inline(&[4_000_000])).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphUploadFailed);
        let steps = large.scene.stub.graph_asked();
        assert!(steps.len() < 30 && steps.last().unwrap() == "DELETE draft", "{steps:?}");
    }
}

#[tokio::test]
async fn a_file_that_changes_under_way_ends_the_draft() {
    let large = Large::new(
        |_, asked| {
            (asked.what() == "PUT session")
                .then(|| Reply::Late(Duration::from_millis(100), Box::new(next(12 * 320 * 1024))))
        },
        never,
    )
    .await;
    large.shelf.put_pattern("s3://b/k", 3 * PIECE);
    let request = by_reference("s3://b/k");
    let changes = async {
        large.scene.stub.until(|stub| stub.graph_asked().contains(&"PUT session".to_owned())).await;
        large.shelf.put_pattern("s3://b/k", 3 * PIECE);
    };
    let (result, ()) = tokio::join!(large.send(&request), changes);
    assert_eq!(result.unwrap_err().code(), Code::AttachmentChanged);
    let steps = large.scene.stub.graph_asked();
    assert!(steps.contains(&"DELETE session".to_owned()), "{steps:?}");
    assert_eq!(steps.last().unwrap(), "DELETE draft");
}

#[tokio::test]
async fn nothing_is_uploaded_to_an_unsafe_place() {
    let other = Stub::start(|_| Reply::status(201)).await;
    for url in ["http://mail.example/u", "ftp://127.0.0.1/u", "/u", "https://user:pw@x.example/u"] {
        let scene = Scene::new(move |asked: &Asked| match asked.what().as_str() {
            "POST messages" => draft(),
            "POST createUploadSession" => Reply::json(201, json!({ "uploadUrl": url }).to_string()),
            "DELETE draft" => Reply::status(204),
            other => panic!("{other}"),
        })
        .await;
        let request = inline(&[4_000_000]).to_string();
        let error = scene.send_with(&request, ONCE, Doubt::None, &NoFiles).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphUnexpected, "{url}");
        assert!(!format!("{error:?}").contains("/u"), "{error:?}");
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_attempt_without_progress() {
    let slow: Fault = |state, asked| {
        (asked.what() == "PUT session").then(|| {
            let reply = state.chunk(asked);
            Reply::Late(Duration::from_millis(700), Box::new(reply))
        })
    };
    for (limit, expected) in [(60_000, true), (3_200, false)] {
        let large = Large::new(slow, never).await;
        let deadline = Deadline::new(Duration::from_secs(3), Duration::from_millis(limit));
        large.shelf.put_pattern("s3://b/k", 6 * PIECE);
        let request = by_reference("s3://b/k").to_string();
        let result = perform_with(
            &large.scene.graph,
            MAILBOX,
            &request,
            ONCE,
            Doubt::None,
            &deadline,
            &large.shelf,
        )
        .await;
        assert_eq!(result.is_ok(), expected, "{result:?}");
    }
}
