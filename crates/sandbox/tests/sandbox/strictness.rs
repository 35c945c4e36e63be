//! What Graph would refuse is refused.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{MAILBOX, encode, finish, message, start};

fn with(name: &str, value: Value) -> Value {
    let mut message = message("s", "k");
    message[name] = value;
    json!({"message": message})
}

#[tokio::test]
async fn bad_messages_have_their_codes_and_send_nothing() {
    let world = start().await;
    let path = format!("users/{MAILBOX}/sendMail");
    let header = |name: String| json!({"name": name, "value": "v"});
    let six: Vec<Value> = (0..6).map(|n| header(format!("x-{n}"))).collect();
    let recipient = |address: String| json!({"emailAddress": {"address": address}});
    let many: Vec<Value> = (0..501).map(|n| recipient(format!("u{n}@b.example"))).collect();
    let cases = [
        (with("subjekt", json!("x")), "RequestBodyRead"),
        (with("saveToSentItems", json!(true)), "RequestBodyRead"),
        (with("subject", json!(1)), "RequestBodyRead"),
        (with("toRecipients", json!("a@b.example")), "RequestBodyRead"),
        (with("importance", json!("urgent")), "RequestBodyRead"),
        (with("body", json!({"contentType": "markdown"})), "RequestBodyRead"),
        (with("internetMessageHeaders", json!(six)), "InvalidInternetMessageHeaderCollection"),
        (
            with("internetMessageHeaders", json!([header("References".into())])),
            "InvalidInternetMessageHeaderCollection",
        ),
        (with("toRecipients", json!([])), "ErrorInvalidRecipients"),
        (with("toRecipients", json!([recipient("nobody".into())])), "ErrorInvalidRecipients"),
        (with("toRecipients", json!([{}])), "ErrorInvalidRecipients"),
        (with("bccRecipients", json!(many)), "ErrorInvalidRecipients"),
        (
            with("singleValueExtendedProperties", json!([{"id": "Key", "value": "v"}])),
            "ErrorInvalidExtendedProperty",
        ),
        (json!([]), "BadRequest"),
    ];
    for (body, code) in cases {
        world.post(&path, &body).await.refused(400, code);
    }
    let raw = |kind: &'static str, body: &'static str| {
        world.request(Method::POST, &path).header("content-type", kind).body(body)
    };
    finish(raw("application/json", "{")).await.refused(400, "BadRequest");
    finish(raw("application/octet-stream", "{}")).await.refused(400, "BadRequest");
    let gzip = raw("application/json", "{}").header("content-encoding", "gzip");
    finish(gzip).await.expect(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.sent_total(), 0);
    assert!(world.list("messages", &[]).await.is_empty(), "nothing half made");
}

#[tokio::test]
async fn the_error_body_is_graphs() {
    let world = start().await;
    let path = format!("users/{MAILBOX}/sendMail");
    let request = world.request(Method::POST, &path).header("client-request-id", "mine");
    let reply = finish(request.json(&with("subjekt", json!("x")))).await;
    let error = &reply.json()["error"];
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("The property 'subjekt' does not exist on type 'microsoft.graph.message'")
    );
    assert_eq!(error["innerError"]["client-request-id"], "mine");
    assert_eq!(error["innerError"]["request-id"], reply.header("request-id").unwrap());
    assert!(error["innerError"]["date"].is_string());
}

#[tokio::test]
async fn a_body_over_four_megabytes_is_refused_in_json() {
    let world = start().await;
    let body = with("subject", json!("x".repeat(4 * 1024 * 1024)));
    let reply = world.post(&format!("users/{MAILBOX}/sendMail"), &body).await;
    assert_eq!(reply.status, 413);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("4MB"));
    world.send_mail("after it").await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn ids_are_told_apart() {
    let world = start().await;
    let id = world.draft("d").await;
    for c in ['/', '+', '='] {
        assert!(id.contains(c), "{id}");
    }
    let get = async |mailbox: &str, id: &str| {
        world.get(&format!("users/{mailbox}/messages/{}", encode(id))).await
    };
    get(MAILBOX, &id).await.expect(StatusCode::OK);
    get(MAILBOX, &id.to_lowercase()).await.refused(400, "ErrorInvalidIdMalformed");
    get(MAILBOX, "xyz").await.refused(400, "ErrorInvalidIdMalformed");
    get("bob@contoso.example", &id).await.refused(404, "ErrorInvalidMailboxItemId");
    let unencoded = world.get(&format!("users/{MAILBOX}/messages/{id}")).await;
    assert!(unencoded.status >= 400, "a slash in a path is not part of an id");
    let quoted = world.get(&format!("users('{MAILBOX}')/messages('{}')", encode(&id))).await;
    quoted.expect(StatusCode::OK);
}

#[tokio::test]
async fn paths_and_users_that_are_not_there() {
    let world = start().await;
    world.get("users/nobody@elsewhere.example/messages").await.refused(404, "ErrorInvalidUser");
    world.get("users/nobody@elsewhere.example").await.refused(404, "Request_ResourceNotFound");
    world.get("me/messages").await.refused(400, "BadRequest");
    world.get(&format!("users/{MAILBOX}/calendar")).await.refused(400, "BadRequest");
    let sent = world.get(&format!("users/{MAILBOX}/sendMail")).await;
    sent.expect(StatusCode::METHOD_NOT_ALLOWED);
    world
        .get(&format!("users/{MAILBOX}/mailFolders/nofolder"))
        .await
        .refused(400, "ErrorInvalidIdMalformed");
}

#[tokio::test]
async fn a_post_says_how_long_it_is_even_when_it_is_empty() {
    let world = start().await;
    let id = world.draft("d").await;
    let path = format!("users/{MAILBOX}/messages/{}/send", encode(&id));
    let reply = finish(world.request(Method::POST, &path)).await;
    assert_eq!(reply.status, 411);
    assert!(String::from_utf8_lossy(&reply.bytes).contains("Length Required"));
    assert_eq!(world.sent_total(), 0);
    world.send(&id).await.expect(StatusCode::ACCEPTED);
}
