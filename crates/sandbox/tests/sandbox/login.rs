//! The token endpoint, and what a token is good for.

use std::time::Duration;

use mailbridge_sandbox::{
    ALL_ROLES, App, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID, Outage,
    Sandbox, Secret, Tenant,
};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{MAILBOX, World, aadsts, finish, form, start, start_with};

fn without<'a>(form: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
    form.iter().filter(|(key, _)| *key != name).copied().collect()
}

#[tokio::test]
async fn a_secret_buys_a_token_in_the_form_or_as_basic() {
    let world = start().await;
    let reply = world.ask_token(&form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET)).await;
    let body = reply.expect(StatusCode::OK).json();
    assert_eq!(body["token_type"], "Bearer");
    let lifetime = body["expires_in"].as_u64().unwrap();
    assert!((3600..=5400).contains(&lifetime), "{lifetime}");
    assert_eq!(body["ext_expires_in"], body["expires_in"]);
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(token.split('.').count(), 3);

    let url = format!("{}/{DEMO_DOMAIN}/oauth2/v2.0/token", world.sandbox.login_url());
    let basic = world
        .http
        .post(url)
        .basic_auth(DEMO_CLIENT_ID, Some(DEMO_CLIENT_SECRET))
        .form(&without(&without(&form("", ""), "client_id"), "client_secret"));
    finish(basic).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn refusals_are_the_real_ones() {
    let tenant = Tenant::demo().app(App::new("app-off").secret("s").disabled());
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    let good = form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET);
    let with = |name: &'static str, value: &'static str| {
        let mut form = without(&good, name);
        form.push((name, value));
        form
    };
    let cases = [
        (DEMO_TENANT_ID, with("client_secret", "wrong"), 401, "invalid_client", 7_000_215),
        (DEMO_TENANT_ID, with("client_id", "nobody"), 400, "unauthorized_client", 700_016),
        (DEMO_TENANT_ID, form("app-off", "s").to_vec(), 400, "unauthorized_client", 7_000_112),
        ("elsewhere.example", good.to_vec(), 400, "invalid_request", 90_002),
        ("common", good.to_vec(), 400, "invalid_request", 9_001_023),
        ("consumers", good.to_vec(), 400, "invalid_request", 9_001_023),
        (DEMO_TENANT_ID, without(&good, "grant_type"), 400, "invalid_request", 900_144),
        (DEMO_TENANT_ID, without(&good, "client_id"), 400, "invalid_request", 900_144),
        (DEMO_TENANT_ID, without(&good, "client_secret"), 401, "invalid_client", 7_000_218),
        (DEMO_TENANT_ID, with("scope", "Mail.Send"), 400, "invalid_scope", 70_011),
        (
            DEMO_TENANT_ID,
            with("scope", "https://graph.microsoft.com/.default https://x/.default"),
            400,
            "invalid_scope",
            70_011,
        ),
        (
            DEMO_TENANT_ID,
            with("scope", "https://other.example/.default"),
            400,
            "invalid_resource",
            500_011,
        ),
        (DEMO_TENANT_ID, with("grant_type", "password"), 400, "unsupported_grant_type", 70_003),
    ];
    for (tenant, form, status, error, number) in cases {
        let reply = world.ask_token_of(tenant, &form).await;
        assert_eq!(reply.status, status, "{number}");
        aadsts(&reply.json(), error, number);
        assert!(!String::from_utf8_lossy(&reply.bytes).contains(DEMO_CLIENT_SECRET));
    }
    let url = format!("{}/{DEMO_TENANT_ID}/oauth2/v2.0/token", world.sandbox.login_url());
    aadsts(&finish(world.http.get(url)).await.json(), "invalid_request", 900_561);
}

#[tokio::test]
async fn secrets_rotate_side_by_side_and_expire() {
    let world = start().await;
    let handle = world.handle();
    let ask = async |secret: &'static str| world.ask_token(&form(DEMO_CLIENT_ID, secret)).await;
    handle.add_secret(DEMO_CLIENT_ID, Secret::new("second").id("the-id")).unwrap();
    ask("second").await.expect(StatusCode::OK);
    ask(DEMO_CLIENT_SECRET).await.expect(StatusCode::OK);

    handle.expire_secret(DEMO_CLIENT_ID, Some(DEMO_CLIENT_SECRET)).unwrap();
    let expired = ask(DEMO_CLIENT_SECRET).await;
    aadsts(&expired.expect(StatusCode::UNAUTHORIZED).json(), "invalid_client", 7_000_222);
    ask("second").await.expect(StatusCode::OK);

    let pasted_id = ask("the-id").await;
    aadsts(&pasted_id.expect(StatusCode::UNAUTHORIZED).json(), "invalid_client", 7_000_215);
    handle.revoke_secret(DEMO_CLIENT_ID, Some("the-id")).unwrap();
    ask("second").await.expect(StatusCode::UNAUTHORIZED);
    assert!(handle.add_secret("nobody", "x").is_err());
}

