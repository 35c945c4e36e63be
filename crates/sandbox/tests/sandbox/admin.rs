//! The admin side over HTTP, and where a sandbox may listen.

use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{KEY, MAILBOX, form, start};

#[tokio::test]
async fn the_truth_is_read() {
    let world = start().await;
    for subject in ["one", "two", "one"] {
        world.send_mail(subject).await.expect(StatusCode::ACCEPTED);
    }
    world.draft("waiting").await;
    let summary = world.admin_get("truth").await;
    assert_eq!((&summary["sent_total"], &summary["drafts_left"]), (&json!(3), &json!(1)));
    assert_eq!(summary["sent_by_mailbox"][MAILBOX], 3);
    let sent = world.admin_get("truth/sent?subject=one&limit=1").await;
    assert_eq!(
        (&sent["sent"][0]["number"], sent["sent"].as_array().unwrap().len()),
        (&json!(3), 1)
    );
    assert_eq!(sent["sent"][0]["via"], "sendMail");
    let none = world.admin_get("truth/sent?mailbox=bob@*").await;
    assert_eq!(none["sent"], json!([]));
    let keys = world
        .admin_get(&format!("truth/properties?property={}", crate::support::encode(KEY)))
        .await;
    assert_eq!(keys, json!({"values": 2, "sent": 3, "duplicates": {"one": 2}}));
    let requests = world.admin_get("requests").await;
    assert_eq!(requests["requests"]["send_mail"]["202"], 3);
    world.admin_post("reset", json!({})).await;
    assert_eq!(world.admin_get("truth").await["sent_total"], 0);
    assert!(world.list("messages", &[]).await.is_empty());
}

#[tokio::test]
async fn faults_are_put_listed_and_taken_away() {
    let world = start().await;
    let rule = json!({
        "name": "gone after", "match": {"operation": "send_mail", "mailbox": "anna@*"},
        "when": "after", "often": {"first": 1}, "kind": {"answer": {"status": 504}},
    });
    let ids = world.admin_post("faults", json!([rule, {"kind": {"close": {}}, "limit": 0}])).await;
    assert_eq!(ids["ids"], json!([1, 2]));
    world.send_mail("s").await.refused(504, "UnknownError");
    let listed = world.admin_get("faults").await;
    assert_eq!(
        (&listed["faults"][0]["fired"], &listed["faults"][0]["name"]),
        (&json!(1), &json!("gone after"))
    );
    let cleared = world.admin(Method::DELETE, "faults?id=2", None).await.json();
    assert_eq!(cleared["cleared"], 1);
    let bad = world.admin(Method::POST, "faults", Some(json!({"kind": {"explode": {}}}))).await;
    assert_eq!(bad.status, 400);
    assert!(bad.json()["error"].as_str().unwrap().contains("explode"));
}

#[tokio::test]
async fn identity_mailboxes_and_time_are_changed() {
    let world = start().await;
    let ask = async |secret: &str| world.ask_token(&form(DEMO_CLIENT_ID, secret)).await.status;
    let change = |action: &str, secret: &str| {
        let app = DEMO_CLIENT_ID;
        json!({"client_id": app, "action": action, "secret": secret})
    };
    world.admin_post("apps/secrets", change("add", "new")).await;
    world.admin_post("apps/secrets", change("expire", DEMO_CLIENT_SECRET)).await;
    assert_eq!((ask("new").await, ask(DEMO_CLIENT_SECRET).await), (200, 401));
    world.admin_post("apps/secrets", change("revoke", "new")).await;
    assert_eq!(ask("new").await, 401);
    world.admin_post("apps", json!({"client_id": DEMO_CLIENT_ID, "disabled": true})).await;
    assert_eq!(ask("new").await, 400);
    let unknown = json!({"client_id": "nobody", "action": "add", "secret": "x"});
    let unknown = world.admin(Method::POST, "apps/secrets", Some(unknown)).await;
    assert_eq!(unknown.status, 404);

    world.admin_post("mailboxes", json!({"mailbox": MAILBOX, "state": "denied"})).await;
    world.send_mail("s").await.refused(403, "ErrorAccessDenied");
    world.admin_post("clock", json!({"advance_seconds": 7200})).await;
    world.send_mail("s").await.refused(401, "InvalidAuthenticationToken");
    world.admin_post("outage", json!({"login": "unavailable"})).await;
    assert_eq!(ask("new").await, 503);
    world.admin_post("tokens/revoke", json!({})).await;
    let nowhere = world.admin(Method::GET, "nowhere", None).await;
    assert_eq!(nowhere.status, 404);
}

#[tokio::test]
async fn it_listens_on_loopback_unless_asked() {
    let anywhere = "0.0.0.0:0".parse().unwrap();
    let error = Sandbox::builder().start(anywhere).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
    let world = start().await;
    let taken = Sandbox::builder().start(world.sandbox.address()).await.unwrap_err();
    assert!(taken.to_string().contains("choose a free port"), "{taken}");
}

#[tokio::test]
async fn two_sandboxes_know_nothing_of_each_other() {
    let (one, two) = (start().await, start().await);
    one.send_mail("s").await.expect(StatusCode::ACCEPTED);
    assert_eq!((one.sent_total(), two.sent_total()), (1, 0));
}
