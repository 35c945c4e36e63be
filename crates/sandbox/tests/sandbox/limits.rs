//! Budgets and mailbox states.

use std::time::Duration;

use mailbridge_sandbox::{Budgets, Fault, Kind, MailboxState, Operation, Sandbox};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{MAILBOX, Reply, message, start, start_with};

#[track_caller]
fn throttled(reply: Reply, limit: &str) -> f64 {
    let reply = reply.refused(429, "ApplicationThrottled");
    let text = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(text.contains(limit), "{text}");
    reply.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn four_at_once_in_one_mailbox_and_others_go_on() {
    let world = start().await;
    let slow = Fault::new(Kind::Hang { seconds: 60.0 }).on(Operation::ListMessages).first(4);
    world.handle().add_fault(slow);
    let path = format!("users/{MAILBOX}/messages");
    let hanging: Vec<_> = (0..4).map(|_| world.get(&path)).collect();
    let fifth = async {
        // the four are inside when the fault has struck four times
        while world.handle().faults()[0].fired < 4 {
            tokio::task::yield_now().await;
        }
        let wait = throttled(world.get(&path).await, "MailboxConcurrency");
        assert!(wait > 0.0 && wait.fract() > 0.0, "decimal seconds: {wait}");
        world.get("users/bob@contoso.example/messages").await.expect(StatusCode::OK);
    };
    tokio::select! {
        () = fifth => {}
        _ = futures_join(hanging) => panic!("they hang"),
    }
    // the four were dropped by their client: their places are free again
    loop {
        let reply = world.get(&path).await;
        if reply.status == 200 {
            break;
        }
        throttled(reply, "MailboxConcurrency");
    }
}

async fn futures_join<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut out = Vec::new();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| match one.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => {
                out.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    out
}

#[tokio::test]
async fn requests_in_ten_minutes_are_counted_per_mailbox() {
    let world = start_with(Sandbox::builder().budgets(Budgets::graph().divided_by(2_000))).await;
    let path = format!("users/{MAILBOX}/messages");
    for _ in 0..5 {
        world.get(&path).await.expect(StatusCode::OK);
    }
    let wait = throttled(world.get(&path).await, "MailboxRequest");
    assert!((1.0..=600.0).contains(&wait), "{wait}");
    world.get("users/bob@contoso.example/messages").await.expect(StatusCode::OK);
    world.handle().advance_clock(Duration::from_secs_f64(wait + 0.001));
    world.get(&path).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn uploads_and_mails_have_budgets_of_their_own() {
    let budgets = Budgets { upload_bytes: Some(10_000), ..Budgets::graph() };
    let world = start_with(Sandbox::builder().budgets(budgets)).await;
    let mut mail = message("s", "k");
    mail["body"]["content"] = json!("x".repeat(9_000));
    let path = format!("users/{MAILBOX}/sendMail");
    world.post(&path, &json!({"message": mail})).await.expect(StatusCode::ACCEPTED);
    throttled(world.post(&path, &json!({"message": mail})).await, "MailboxUpload");
    assert_eq!(world.sent_total(), 1);

    let budgets = Budgets { messages_per_minute: Some(2), ..Budgets::graph() };
    let world = start_with(Sandbox::builder().budgets(budgets)).await;
    for _ in 0..2 {
        world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    }
    throttled(world.send_mail("s").await, "MailboxMessageRate");
    world.handle().advance_clock(Duration::from_mins(2));
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_mailbox_can_be_in_any_state() {
    let world = start().await;
    let path = format!("users/{MAILBOX}/messages");
    let set = |state| world.handle().set_mailbox(MAILBOX, state).unwrap();
    set(MailboxState::Denied);
    let denied = world.get(&path).await.refused(403, "ErrorAccessDenied");
    assert_eq!(denied.json()["error"]["message"], "Access to OData is disabled.");
    set(MailboxState::Missing);
    world.get(&path).await.refused(404, "ErrorInvalidUser");
    set(MailboxState::NotEnabled);
    world.get(&path).await.refused(404, "MailboxNotEnabledForRESTAPI");
    set(MailboxState::Throttled);
    for _ in 0..3 {
        let reply = world.send_mail("s").await;
        assert_eq!(reply.header("retry-after"), Some("2.128"));
        throttled(reply, "MailboxConcurrency");
    }
    world.get("users/bob@contoso.example/messages").await.expect(StatusCode::OK);
    set(MailboxState::Ok);
    world.get(&path).await.expect(StatusCode::OK);
    assert!(world.handle().set_mailbox("a@elsewhere.example", MailboxState::Ok).is_err());
}

#[tokio::test]
async fn a_place_is_taken_until_the_answer_is_out() {
    let latency = Duration::from_millis(200);
    let world = start_with(Sandbox::builder().latency(latency)).await;
    let path = format!("users/{MAILBOX}/messages");
    let all = futures_join((0..8).map(|_| world.get(&path)).collect()).await;
    let passed = all.iter().filter(|reply| reply.status == 200).count();
    let refused = all.iter().filter(|reply| reply.status == 429).count();
    assert_eq!((passed, refused), (4, 4));
}
