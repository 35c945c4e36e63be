//! `guarantee: once` without a doubt: draft, then send, and what becomes of an unsent draft.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use mailbridge_core::{Code, Completion, Doubt, Guarantee::Once, Verdict};

use crate::{
    scene::{BOTH, MAILBOX, Scene, draft, mailbox_wait, mark, sent},
    stub::{Asked, Reply},
};

/// Graph when all is well, but for the answer to one kind of request.
fn well_but(
    what: &'static str,
    answer: impl Fn(usize) -> Reply + Send + Sync,
) -> impl Fn(&Asked) -> Reply + Send + Sync {
    let asked_before = AtomicUsize::new(0);
    move |asked| {
        if asked.what() == what {
            return answer(asked_before.fetch_add(1, SeqCst));
        }
        match asked.what().as_str() {
            "POST messages" => draft(),
            "POST send" => Reply::status(202),
            "PATCH draft" => Reply::json(200, "{}"),
            "GET draft" => Reply::json(200, r#"{"isDraft":true,"changeKey":"CQAAAB"}"#),
            "DELETE draft" => Reply::status(204),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn two_requests_and_no_more() {
    let scene = Scene::new(well_but("", |_| unreachable!())).await;
    let completion = scene.send(Once, Doubt::None).await.unwrap();
    assert_eq!(completion, sent(Some("<1@contoso.com>"), false));
    assert_eq!(scene.stub.graph_asked(), ["POST messages", "POST send"]);

    let asked = scene.stub.asked();
    let (create, send) = (&asked[1], &asked[2]);
    assert_eq!(create.target, "/v1.0/users/noreply@contoso.com/messages");
    assert_eq!(create.header("prefer"), Some(r#"IdType="ImmutableId""#));
    let property = &create.json()["singleValueExtendedProperties"][0];
    assert_eq!(property["value"], mark().as_str());
    assert!(property["id"].as_str().unwrap().ends_with("} Name mailbridge-request"));
    assert_eq!(send.target, "/v1.0/users/noreply@contoso.com/messages/draft%2F1%2B%3D/send");
    assert_eq!(send.header("content-length"), Some("0"));
}

#[tokio::test]
async fn a_mime_draft_gets_its_mark_before_it_is_sent() {
    let scene = Scene::new(well_but("", |_| unreachable!())).await;
    scene.send_from(MAILBOX, BOTH, Once, Doubt::None).await.unwrap();
    let steps = scene.stub.graph_asked();
    assert_eq!(steps, ["POST messages", "PATCH draft", "POST send"]);
    let patch = scene.stub.asked()[2].json();
    assert_eq!(patch["singleValueExtendedProperties"][0]["value"], mark().as_str());
    assert_eq!(patch["categories"][0], "Red");
}

#[tokio::test]
async fn a_draft_that_cannot_be_made_is_no_doubt() {
    for reply in [Reply::status(504), Reply::Cut, Reply::json(201, "<html>")] {
        let scene = Scene::new(well_but("POST messages", move |_| reply.clone())).await;
        let error = scene.send(Once, Doubt::None).await.unwrap_err();
        assert!(matches!(error.verdict(), Verdict::Transient { .. }), "{error:?}");
        assert_eq!(scene.stub.graph_asked(), ["POST messages"]);
    }
}

#[tokio::test]
async fn a_sending_without_a_definite_answer_is_in_doubt() {
    let replies = [
        Reply::status(504),
        Reply::error(503, "ErrorServerBusy"),
        Reply::Cut,
        // the draft was there a moment ago: whoever took it away may have sent it
        Reply::error(404, "ErrorItemNotFound"),
    ];
    for reply in replies {
        let answer = reply.clone();
        let scene = Scene::new(well_but("POST send", move |_| answer.clone())).await;
        let error = scene.send(Once, Doubt::None).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::InDoubt, "{reply:?}");
        assert_eq!(scene.stub.graph_asked(), ["POST messages", "POST send"]);
    }
}

#[tokio::test]
async fn a_draft_that_may_never_be_sent_is_deleted() {
    let refuse = |_| Reply::error(403, "ErrorSendAsDenied");
    let scene = Scene::new(well_but("POST send", refuse)).await;
    let error = scene.send(Once, Doubt::None).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphSendAsDenied);
    assert_eq!(scene.stub.graph_asked(), ["POST messages", "POST send", "DELETE draft"]);
}

#[tokio::test]
async fn a_draft_that_cannot_be_marked_is_deleted() {
    let refuse = |_| Reply::error(400, "ErrorInvalidPropertySet");
    let scene = Scene::new(well_but("PATCH draft", refuse)).await;
    let error = scene.send_from(MAILBOX, BOTH, Once, Doubt::None).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Permanent);
    assert_eq!(scene.stub.graph_asked(), ["POST messages", "PATCH draft", "DELETE draft"]);
}

#[tokio::test]
async fn a_marking_that_fails_in_passing_is_done_again() {
    let fail_first = |before: usize| match before {
        0 => Reply::status(504),
        _ => Reply::json(200, "{}"),
    };
    let scene = Scene::new(well_but("PATCH draft", fail_first)).await;
    scene.send_from(MAILBOX, BOTH, Once, Doubt::None).await.unwrap();
    let steps = ["POST messages", "PATCH draft", "PATCH draft", "POST send"];
    assert_eq!(scene.stub.graph_asked(), steps);
}

#[tokio::test]
async fn what_was_begun_is_finished_after_a_short_wait() {
    let throttle_first = |before: usize| match before {
        0 => Reply::error(429, "ApplicationThrottled").with("retry-after", "0.2"),
        _ => Reply::status(202),
    };
    let scene = Scene::new(well_but("POST send", throttle_first)).await;
    assert!(scene.send(Once, Doubt::None).await.is_ok());
    assert_eq!(scene.stub.graph_asked(), ["POST messages", "POST send", "POST send"]);
}

#[tokio::test]
async fn a_draft_left_by_a_long_wait_is_what_the_next_attempt_sends() {
    let throttle_first = |before: usize| match before {
        0 => Reply::error(429, "ApplicationThrottled").with("retry-after", "2.05"),
        _ => Reply::status(202),
    };
    let scene = Scene::new(well_but("POST send", throttle_first)).await;
    let error = scene.send(Once, Doubt::None).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphThrottled);
    let wait = mailbox_wait(&error);
    assert_eq!(scene.stub.graph_asked(), ["POST messages", "POST send"]);
    tokio::time::sleep(wait).await;
    assert!(scene.send(Once, Doubt::None).await.is_ok());
    assert_eq!(scene.stub.graph_asked(), ["POST messages", "POST send", "GET draft", "POST send"]);
}

#[tokio::test]
async fn a_draft_that_somebody_found_meanwhile_is_treated_as_what_it_became() {
    type Case = (Reply, Result<Completion, Code>, &'static [&'static str]);
    let again = Ok(sent(Some("<1@contoso.com>"), false));
    let cases: [Case; 4] = [
        // changed: it is not what the request asks for
        (
            Reply::json(200, r#"{"isDraft":true,"changeKey":"CQAAAC"}"#),
            again,
            &["GET draft", "DELETE draft", "POST messages", "POST send"],
        ),
        // sent by hand
        (
            Reply::json(200, r#"{"isDraft":false,"changeKey":"CQAAAC"}"#),
            Ok(sent(Some("<1@contoso.com>"), true)),
            &["GET draft"],
        ),
        // deleted, or sent under another id: nobody knows
        (Reply::error(404, "ErrorItemNotFound"), Err(Code::GraphDraftGone), &["GET draft"]),
        (Reply::status(503), Err(Code::GraphUnavailable), &["GET draft"]),
    ];
    for (reply, expected, steps) in cases {
        let throttle_first = |before: usize| match before {
            0 => Reply::error(429, "ApplicationThrottled").with("retry-after", "2.05"),
            _ => Reply::status(202),
        };
        let sending = well_but("POST send", throttle_first);
        let answer = reply.clone();
        let scene =
            Scene::new(
                move |asked: &Asked| {
                    if asked.what() == "GET draft" { answer.clone() } else { sending(asked) }
                },
            )
            .await;
        let error = scene.send(Once, Doubt::None).await.unwrap_err();
        tokio::time::sleep(mailbox_wait(&error)).await;
        let result = scene.send(Once, Doubt::None).await;
        if let Err(error) = &result {
            let doubtful = error.code() == Code::GraphDraftGone;
            assert_eq!(error.verdict() == Verdict::InDoubt, doubtful, "{error:?}");
        }
        assert_eq!(result.map_err(|error| error.code()), expected, "{reply:?}");
        assert_eq!(scene.stub.graph_asked()[2..], *steps, "{reply:?}");
    }
}

#[tokio::test]
async fn a_copy_that_is_not_to_be_kept_needs_the_other_guarantee() {
    let request = r#"{"id":"1","to":"b@x.org","text":"t","save_to_sent_items":false}"#;
    let scene = Scene::new(|_| unreachable!()).await;
    let error = scene.send_from(MAILBOX, request, Once, Doubt::None).await.unwrap_err();
    assert_eq!(error.code(), Code::RequestNeedsAtLeastOnce);
    assert!(scene.stub.graph_asked().is_empty());
}
