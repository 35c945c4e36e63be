//! Lists, filters, pages, folders, users.

use mailbridge_sandbox::{Sandbox, Tenant};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{KEY, MAILBOX, by_key, encode, finish, message, start, start_with};

#[tokio::test]
async fn the_key_property_finds_a_mail() {
    let world = start().await;
    world.draft("Draft-1").await;
    world.send_mail("Sent-1").await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.look("messages", "draft-1").await.len(), 1, "values have no case");
    assert_eq!(world.look("mailFolders/drafts/messages", "Draft-1").await.len(), 1);
    assert_eq!(world.look("mailFolders/sentitems/messages", "Sent-1").await.len(), 1);
    assert_eq!(world.look("mailFolders/sentitems/messages", "Draft-1").await.len(), 0);
    let other_name = by_key("Draft-1").replace("Name Key", "Name key");
    assert_eq!(world.list("messages", &[("$filter", &other_name)]).await.len(), 0);

    let expand = format!("singleValueExtendedProperties($filter=id eq '{KEY}')");
    let found =
        world.list("messages", &[("$filter", &by_key("draft-1")), ("$expand", &expand)]).await;
    assert_eq!(found[0]["singleValueExtendedProperties"][0]["value"], "Draft-1");
    let plain = world.look("messages", "draft-1").await;
    assert!(plain[0].get("singleValueExtendedProperties").is_none());
}

#[tokio::test]
async fn other_filters_work_too() {
    let world = start().await;
    let id = world.draft("it's").await;
    world.send_mail("sent").await.expect(StatusCode::ACCEPTED);
    let draft = world.get(&format!("users/{MAILBOX}/messages/{}", encode(&id))).await.json();
    let message_id = draft["internetMessageId"].as_str().unwrap();
    let count = async |filter: &str| world.list("messages", &[("$filter", filter)]).await.len();
    assert_eq!(count(&format!("internetMessageId eq '{message_id}'")).await, 1);
    assert_eq!(count("isDraft eq true").await, 1);
    assert_eq!(count("subject eq 'it''s' or subject eq 'sent'").await, 2);
    assert_eq!(count("isRead eq true and not (isDraft eq true)").await, 1);
    assert_eq!(count("receivedDateTime ge 2000-01-01T00:00:00Z").await, 2);
    assert_eq!(count("receivedDateTime lt 2000-01-01T00:00:00Z").await, 0);
    let path = format!("users/{MAILBOX}/messages");
    let with = |name: &str, value: &str| world.request(Method::GET, &path).query(&[(name, value)]);
    finish(with("$filter", "colour eq 'red'")).await.refused(400, "RequestBroker--ParseUri");
    finish(with("$foo", "1")).await.refused(400, "BadRequest");
    let sorted = with("$filter", "isDraft eq true").query(&[("$orderby", "subject")]);
    finish(sorted).await.refused(400, "InefficientFilter");
}

