//! Pages of changes.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use mailbridge_core::changes::{Bodies, Item};
use mailbridge_graph::Options;

use super::*;

const DELTA: &str = "/v1.0/users/noreply@contoso.com/mailFolders/inbox/messages/delta";

/// The size of the page that was asked for.
fn size(asked: &Asked) -> Option<u32> {
    let prefer = asked.header("prefer")?;
    prefer.split("odata.maxpagesize=").nth(1)?.split(',').next()?.parse().ok()
}

#[tokio::test]
async fn the_link_is_the_cursor_and_the_wishes_go_with_every_call() {
    let scene = Scene::new(|asked| {
        let link = if asked.target.contains("?$select") { "next?a=1&b=%2F" } else { "delta?c=2" };
        listed(asked, link, &[json!({ "id": "1", "@removed": { "reason": "changed" } })])
    })
    .await;
    let select = Select { only_new: true, ..Select::default() };
    let first = page(&scene, None, &select, 50).await.unwrap();
    assert!(first.more && matches!(first.items[..], [Item::Removed(_)]));
    assert_eq!(first.next.0, format!("{}/v1.0/next?a=1&b=%2F", scene.stub.url()));
    let second = page(&scene, Some(&first.next.0), &select, 50).await.unwrap();
    assert!(!second.more);

    let asked: Vec<_> = scene.stub.asked().into_iter().skip(1).collect();
    assert!(asked[0].target.starts_with(DELTA) && asked[0].target.contains("changeType=created"));
    assert!(!asked[0].target.contains("$top"), "it would end the round");
    assert_eq!(asked[1].target, "/v1.0/next?a=1&b=%2F");
    for asked in asked {
        assert_eq!(
            asked.header("prefer"),
            Some(r#"IdType="ImmutableId", odata.maxpagesize=50, outlook.body-content-type="text""#)
        );
    }
}

#[tokio::test]
async fn a_page_that_graph_does_not_get_done_is_asked_for_smaller_and_the_size_is_remembered() {
    let scene = Scene::new(|asked| match size(asked).unwrap() {
        0..=10 => listed(asked, "delta", &[]),
        _ => Reply::error(504, "UnknownError"),
    })
    .await;
    let select = Select { bodies: Bodies::Html, ..Select::default() };
    page(&scene, None, &select, 100).await.unwrap();
    let link = format!("{}/v1.0/next", scene.stub.url());
    page(&scene, Some(&link), &select, 100).await.unwrap();
    let sizes: Vec<_> = scene.stub.asked().iter().skip(1).filter_map(size).collect();
    assert_eq!(sizes, [100, 25, 6, 12, 3]);
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_smaller() {
    let scene = Scene::new(|asked| {
        let text = "x".repeat(usize::try_from(size(asked).unwrap()).unwrap() * 7 * 1024 * 1024);
        listed(asked, "delta", &[json!({ "id": "1", "subject": text })])
    })
    .await;
    let select = Select::default();
    let told = page(&scene, None, &select, 10).await.unwrap();
    assert!(matches!(told.items[..], [Item::Present(_)]));
    let sizes: Vec<_> = scene.stub.asked().iter().skip(1).filter_map(size).collect();
    assert_eq!(sizes, [10, 2]);
}

#[tokio::test]
async fn one_message_that_never_comes_is_told_after_the_smallest_page() {
    let options = Options { request_timeout: Duration::from_millis(100), ..Options::default() };
    let scene = Scene::with(options, json!("s"), |_| Reply::Silence).await;
    scene.graph_ready().await;
    let error = page(&scene, None, &Select::default(), 5).await.unwrap_err();
    assert_is(&error, Code::GraphTimeout, Verdict::Transient { after: None });
    let sizes: Vec<_> = scene.stub.asked().iter().skip(1).filter_map(size).collect();
    assert_eq!(sizes, [5, 1]);
}

#[tokio::test]
async fn a_forgotten_cursor_is_told_and_a_first_page_has_none() {
    for (status, code) in
        [(410, "syncStateNotFound"), (400, "SYNCSTATEINVALID"), (404, "resyncRequired")]
    {
        let scene = Scene::new(move |_| Reply::error(status, code)).await;
        let link = format!("{}/v1.0/next", scene.stub.url());
        let again = Verdict::Transient { after: None };
        let error = page(&scene, Some(&link), &Select::default(), 10).await.unwrap_err();
        assert_is(&error, Code::GraphCursorExpired, again);
        let error = page(&scene, None, &Select::default(), 10).await.unwrap_err();
        assert_is(&error, Code::GraphUnavailable, again);
    }
}

#[tokio::test]
async fn a_cursor_of_another_host_is_not_followed_and_a_link_to_one_is_not_kept() {
    let scene = Scene::new(|_| {
        Reply::json(200, r#"{"value":[],"@odata.nextLink":"https://evil.example/v1.0/next"}"#)
    })
    .await;
    let error = page(&scene, Some("https://graph.example/v1.0/x"), &Select::default(), 10)
        .await
        .unwrap_err();
    assert_is(&error, Code::GraphCursorExpired, Verdict::Transient { after: None });
    assert!(scene.stub.asked().is_empty());
    let error = page(&scene, None, &Select::default(), 10).await.unwrap_err();
    assert_is(&error, Code::GraphLinkElsewhere, Verdict::Transient { after: None });
}

#[tokio::test]
async fn what_is_wrong_with_a_mailbox_or_a_folder() {
    for (status, code, expected) in [
        (404, "ErrorSyncFolderNotFound", Code::GraphFolderNotFound),
        (404, "ErrorItemNotFound", Code::GraphFolderNotFound),
        (404, "MailboxNotEnabledForRESTAPI", Code::MailboxNotFound),
        (404, "ResourceNotFound", Code::MailboxNotFound),
        (403, "ErrorAccessDenied", Code::MailboxDenied),
        (403, "ErrorQuotaExceeded", Code::MailboxFull),
    ] {
        let scene = Scene::new(move |_| Reply::error(status, code)).await;
        let error = page(&scene, None, &Select::default(), 10).await.unwrap_err();
        assert_eq!(error.code(), expected, "{error:?}");
        let waits = is_mailboxs(&error);
        assert_eq!(waits, expected != Code::GraphFolderNotFound, "{error:?}");
    }
}

#[tokio::test]
async fn a_throttled_mailbox_says_how_long_and_is_not_asked_meanwhile() {
    let scene =
        Scene::new(|_| Reply::error(429, "ApplicationThrottled").with("retry-after", "33")).await;
    for _ in 0..2 {
        let error = page(&scene, None, &Select::default(), 10).await.unwrap_err();
        assert!(is_mailboxs(&error) && error.code() == Code::GraphThrottled, "{error:?}");
    }
    assert_eq!(targets(&scene).len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_none_is_asked_for_again_from_the_same_place() {
    let turn = AtomicU32::new(0);
    let scene = Scene::new(move |_| match turn.fetch_add(1, Relaxed) {
        0 => Reply::json(200, "<html>login</html>"),
        1 => Reply::json(200, r#"{"value":[]}"#),
        2 => Reply::Torn(r#"{"value":["#.to_owned()),
        _ => Reply::Cut,
    })
    .await;
    for code in [Code::GraphUnexpected, Code::GraphUnexpected, Code::GraphCut, Code::GraphCut] {
        let error = page(&scene, None, &Select::default(), 10).await.unwrap_err();
        assert_is(&error, code, Verdict::Transient { after: None });
    }
}
