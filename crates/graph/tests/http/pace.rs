//! The pace of a mailbox, as Graph's answers set it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use mailbridge_core::{Code, Doubt, Guarantee::AtLeastOnce};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    scene::{PLAIN, Scene, mailbox_wait},
    stub::{Asked, Reply},
};

fn slow(asked: &Asked) -> bool {
    asked.target.contains("/slow@x.org/")
}

#[tokio::test]
async fn a_throttled_mailbox_waits_as_long_as_asked_and_no_other_does() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
    let waits = [("12.128", 12.0, 12.2), ("7", 6.9, 7.1), (date.as_str(), 80.0, 90.1)];
    for (retry_after, least, most) in waits {
        let header = retry_after.to_owned();
        let scene = Scene::new(move |asked: &Asked| {
            if slow(asked) {
                return Reply::error(429, "ApplicationThrottled").with("retry-after", &header);
            }
            Reply::status(202)
        })
        .await;
        let send =
            |mailbox: &'static str| scene.send_from(mailbox, PLAIN, AtLeastOnce, Doubt::None);
        let error = send("slow@x.org").await.unwrap_err();
        assert_eq!(error.code(), Code::GraphThrottled);
        let wait = mailbox_wait(&error).as_secs_f64();
        assert!((least..most).contains(&wait), "{retry_after}: {wait}");

        // the gate is closed: it is not even asked, and says at once how long still
        let start = Instant::now();
        let error = send("SLOW@x.org").await.unwrap_err();
        assert!(mailbox_wait(&error).as_secs_f64() <= wait);
        for mailbox in ["a@x.org", "b@x.org", "c@x.org"] {
            send(mailbox).await.unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(scene.stub.asked().iter().filter(|asked| slow(asked)).count(), 1);
    }
}

#[tokio::test]
async fn a_short_wait_is_waited_for() {
    let scene = Scene::new({
        let throttled = std::sync::atomic::AtomicBool::new(false);
        move |_: &Asked| {
            if throttled.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return Reply::status(202);
            }
            Reply::error(429, "TooManyRequests").with("retry-after", "0.3")
        }
    })
    .await;
    let start = Instant::now();
    scene.send(AtLeastOnce, Doubt::None).await.unwrap_err();
    scene.send(AtLeastOnce, Doubt::None).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_refusal_of_one_mailbox_is_that_mailboxes() {
    let scene = Scene::new(|asked: &Asked| {
        if slow(asked) { Reply::error(403, "ErrorAccessDenied") } else { Reply::status(202) }
    })
    .await;
    let result = scene.send_from("slow@x.org", PLAIN, AtLeastOnce, Doubt::None).await;
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::MailboxDenied);
    assert_eq!(mailbox_wait(&error), Duration::from_mins(5));
    scene.send_from("a@x.org", PLAIN, AtLeastOnce, Doubt::None).await.unwrap();
    assert_eq!(scene.stub.tokens_asked(), 1);
}

#[tokio::test]
async fn never_more_than_four_at_once_in_a_mailbox() {
    const PASS: usize = 6;
    let answered = AtomicUsize::new(0);
    let scene = Scene::new(move |_| match answered.fetch_add(1, Ordering::SeqCst) {
        0..PASS => Reply::status(202),
        _ => Reply::Silence,
    });
    let scene = Arc::new(scene.await);
    let mut sends = JoinSet::new();
    for _ in 0..PASS + 8 {
        let scene = Arc::clone(&scene);
        sends.spawn(async move { scene.send(AtLeastOnce, Doubt::None).await });
    }
    // it begins with one at once, and has one more for each that passes
    for _ in 0..PASS {
        sends.join_next().await.unwrap().unwrap().unwrap();
    }
    // the four that found no place say so after their patience; the others still wait for Graph
    for _ in 0..4 {
        let error = sends.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::GraphThrottled);
    }
    assert_eq!(scene.stub.graph_asked().len(), PASS + 4);
    sends.shutdown().await;
}