#[tokio::test]
async fn pages_follow_their_links_to_the_end() {
    let world = start().await;
    for number in 0..25 {
        world.send_mail(&format!("m{number}")).await.expect(StatusCode::ACCEPTED);
    }
    let mut seen = Vec::new();
    let mut pages = 0;
    let mut path = format!("users/{MAILBOX}/messages?$select=subject&$count=true");
    loop {
        let page = world.get(&path).await.expect(StatusCode::OK).json();
        assert_eq!(page["@odata.count"], 25);
        pages += 1;
        for message in page["value"].as_array().unwrap() {
            assert!(message.get("body").is_none() && message["id"].is_string());
            seen.push(message["subject"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["@odata.nextLink"].as_str() else { break };
        path = next.split_once("/v1.0/").unwrap().1.to_owned();
    }
    let newest_first: Vec<_> = (0..25).rev().map(|number| format!("m{number}")).collect();
    assert_eq!((pages, seen), (3, newest_first), "ten a page");
    let top = world.list("messages", &[("$top", "20"), ("$orderby", "receivedDateTime asc")]).await;
    assert_eq!((top.len(), &top[0]["subject"]), (20, &json!("m0")));
}

#[tokio::test]
async fn a_message_shows_what_was_asked_for() {
    let world = start().await;
    let mut draft = message("s", "k");
    draft["body"] = json!({"contentType": "html", "content": "<p>a &amp; b</p>"});
    draft["internetMessageHeaders"] = json!([{"name": "x-a", "value": "1"}]);
    let path = format!("users/{MAILBOX}/messages");
    let made = world.post(&path, &draft).await.expect(StatusCode::CREATED).json();
    assert!(made["body"]["content"].as_str().unwrap().starts_with("<html><head>"));
    assert_eq!(
        (&made["body"]["contentType"], &made["bodyPreview"]),
        (&json!("html"), &json!("a & b"))
    );
    assert!(made.get("internetMessageHeaders").is_none(), "only when selected");
    let one = format!("{path}/{}", encode(made["id"].as_str().unwrap()));
    let selected = world.get(&format!("{one}?$select=internetMessageHeaders")).await.json();
    assert_eq!(selected["internetMessageHeaders"][0]["name"], "x-a");
    let text =
        world.request(Method::GET, &one).header("prefer", "outlook.body-content-type=\"text\"");
    let text = finish(text).await;
    assert_eq!(text.header("preference-applied"), Some("outlook.body-content-type=\"text\""));
    assert_eq!(text.json()["body"]["content"], "a & b");
    let mime = world.get(&format!("{one}/$value")).await.expect(StatusCode::OK);
    assert!(String::from_utf8_lossy(&mime.bytes).contains("To: \"Bob\" <bob@fabrikam.example>"));
}

#[tokio::test]
async fn immutable_ids_are_another_format() {
    let world = start().await;
    let id = world.draft("d").await;
    let one = format!("users/{MAILBOX}/messages/{}", encode(&id));
    let immutable =
        |path: &str| world.request(Method::GET, path).header("prefer", "IdType=\"ImmutableId\"");
    let reply = finish(immutable(&one)).await;
    assert_eq!(reply.header("preference-applied"), Some("IdType=\"ImmutableId\""));
    let other = reply.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(other, id);
    let by_other = format!("users/{MAILBOX}/messages/{}", encode(&other));
    assert_eq!(finish(immutable(&by_other)).await.json()["subject"], "d");
}

#[tokio::test]
async fn only_the_harmless_part_of_a_sent_mail_changes() {
    let world = start().await;
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    let sent = world.list("messages", &[]).await;
    let one = format!("users/{MAILBOX}/messages/{}", encode(sent[0]["id"].as_str().unwrap()));
    let changes =
        json!({"isRead": false, "categories": ["Done"], "flag": {"flagStatus": "flagged"}});
    let after = world.patch(&one, &changes).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&after["isRead"], &after["flag"]["flagStatus"]),
        (&json!(false), &json!("flagged"))
    );
    let refused = world.patch(&one, &json!({"subject": "x"})).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        world.list("messages", &[("$filter", "categories/any(c:c eq 'done')")]).await.len(),
        1
    );
    assert!(world.handle().truth().sent()[0].categories.is_empty(), "the truth is what was sent");
}

#[tokio::test]
async fn folders_have_names_ids_and_counts() {
    let world = start().await;
    world.draft("d").await;
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    let drafts = world.get(&format!("users/{MAILBOX}/mailFolders/drafts")).await.json();
    assert_eq!((&drafts["displayName"], &drafts["totalItemCount"]), (&json!("Drafts"), &json!(1)));
    let id = encode(drafts["id"].as_str().unwrap());
    let below = format!("mailFolders/{id}/messages");
    assert_eq!(world.list(&below, &[]).await.len(), 1);
    let folders = world.list("mailFolders", &[("$top", "100")]).await;
    let names: Vec<&Value> = folders.iter().map(|folder| &folder["displayName"]).collect();
    assert!(names.contains(&&json!("Inbox")) && names.contains(&&json!("Sent Items")));
}

#[tokio::test]
async fn users_are_listed_in_pages() {
    let tenant = (0..5).fold(Tenant::demo(), |tenant, number| {
        tenant.mailbox(format!("user{number}@contoso.example"))
    });
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    let page = world.get("users?$top=3&$select=id,mail").await.expect(StatusCode::OK).json();
    assert_eq!(page["value"].as_array().unwrap().len(), 3);
    assert!(page["value"][0].get("displayName").is_none());
    let next = page["@odata.nextLink"].as_str().unwrap().split_once("/v1.0/").unwrap().1;
    let rest = world.get(next).await.json();
    assert_eq!(rest["value"].as_array().unwrap().len(), 2);
    assert!(rest.get("@odata.nextLink").is_none());

    let id = page["value"][1]["id"].as_str().unwrap();
    let user = world.get(&format!("users/{id}")).await.json();
    assert_eq!((&user["mail"], &user["displayName"]), (&page["value"][1]["mail"], &json!("User1")));
    world.get(&format!("users/{id}/messages")).await.expect(StatusCode::OK);
}
