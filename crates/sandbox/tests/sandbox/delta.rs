//! Delta queries on messages, when nothing goes wrong with them.

use mailbridge_sandbox::{Bulk, Pointer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::follower::{fetch, first, follow};
use crate::support::{MAILBOX, World, encode, finish, start};

const BULK_START: &str = "2026-01-01T00:00:00Z";

fn bulk(world: &World, count: u64, step_seconds: f64) {
    let received = Some(BULK_START.parse().unwrap());
    let bulk = Bulk { received, step_seconds, ..Bulk::new(MAILBOX, count) };
    assert_eq!(world.handle().receive_many(&bulk).unwrap(), count);
}

fn pointer(subject: &str) -> Pointer {
    Pointer::subject(MAILBOX, subject)
}

fn change(world: &World, subject: &str, change: Value) {
    let Value::Object(change) = change else { panic!("no object") };
    world.handle().change_message(&pointer(subject), change).unwrap();
}

fn immutable_ids(world: &World, folder: &str) -> Vec<String> {
    let held = world.handle().contents(MAILBOX, folder).unwrap();
    held.into_iter().map(|one| one.immutable_id).collect()
}

#[tokio::test]
async fn a_folder_is_read_in_pages_and_in_the_order_of_arrival() {
    let world = start().await;
    bulk(&world, 25, 60.0);
    let round =
        follow(&world, &first(&world, "inbox", "?$select=subject,receivedDateTime"), 10).await;
    assert_eq!(round.pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(round.ids(), immutable_ids(&world, "inbox"));
    let item = &round.pages[0][1];
    assert_eq!(
        (&item["subject"], &item["receivedDateTime"]),
        (&json!("Message 2"), &json!("2026-01-01T00:01:00Z"))
    );
    assert_eq!(item["@odata.type"], "#microsoft.graph.message");
    assert!(item.get("body").is_none() && item["@odata.etag"].is_string());
    let quiet = follow(&world, &round.delta_link, 10).await;
    assert_eq!((quiet.items().len(), quiet.pages.len()), (0, 1));
    let link = &round.links[1];
    assert!(link.starts_with(&world.sandbox.graph_url()) && !link.contains("subject"), "{link}");
}

#[tokio::test]
async fn both_spellings_and_both_formats_of_ids() {
    let world = start().await;
    bulk(&world, 3, 0.0);
    let held = world.handle().contents(MAILBOX, "inbox").unwrap();
    let inbox = world.get(&format!("users/{MAILBOX}/mailFolders/inbox")).await.json();
    let id = inbox["id"].as_str().unwrap();
    for path in [
        format!("users/{MAILBOX}/mailFolders/Inbox/messages/delta"),
        format!("users/{MAILBOX}/mailFolders('inbox')/messages/delta()"),
        format!(
            "users('{MAILBOX}')/mailFolders('{}')/messages/microsoft.graph.delta()",
            encode(id)
        ),
    ] {
        let page = world.get(&path).await.expect(StatusCode::OK).json();
        let ids: Vec<_> = page["value"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
        assert_eq!(ids, held.iter().map(|one| &one.id).collect::<Vec<_>>(), "{path}");
    }
    let whole = world.get(&format!("users/{MAILBOX}/messages/delta")).await;
    whole.refused(400, "BadRequest");
    let nowhere = world.get(&format!("users/{MAILBOX}/mailFolders/nowhere/messages/delta")).await;
    nowhere.refused(400, "ErrorInvalidIdMalformed");
}

#[tokio::test]
async fn a_round_tells_what_came_changed_and_went() {
    let world = start().await;
    bulk(&world, 6, 60.0);
    let start = follow(&world, &first(&world, "inbox", "?$select=subject,isRead,flag"), 50).await;
    change(&world, "Message 1", json!({"isRead": true}));
    change(&world, "Message 2", json!({"isRead": true}));
    change(&world, "Message 2", json!({"flag": {"flagStatus": "flagged"}, "categories": ["c"]}));
    world.handle().delete_message(&pointer("Message 3"), true).unwrap();
    world.handle().delete_message(&pointer("Message 4"), false).unwrap();
    world.handle().move_message(&pointer("Message 5"), "archive").unwrap();
    bulk(&world, 1, 0.0);
    let next = follow(&world, &start.delta_link, 50).await;
    let removed = |index: usize| {
        json!({"@odata.type": "#microsoft.graph.message", "id": start.ids()[index],
               "@removed": {"reason": "deleted"}})
    };
    let items = next.items();
    assert_eq!(items.len(), 6, "{items:?}");
    assert_eq!((&items[0]["id"], &items[0]["isRead"]), (&json!(start.ids()[0]), &json!(true)));
    assert!(items[0].get("subject").is_none() && items[0].get("flag").is_none(), "changes alone");
    assert_eq!(
        (&items[1]["isRead"], &items[1]["flag"]["flagStatus"]),
        (&json!(true), &json!("flagged"))
    );
    assert!(items[1].get("categories").is_none(), "not selected");
    for (at, index) in [(2, 2), (3, 3), (4, 4)] {
        assert_eq!(*items[at], removed(index));
    }
    assert_eq!(items[5]["subject"], "Message 1");
    let archive = follow(&world, &first(&world, "archive", ""), 50).await;
    assert_eq!(archive.ids(), [start.ids()[4]], "new where it went to, under the same id");
}

#[tokio::test]
async fn a_message_that_comes_back_is_not_told_as_gone() {
    let world = start().await;
    bulk(&world, 1, 0.0);
    let link = first(&world, "inbox", "?$select=subject");
    let seen = follow(&world, &link, 50).await;
    world.handle().move_message(&pointer("Message 1"), "archive").unwrap();
    world.handle().move_message(&pointer("Message 1"), "inbox").unwrap();
    let back = follow(&world, &seen.delta_link, 50).await;
    assert_eq!((back.ids(), back.items()[0].get("@removed")), (seen.ids(), None));
    // under default ids it is another one
    let request = world.http.get(&seen.delta_link).bearer_auth(&world.token);
    let page = finish(request).await.expect(StatusCode::OK).json();
    let gone: Vec<bool> =
        page["value"].as_array().unwrap().iter().map(|one| one.get("@removed").is_some()).collect();
    assert_eq!(gone, [true, false]);
}

#[tokio::test]
async fn what_happens_between_two_pages_is_told_in_the_end() {
    let world = start().await;
    bulk(&world, 20, 60.0);
    let page = fetch(&world, &first(&world, "inbox", ""), 5).await.expect(StatusCode::OK).json();
    let next = page["@odata.nextLink"].as_str().unwrap();
    change(&world, "Message 2", json!({"isRead": true}));
    change(&world, "Message 15", json!({"isRead": true}));
    world.handle().delete_message(&pointer("Message 3"), true).unwrap();
    world.handle().delete_message(&pointer("Message 18"), true).unwrap();
    bulk(&world, 1, 0.0);
    let rest = follow(&world, next, 5).await;
    assert_eq!(rest.items().len(), 14, "those that were there when the round began");
    let again = follow(&world, next, 5).await;
    assert_eq!(rest.pages, again.pages, "a link gives the same twice");
    let after = follow(&world, &rest.delta_link, 5).await;
    let mut known = page["value"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap());
    let mut known: std::collections::BTreeSet<&str> = known.by_ref().collect();
    rest.applied_to(&mut known);
    after.applied_to(&mut known);
    let truth = immutable_ids(&world, "inbox");
    assert_eq!(known, truth.iter().map(String::as_str).collect());
}

#[tokio::test]
async fn one_kind_of_change_can_be_asked_for() {
    let world = start().await;
    bulk(&world, 3, 0.0);
    let mut links = Vec::new();
    for kind in ["created", "updated", "deleted"] {
        let options = format!("?changeType={kind}&$select=subject");
        links.push(follow(&world, &first(&world, "inbox", &options), 10).await);
    }
    assert_eq!(links.iter().map(|round| round.items().len()).collect::<Vec<_>>(), [3, 0, 0]);
    bulk(&world, 1, 0.0);
    change(&world, "Message 2", json!({"isRead": true}));
    world.handle().delete_message(&pointer("Message 3"), true).unwrap();
    for round in links {
        let next = follow(&world, &round.delta_link, 10).await;
        assert_eq!(next.items().len(), 1, "{:?}", next.items());
    }
}

#[tokio::test]
async fn a_filter_ends_at_five_thousand_and_top_ends_the_round() {
    let world = start().await;
    bulk(&world, 6_000, 60.0);
    let filter = |from: &str| format!("?$select=subject&$filter=receivedDateTime%20ge%20{from}");
    let capped = follow(&world, &first(&world, "inbox", &filter(BULK_START)), 1_000).await;
    assert_eq!((capped.items().len(), capped.pages.len()), (5_000, 5));
    // 100 hours are 6,000 minutes
    let newest = filter("2026-01-05T03:00:00Z") + "&$orderby=receivedDateTime%20desc";
    let newest = follow(&world, &first(&world, "inbox", &newest), 50).await;
    assert_eq!((newest.items().len(), &newest.items()[0]["subject"]), (60, &json!("Message 6000")));
    let everything = follow(&world, &first(&world, "inbox", "?$select=subject"), 1_000).await;
    assert_eq!(everything.items().len(), 6_000);
    let top = follow(&world, &first(&world, "inbox", "?$top=2&$select=subject"), 10).await;
    assert_eq!((top.items().len(), top.pages.len()), (2, 1));
    bulk(&world, 3, 0.0);
    assert_eq!(follow(&world, &top.delta_link, 10).await.items().len(), 3);
    let late = follow(&world, &capped.delta_link, 10).await;
    assert_eq!(late.items().len(), 3, "only what came since");
}

#[tokio::test]
async fn attachments_come_along_when_expanded() {
    let world = start().await;
    let mail = Bulk { attachments: [2, 2], attachment_bytes: [10, 20], ..Bulk::new(MAILBOX, 1) };
    world.handle().receive_many(&mail).unwrap();
    let options = "?$select=subject&$expand=attachments($select=name,size)";
    let round = follow(&world, &first(&world, "inbox", options), 10).await;
    let files = round.items()[0]["attachments"].as_array().unwrap();
    assert_eq!((files.len(), &files[1]["name"]), (2, &json!("file2.bin")));
}

#[tokio::test]
async fn what_delta_does_not_take_is_refused() {
    let world = start().await;
    for (options, code) in [
        ("?$search=x", "BadRequest"),
        ("?$skip=1", "BadRequest"),
        ("?$filter=isRead%20eq%20true", "InefficientFilter"),
        ("?$orderby=receivedDateTime", "InefficientFilter"),
        ("?$select=colour", "RequestBroker--ParseUri"),
        ("?$deltatoken=latest", "SyncStateInvalid"),
        ("?$skiptoken=abc", "SyncStateInvalid"),
    ] {
        fetch(&world, &first(&world, "inbox", options), 10).await.refused(400, code);
    }
    let round = follow(&world, &first(&world, "inbox", ""), 10).await;
    let more = format!("{}&$select=subject", round.delta_link);
    fetch(&world, &more, 10).await.refused(400, "BadRequest");
    let (_, token) = round.delta_link.split_once("$deltatoken=").unwrap();
    let foreign = first(&world, "archive", &format!("?$deltatoken={token}"));
    fetch(&world, &foreign, 10).await.refused(400, "SyncStateInvalid");
    let post =
        world.request(Method::POST, &format!("users/{MAILBOX}/mailFolders/inbox/messages/delta"));
    assert_eq!(finish(post.json(&json!({}))).await.status, 405);
}

#[tokio::test]
async fn a_sent_mail_shows_in_sent_items_and_leaves_the_drafts() {
    let world = start().await;
    let draft = world.draft("d").await;
    let drafts = follow(&world, &first(&world, "drafts", ""), 10).await;
    assert_eq!(drafts.items().len(), 1);
    world.send(&draft).await.expect(StatusCode::ACCEPTED);
    let after = follow(&world, &drafts.delta_link, 10).await;
    assert!(after.items()[0].get("@removed").is_some());
    let sent = follow(&world, &first(&world, "sentitems", "?$select=subject"), 10).await;
    assert_eq!(sent.items()[0]["subject"], "d");
}
