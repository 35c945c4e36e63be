//! Subscriptions: made, refused, renewed, and dead when their time is over.

use std::time::Duration;

use mailbridge_sandbox::{App, MailboxState, Sandbox, Tenant};
use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, NO_HANDSHAKE};
use crate::support::{MAILBOX, Reply, World, finish, start, start_with};

pub fn in_minutes(world: &World, minutes: i64) -> String {
    let end = world.handle().now() + Duration::from_secs(u64::try_from(minutes * 60).unwrap());
    end.to_string()
}

pub fn wanted(world: &World, endpoint: &Endpoint) -> Value {
    json!({
        "changeType": "created,updated,deleted",
        "notificationUrl": endpoint.url,
        "lifecycleNotificationUrl": endpoint.url,
        "resource": format!("users/{MAILBOX}/mailFolders('inbox')/messages"),
        "expirationDateTime": in_minutes(world, 120),
        "clientState": "secret",
    })
}

pub async fn subscribe(world: &World, body: &Value) -> String {
    let made = world.post("subscriptions", body).await.expect(StatusCode::CREATED).json();
    made["id"].as_str().unwrap().to_owned()
}

async fn without_body(world: &World, method: Method, path: &str) -> Reply {
    finish(world.request(method, path).header("content-length", "0")).await
}

#[tokio::test]
async fn one_is_made_read_renewed_and_taken_away() {
    let world = start().await;
    let endpoint = Endpoint::start().await;
    let made = world.post("subscriptions", &wanted(&world, &endpoint)).await;
    let location = made.header("location").unwrap().to_owned();
    let made = made.expect(StatusCode::CREATED).json();
    assert_eq!(
        (&made["clientState"], &made["applicationId"]),
        (&json!("secret"), &json!(DEMO_CLIENT_ID))
    );
    let one = location.split_once("/v1.0/").unwrap().1;
    assert_eq!(world.get(one).await.expect(StatusCode::OK).json()["id"], made["id"]);
    let listed = world.get("subscriptions").await.expect(StatusCode::OK).json();
    assert_eq!(listed["value"].as_array().unwrap().len(), 1);

    let end = json!({"expirationDateTime": in_minutes(&world, 600)});
    let renewed = world.patch(one, &end).await.expect(StatusCode::OK).json();
    assert_ne!(renewed["expirationDateTime"], made["expirationDateTime"]);
    let other = json!({"lifecycleNotificationUrl": endpoint.url});
    world.patch(one, &other).await.refused(400, "InvalidRequest");
    let path = format!("subscriptions/{}/reauthorize", made["id"].as_str().unwrap());
    without_body(&world, Method::POST, &path).await.expect(StatusCode::NO_CONTENT);
    without_body(&world, Method::DELETE, one).await.expect(StatusCode::NO_CONTENT);
    world.get(one).await.refused(404, "ResourceNotFound");
    without_body(&world, Method::DELETE, one).await.refused(404, "ResourceNotFound");
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let world = start().await;
    let endpoint = Endpoint::start().await;
    let good = wanted(&world, &endpoint);
    let changed = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, code) in [
        (changed("changeType", Value::Null), "RequestBodyRead"),
        (changed("changeType", json!("created,moved")), "InvalidRequest"),
        (changed("clientState", json!("x".repeat(129))), "InvalidRequest"),
        (changed("expirationDateTime", json!(in_minutes(&world, 10_081))), "InvalidRequest"),
        (changed("expirationDateTime", json!("2020-01-01T00:00:00Z")), "InvalidRequest"),
        (changed("resource", json!("me/messages")), "InvalidRequest"),
        (changed("notificationUrl", json!("http://192.0.2.1/hook")), "InvalidRequest"),
        (changed("notificationUrl", json!("hook")), "InvalidRequest"),
        (changed("lifecycleNotificationUrl", json!("ftp://127.0.0.1/")), "InvalidRequest"),
        (changed("includeResourceData", json!(true)), "InvalidRequest"),
        (changed("color", json!("red")), "RequestBodyRead"),
    ] {
        world.post("subscriptions", &body).await.refused(400, code);
    }
    for missing in ["changeType", "notificationUrl", "resource", "expirationDateTime"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(missing);
        world.post("subscriptions", &body).await.refused(400, "InvalidRequest");
    }
    let nowhere = changed("resource", json!("users/x@elsewhere.example/messages"));
    world.post("subscriptions", &nowhere).await.refused(404, "ExtensionError");
    world.handle().set_mailbox(MAILBOX, MailboxState::Denied).unwrap();
    world.post("subscriptions", &good).await.refused(403, "ExtensionError");
    assert!(world.handle().subscriptions().is_empty());
}

#[tokio::test]
async fn the_handshake_must_be_right_and_in_time() {
    let world = start().await;
    let endpoint = Endpoint::start().await;
    endpoint.behave(NO_HANDSHAKE);
    let body = wanted(&world, &endpoint);
    let refused = world.post("subscriptions", &body).await.refused(400, "InvalidRequest");
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("must respond with 200 OK"), "{message}");
    let mut nobody = body.clone();
    nobody["notificationUrl"] = json!("http://127.0.0.1:9/hook");
    world.post("subscriptions", &nobody).await.refused(400, "InvalidRequest");
    assert!(world.handle().subscriptions().is_empty());
    endpoint.behave(202);
    subscribe(&world, &body).await;
}

#[tokio::test]
async fn the_end_is_raised_and_then_comes() {
    let world = start().await;
    let endpoint = Endpoint::start().await;
    let mut body = wanted(&world, &endpoint);
    body["expirationDateTime"] = json!(in_minutes(&world, 5));
    let id = subscribe(&world, &body).await;
    world.handle().advance_clock(Duration::from_mins(44));
    assert_eq!(world.handle().subscriptions()[0].id, id);
    world.handle().advance_clock(Duration::from_mins(2));
    assert!(world.handle().subscriptions().is_empty());
    // the token lives longer than this
    world.get(&format!("subscriptions/{id}")).await.refused(404, "ResourceNotFound");
    let end = json!({"expirationDateTime": in_minutes(&world, 60)});
    world.patch(&format!("subscriptions/{id}"), &end).await.refused(404, "ResourceNotFound");
}

#[tokio::test]
async fn an_app_needs_the_permission_and_sees_its_own() {
    let tenant = Tenant::new(DEMO_TENANT_ID)
        .app(App::new(DEMO_CLIENT_ID).secret(DEMO_CLIENT_SECRET).roles(["Mail.Send"]))
        .any_mailbox_of("contoso.example");
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    let endpoint = Endpoint::start().await;
    let refused = world.post("subscriptions", &wanted(&world, &endpoint)).await;
    refused.refused(403, "ExtensionError");
    let anonymous = world.http.get(format!("{}/v1.0/subscriptions", world.sandbox.graph_url()));
    finish(anonymous).await.refused(401, "InvalidAuthenticationToken");
}

#[tokio::test]
async fn a_mailbox_has_a_thousand_at_most() {
    let world = start().await;
    let endpoint = Endpoint::start().await;
    let mut body = wanted(&world, &endpoint);
    body.as_object_mut().unwrap().remove("lifecycleNotificationUrl");
    for _ in 0..1_000 {
        subscribe(&world, &body).await;
    }
    world.post("subscriptions", &body).await.refused(403, "Forbidden");
    body["resource"] = json!("users/bob@contoso.example/messages");
    subscribe(&world, &body).await;
}