#[tokio::test]
async fn tokens_end_by_time_or_by_revocation() {
    let world = start_with(Sandbox::builder().token_lifetime(Duration::from_secs(2))).await;
    let path = format!("users/{MAILBOX}/messages");
    world.get(&path).await.expect(StatusCode::OK);
    world.handle().advance_clock(Duration::from_secs(2));
    let reply = world.get(&path).await.refused(401, "InvalidAuthenticationToken");
    assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer "));

    let world = World { token: world.fresh_token().await, ..world };
    world.get(&path).await.expect(StatusCode::OK);
    assert!(world.handle().revoke_tokens() > 0);
    world.get(&path).await.refused(401, "InvalidAuthenticationToken");
}

#[tokio::test]
async fn a_request_needs_a_token_that_the_sandbox_gave() {
    let world = start().await;
    let url = format!("{}/v1.0/users/{MAILBOX}/messages", world.sandbox.graph_url());
    for request in [
        world.http.get(&url),
        world.http.get(&url).bearer_auth("made.up.token"),
        world.http.get(&url).bearer_auth("x"),
        world.http.get(&url).basic_auth("a", Some("b")),
    ] {
        finish(request).await.refused(401, "InvalidAuthenticationToken");
    }
}

#[tokio::test]
async fn roles_decide_what_a_token_may_do() {
    let app = |id: &str, roles: &[&str]| App::new(id).secret("s").roles(roles.iter().copied());
    let tenant = Tenant::demo()
        .app(app("sender", &["Mail.Send"]))
        .app(app("writer", &["Mail.ReadWrite"]))
        .app(app("nothing", &[]));
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    let token_of = async |id: &'static str| {
        let reply = world.ask_token(&form(id, "s")).await.expect(StatusCode::OK).json();
        reply["access_token"].as_str().unwrap().to_owned()
    };
    let sender = token_of("sender").await;
    let writer = token_of("writer").await;
    let nothing = token_of("nothing").await;
    let messages = format!("{}/v1.0/users/{MAILBOX}/messages", world.sandbox.graph_url());
    let send_mail = format!("{}/v1.0/users/{MAILBOX}/sendMail", world.sandbox.graph_url());
    let users = format!("{}/v1.0/users", world.sandbox.graph_url());
    let list = async |url: &str, token: &str| finish(world.http.get(url).bearer_auth(token)).await;

    list(&messages, &sender).await.refused(403, "ErrorAccessDenied");
    list(&messages, &writer).await.expect(StatusCode::OK);
    list(&users, &writer).await.refused(403, "Authorization_RequestDenied");
    list(&messages, &nothing).await.refused(403, "ErrorAccessDenied");
    let send = world.http.post(&send_mail).bearer_auth(&writer).json(&json!({}));
    finish(send).await.refused(403, "ErrorAccessDenied");
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let other = Tenant::new("00000000-0000-4000-8000-000000000002")
        .app(App::new("stranger").secret("s").roles(ALL_ROLES))
        .mailbox("eve@other.example");
    let builder = Sandbox::builder().tenant(Tenant::demo()).tenant(other);
    let world = start_with(builder).await;
    world.get("users/eve@other.example/messages").await.refused(404, "ErrorInvalidUser");
    let reply = world.ask_token(&form("stranger", "s")).await;
    aadsts(&reply.json(), "unauthorized_client", 700_016);
}

#[tokio::test]
async fn the_login_host_can_be_out() {
    let world = start().await;
    let ask = async || world.ask_token(&form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET)).await;
    world.handle().set_outage(Outage::Throttled);
    let throttled = ask().await.expect(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(throttled.header("retry-after"), Some("60"));
    world.handle().set_outage(Outage::Unavailable);
    assert_eq!(
        ask().await.expect(StatusCode::SERVICE_UNAVAILABLE).json()["error"],
        "temporarily_unavailable"
    );
    world.handle().set_outage(Outage::Html);
    assert!(ask().await.bytes.starts_with(b"<!DOCTYPE html>"));
    world.handle().set_outage(Outage::Reset);
    let url = format!("{}/{DEMO_TENANT_ID}/oauth2/v2.0/token", world.sandbox.login_url());
    world.http.post(url).form(&form("a", "b")).send().await.expect_err("the line is reset");
    world.handle().set_outage(Outage::None);
    ask().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn libraries_find_their_endpoints() {
    let world = start().await;
    let base = world.sandbox.login_url();
    let path = format!("{DEMO_TENANT_ID}/v2.0/.well-known/openid-configuration");
    let found =
        finish(world.http.get(format!("{base}/{path}"))).await.expect(StatusCode::OK).json();
    assert_eq!(found["token_endpoint"], format!("{base}/{DEMO_TENANT_ID}/oauth2/v2.0/token"));
    let proxied = world
        .http
        .get(format!("{base}/{path}"))
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "login.example");
    let found = finish(proxied).await.json();
    assert!(found["token_endpoint"].as_str().unwrap().starts_with("https://login.example/"));
}
