//! Requests that are posted: what was answered with 202 is sent, once, whatever becomes of the
//! program.

use mailbridge_core::contract::Status;
use mailbridge_sandbox::{DEMO_CLIENT_SECRET, DEMO_DOMAIN};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;

use crate::{
    desk::{Desk, id},
    rig::{SOON, request, until},
};

fn mail(n: usize) -> String {
    request(n, &format!("noreply@{DEMO_DOMAIN}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_a_mail_and_its_end_is_told() {
    let desk = Desk::new("", "").await;
    let mut program = desk.start().await;
    let good = desk.taken(desk.post(&mail(1))).await;
    let wrong = desk.taken(desk.post(&json!({ "to": "a@example.org", "subjct": "x" }))).await;
    let form = desk.post_as("application/x-www-form-urlencoded", &mail(2)).send().await;
    assert_eq!(form.expect("an answer").status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let told = desk.ended(&good).await;
    assert_eq!((&told["state"], &told["outcome"]["key"]), (&json!("done"), &json!("r1")));
    assert_eq!(told["outcome"]["status"], Status::Accepted.as_str());
    let sent = desk.handle().truth().sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(told["outcome"]["internet_message_id"], sent[0].internet_message_id);
    let told = desk.ended(&wrong).await;
    assert_eq!(told["state"], "rejected");
    assert_eq!(told["outcome"]["code"], "request_invalid");

    let none = desk.get("none").send().await.expect("an answer");
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
    program.sigterm().expect("it runs");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_one_mail_also_after_its_end() {
    let desk = Desk::new("", "").await;
    let _program = desk.start().await;
    let anonymous = json!({ "to": "a@example.org", "subject": "keyed", "text": "t" });
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let post = || desk.post(&anonymous).header("idempotency-key", "order-1");
    let first = desk.taken(post()).await;
    let again = post().header("traceparent", trace).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(id(again).await, first);
    desk.ended(&first).await;
    assert_eq!(id(post().send().await.expect("an answer")).await, first);
    let other = desk.post(&mail(1)).header("idempotency-key", "order-1").send().await;
    assert_eq!(other.expect("an answer").status(), StatusCode::UNPROCESSABLE_ENTITY);
    // the control: without a key, each is a mail
    for _ in 0..2 {
        let keyless = desk.taken(desk.post(&anonymous)).await;
        desk.ended(&keyless).await;
    }
    assert_eq!(desk.handle().truth().sent_total(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_sent_once_whenever_the_program_is_killed() {
    let desk = Desk::new("", "").await;
    let mut posted = Vec::new();
    for round in 0..4 {
        let mut program = desk.start().await;
        posted.push(desk.taken(desk.post(&mail(round))).await);
        if round == 3 {
            // somewhere after the draft
            let sent = async || desk.handle().truth().sent_total() > 0;
            until(SOON, "a mail is sent", sent).await;
        }
        program.kill9().expect("it runs");
        program.wait_exit(SOON).await.expect("it is gone");
    }
    let _program = desk.start().await;
    for id in &posted {
        assert_eq!(desk.ended(id).await["outcome"]["status"], "accepted");
    }
    let mut subjects: Vec<_> =
        desk.handle().truth().sent().into_iter().map(|sent| sent.subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["r0", "r1", "r2", "r3"], "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_and_what_is_too_large_is_refused() {
    let desk = Desk::new(", token: { file: token }, bytes_max: 4000", "").await;
    let token = desk.launch.folder().join("token");
    std::fs::write(&token, "the-first-token\n").expect("a file");
    let mut program = desk.start().await;
    for (token, status) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some("the-first-toke"), StatusCode::UNAUTHORIZED),
        (Some("the-first-token"), StatusCode::ACCEPTED),
    ] {
        let post = desk.post(&mail(1));
        let post = token.into_iter().fold(post, RequestBuilder::bearer_auth);
        assert_eq!(post.send().await.expect("an answer").status(), status, "{token:?}");
    }
    let large = json!({ "to": "a@example.org", "text": "x".repeat(4_000) });
    let large = desk.post(&large).bearer_auth("the-first-token").send().await;
    assert_eq!(large.expect("an answer").status(), StatusCode::PAYLOAD_TOO_LARGE);
    // read again when it changes
    std::fs::write(&token, "the-second-token\n").expect("a file");
    let post = desk.post(&mail(2)).bearer_auth("the-second-token");
    let rotated = desk.taken(post).await;
    let unknown = desk.get(&rotated).send().await.expect("an answer");
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED, "outcomes are not for everybody");
    let sent = async || desk.handle().truth().sent_total() == 2;
    until(SOON, "both are sent", sent).await;
    program.sigterm().expect("it runs");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    for line in program.lines() {
        assert!(!line.text.contains("-token"), "no token is logged: {}", line.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_identity_fails_requests_are_taken_and_wait() {
    let desk = Desk::new("", "").await;
    let secret = desk.launch.folder().join("secret");
    std::fs::write(&secret, "not the secret").expect("a file");
    let mut program = desk.start().await;
    let held = |line: &str| line.contains("the stream is held");
    program.wait_for(held, SOON).await.expect("it says so");
    let posted = desk.taken(desk.post(&mail(1))).await;
    assert_eq!(desk.status(&posted).await["state"], "queued");
    assert_eq!(desk.handle().truth().sent_total(), 0);
    // and a stop does not wait for it
    program.sigterm().expect("it runs");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    let _program = desk.start().await;
    assert_eq!(desk.status(&posted).await["state"], "queued");
    std::fs::write(&secret, DEMO_CLIENT_SECRET).expect("a file");
    assert_eq!(desk.ended(&posted).await["outcome"]["status"], "accepted");
    assert_eq!(desk.handle().truth().sent_total(), 1);
}
