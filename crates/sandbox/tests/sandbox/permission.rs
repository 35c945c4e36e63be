//! What an app may do in which mailbox: Entra's roles, Exchange's grants, the legacy policy.

use mailbridge_sandbox::{ALL_ROLES, App, MailboxGrant, Sandbox, Tenant};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{MAILBOX, Reply, World, form, message, start_with};

const BOB: &str = "bob@contoso.example";

async fn with(app: App) -> World {
    let builder = Sandbox::builder().tenant(Tenant::demo().app(app.secret("s")));
    let mut world = start_with(builder).await;
    world.log_in(&form("app", "s")).await;
    world
}

async fn send_from(world: &World, mailbox: &str) -> Reply {
    let body = json!({"message": message("s", "s")});
    world.post(&format!("users/{mailbox}/sendMail"), &body).await
}

/// The claims of the token, which clients must not read and doctors do.
fn roles(token: &str) -> Value {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["roles"].clone()
}

#[tokio::test]
async fn a_grant_in_exchange_is_for_its_mailboxes_and_not_in_the_token() {
    let app = App::new("app")
        .grant(MailboxGrant::new("Application Mail.Send", [MAILBOX]))
        .grant(MailboxGrant::new("Application Mail.ReadWrite", [MAILBOX]));
    let world = with(app).await;
    assert_eq!(roles(&world.token), Value::Null);
    send_from(&world, MAILBOX).await.expect(StatusCode::ACCEPTED);
    world.get(&format!("users/{MAILBOX}/mailFolders/inbox")).await.expect(StatusCode::OK);
    send_from(&world, BOB).await.refused(403, "ErrorAccessDenied");
    world.get(&format!("users/{BOB}/messages")).await.refused(403, "ErrorAccessDenied");
    world.get("users").await.refused(403, "Authorization_RequestDenied");
}

#[tokio::test]
async fn grants_add_to_what_entra_grants() {
    let app = App::new("app")
        .roles(["Mail.Send"])
        .grant(MailboxGrant::new("Application Mail.ReadWrite", [MAILBOX]));
    let world = with(app).await;
    assert_eq!(roles(&world.token), json!(["Mail.Send"]));
    send_from(&world, BOB).await.expect(StatusCode::ACCEPTED);
    world.get(&format!("users/{MAILBOX}/messages")).await.expect(StatusCode::OK);
    world.get(&format!("users/{BOB}/messages")).await.refused(403, "ErrorAccessDenied");
}

#[tokio::test]
async fn a_legacy_policy_limits_what_entra_grants_and_nothing_else() {
    let app = App::new("app")
        .roles(ALL_ROLES)
        .access_policy([MAILBOX])
        .grant(MailboxGrant::new("Application Mail.Send", ["carol@contoso.example"]));
    let world = with(app).await;
    send_from(&world, MAILBOX).await.expect(StatusCode::ACCEPTED);
    send_from(&world, "carol@contoso.example").await.expect(StatusCode::ACCEPTED);
    let denied = send_from(&world, BOB).await.refused(403, "ErrorAccessDenied");
    assert_eq!(denied.json()["error"]["message"], "Access to OData is disabled.");
    world.get(&format!("users/{BOB}")).await.expect(StatusCode::OK);
    world.get("users?$top=1").await.expect(StatusCode::OK);
    world.admin_post("apps", json!({"client_id": "app", "no_access_policy": true})).await;
    send_from(&world, BOB).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn permissions_change_while_it_runs() {
    let mut world = with(App::new("app")).await;
    send_from(&world, MAILBOX).await.refused(403, "ErrorAccessDenied");
    let grant = json!({"role": "Application Mail.Send", "mailboxes": ["*@contoso.example"]});
    world.admin_post("apps", json!({"client_id": "app", "grants": [grant]})).await;
    send_from(&world, MAILBOX).await.expect(StatusCode::ACCEPTED);
    world.admin_post("apps", json!({"client_id": "app", "access_policy": []})).await;
    send_from(&world, MAILBOX).await.expect(StatusCode::ACCEPTED);
    let consent = json!({"client_id": "app", "roles": ALL_ROLES, "grants": []});
    world.admin_post("apps", consent).await;
    send_from(&world, MAILBOX).await.refused(403, "ErrorAccessDenied");
    world.log_in(&form("app", "s")).await;
    let denied = send_from(&world, MAILBOX).await.refused(403, "ErrorAccessDenied");
    assert_eq!(denied.json()["error"]["message"], "Access to OData is disabled.");
}

#[tokio::test]
async fn consent_that_is_revoked_leaves_live_tokens_alone_until_told() {
    let mut world = with(App::new("app").roles(ALL_ROLES)).await;
    world.admin_post("apps", json!({"client_id": "app", "roles": []})).await;
    send_from(&world, MAILBOX).await.expect(StatusCode::ACCEPTED);
    let refreshed = world.admin_post("tokens/refresh", json!({"client_id": "app"})).await;
    assert_eq!(refreshed, json!({"refreshed": 1}));
    send_from(&world, MAILBOX).await.refused(403, "ErrorAccessDenied");
    world.log_in(&form("app", "s")).await;
    assert_eq!(roles(&world.token), Value::Null);
}

#[tokio::test]
async fn a_probe_for_a_message_that_is_not_there_tells_permission_first() {
    let made_up = format!("AAMk{}", "A".repeat(116));
    let path = format!("users/{MAILBOX}/messages/{made_up}");
    let reader = with(App::new("app").roles(["Mail.Read"])).await;
    reader.send(&made_up).await.refused(403, "ErrorAccessDenied");
    reader.patch(&path, &json!({})).await.refused(403, "ErrorAccessDenied");
    reader.get(&path).await.refused(404, "ErrorItemNotFound");
    let writer = with(App::new("app").roles(ALL_ROLES)).await;
    writer.send(&made_up).await.refused(404, "ErrorItemNotFound");
    writer.patch(&path, &json!({})).await.refused(404, "ErrorItemNotFound");
    writer.patch(&path, &json!({"subject": "x"})).await.refused(404, "ErrorItemNotFound");
}
