//! Subscriptions.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::Timestamp;
use mailbridge_core::{
    Secret, Subscriptions,
    changes::{Callback, Subscription},
};

use super::*;

fn callback() -> Callback {
    Callback {
        url: "https://bridge.example/notifications".to_owned(),
        lifecycle_url: "https://bridge.example/lifecycle".to_owned(),
        client_state: Secret::new("hush"),
        only_new: false,
        until: Timestamp::now() + Duration::from_hours(24 * 30),
    }
}

fn made(asked: &Asked) -> Reply {
    let until = asked.json()["expirationDateTime"].clone();
    Reply::json(201, json!({ "id": "s-1", "expirationDateTime": until }).to_string())
}

async fn subscribe(scene: &Scene, folder: Option<&str>) -> Result<Subscription> {
    scene.graph.subscribe(&mailbox(), folder, &callback(), &soon()).await
}

#[tokio::test]
async fn a_subscription_is_made_renewed_and_ended() {
    let scene = Scene::new(|asked| match asked.method.as_str() {
        "POST" => made(asked),
        "PATCH" => Reply::json(200, r#"{"id":"s-1","expirationDateTime":"2026-03-01T10:00:00Z"}"#),
        _ => Reply::status(204),
    })
    .await;
    let subscription = subscribe(&scene, Some("inbox")).await.unwrap();
    assert_eq!(subscription.id, "s-1");
    let week = Timestamp::now() + Duration::from_hours(7 * 24);
    assert!(subscription.until < week && subscription.until > week - Duration::from_mins(10));
    let until = "2026-03-01T10:00:00Z".parse().unwrap();
    let renewed = scene.graph.renew(&mailbox(), "s-1", until, &soon()).await.unwrap();
    assert_eq!(renewed.until, until);
    scene.graph.unsubscribe(&mailbox(), "s-1", &soon()).await.unwrap();

    let asked: Vec<_> = scene.stub.asked().into_iter().skip(1).collect();
    assert_eq!(asked[0].target, "/v1.0/subscriptions");
    let body = asked[0].json();
    assert_eq!(body["changeType"], "created,updated,deleted");
    assert_eq!(body["resource"], "users/noreply@contoso.com/mailFolders('inbox')/messages");
    assert_eq!(body["notificationUrl"], callback().url);
    assert_eq!(body["lifecycleNotificationUrl"], callback().lifecycle_url);
    assert_eq!(body["clientState"], "hush");
    assert_eq!(asked[1].json(), json!({ "expirationDateTime": "2026-03-01T10:00:00Z" }));
    assert_eq!(asked[2].target, "/v1.0/subscriptions/s-1");
}

#[tokio::test]
async fn one_that_is_gone_is_gone_and_ending_it_succeeds() {
    let scene = Scene::new(|_| Reply::error(404, "ResourceNotFound")).await;
    let error = scene.graph.renew(&mailbox(), "s-1", Timestamp::now(), &soon()).await.unwrap_err();
    assert_is(&error, Code::GraphSubscriptionGone, Verdict::Permanent);
    scene.graph.unsubscribe(&mailbox(), "s-1", &soon()).await.unwrap();
    // one that is to be made cannot be gone
    let error = subscribe(&scene, None).await.unwrap_err();
    assert!(is_mailboxs(&error) && error.code() == Code::MailboxNotFound, "{error:?}");
}

#[tokio::test]
async fn what_graph_does_not_take() {
    for (status, code, expected) in [
        (400, "InvalidRequest", Code::GraphSubscriptionRefused),
        (400, "ValidationError", Code::GraphSubscriptionRefused),
        (403, "QuotaOfSubscriptions", Code::GraphSubscriptionRefused),
        (403, "ErrorAccessDenied", Code::MailboxDenied),
        (503, "ExtensionError", Code::GraphUnavailable),
    ] {
        let scene = Scene::new(move |_| Reply::error(status, code)).await;
        let error = subscribe(&scene, None).await.unwrap_err();
        assert_eq!(error.code(), expected, "{code}: {error:?}");
        assert!(!format!("{error:?}").contains("hush"));
    }
}

#[tokio::test]
async fn one_that_an_earlier_run_left_behind_gives_way_and_others_do_not() {
    let there = AtomicBool::new(true);
    let scene = Scene::new(move |asked| match asked.method.as_str() {
        "POST" if there.load(Relaxed) => Reply::error(409, "Conflict"),
        "POST" => made(asked),
        "DELETE" => {
            there.store(false, Relaxed);
            Reply::status(204)
        }
        _ => {
            let known = |id: &str, resource: &str, url: &str| {
                json!({ "id": id, "resource": resource, "notificationUrl": url })
            };
            let own = "https://bridge.example/notifications";
            let all = "users/NoReply@contoso.com/messages";
            let value = [
                known("other-1", all, "https://other.example/"),
                known("other-2", "users/somebody@contoso.com/messages", own),
                known("own", &format!("/{all}"), own),
            ];
            Reply::json(200, json!({ "value": value }).to_string())
        }
    })
    .await;
    subscribe(&scene, None).await.unwrap();
    let deleted: Vec<_> =
        targets(&scene).into_iter().filter(|target| target.contains("subscriptions/")).collect();
    assert_eq!(deleted, ["/v1.0/subscriptions/own"]);
}

#[tokio::test]
async fn a_duplicate_of_somebody_elses_is_refused() {
    let scene = Scene::new(|asked| match asked.method.as_str() {
        "POST" => Reply::error(409, "Conflict"),
        _ => Reply::json(200, r#"{"value":[]}"#),
    })
    .await;
    let error = subscribe(&scene, None).await.unwrap_err();
    assert_is(&error, Code::GraphSubscriptionRefused, Verdict::Permanent);
}
