//! Continuous access evaluation: long tokens for clients that take claims challenges, and what
//! becomes of them when they are revoked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{MAILBOX, Reply, World, aadsts, form, start};

const CP1: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;

async fn ask(world: &World, claims: &str) -> Reply {
    let mut form = form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET).to_vec();
    form.push(("claims", claims));
    world.ask_token(&form).await
}

async fn log_in(world: &mut World, claims: &str) -> Value {
    let body = ask(world, claims).await.expect(StatusCode::OK).json();
    body["access_token"].as_str().unwrap().clone_into(&mut world.token);
    body
}

async fn inbox(world: &World) -> Reply {
    world.get(&format!("users/{MAILBOX}/mailFolders/inbox")).await
}

/// The claims in the header, decoded.
fn challenge(reply: &Reply) -> Value {
    let header = reply.header("www-authenticate").unwrap();
    assert!(header.starts_with("Bearer realm=\"\", authorization_uri=\"https://"), "{header}");
    assert!(header.contains("error=\"insufficient_claims\""), "{header}");
    let claims = header.split("claims=\"").nth(1).unwrap().trim_end_matches('"');
    serde_json::from_slice(&STANDARD.decode(claims).unwrap()).unwrap()
}

/// What a client sends after a challenge: the challenge and its capability in one.
fn merged(challenge: &Value) -> String {
    let mut merged = challenge.clone();
    merged["access_token"]["xms_cc"] = json!({"values": ["cp1"]});
    merged.to_string()
}

#[tokio::test]
async fn a_client_that_takes_challenges_gets_a_long_token() {
    let mut world = start().await;
    let body = log_in(&mut world, CP1).await;
    let lifetime = body["expires_in"].as_u64().unwrap();
    assert!((20 * 3600..=28 * 3600).contains(&lifetime), "{lifetime}");
    assert_eq!(body["refresh_in"], lifetime / 2);
    inbox(&world).await.expect(StatusCode::OK);
    let upper = ask(&world, &CP1.replace("cp1", "CP1")).await.json();
    assert!(upper["expires_in"].as_u64().unwrap() > 5400);
    let plain = ask(&world, r#"{"access_token":{}}"#).await.json();
    assert!(plain["expires_in"].as_u64().unwrap() <= 5400);
    assert_eq!(plain["refresh_in"], Value::Null);
    aadsts(&ask(&world, "{").await.json(), "invalid_request", 9_002_313);
}

#[tokio::test]
async fn a_revoked_token_is_challenged_until_the_challenge_is_answered() {
    let mut world = start().await;
    log_in(&mut world, CP1).await;
    assert_eq!(world.admin_post("tokens/revoke", json!({})).await["revoked"], 2);
    let first = challenge(&inbox(&world).await.refused(401, "InvalidAuthenticationToken"));
    assert_eq!(first["access_token"]["nbf"]["essential"], true);
    // a token out of a cache, or asked for as before, does not help
    log_in(&mut world, CP1).await;
    challenge(&inbox(&world).await.refused(401, "InvalidAuthenticationToken"));
    log_in(&mut world, &merged(&first)).await;
    inbox(&world).await.expect(StatusCode::OK);

    world.handle().revoke_tokens_of(DEMO_CLIENT_ID);
    let second = challenge(&inbox(&world).await.refused(401, "InvalidAuthenticationToken"));
    assert_ne!(first, second);
    log_in(&mut world, &merged(&first)).await;
    inbox(&world).await.refused(401, "InvalidAuthenticationToken");
    log_in(&mut world, &merged(&second)).await;
    inbox(&world).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn without_the_capability_there_is_no_challenge() {
    let mut world = start().await;
    let revoke = json!({"client_id": "somebody-else"});
    assert_eq!(world.admin_post("tokens/revoke", revoke).await["revoked"], 0);
    inbox(&world).await.expect(StatusCode::OK);
    world.admin_post("tokens/revoke", json!({"client_id": DEMO_CLIENT_ID})).await;
    let plain = inbox(&world).await.refused(401, "InvalidAuthenticationToken");
    assert!(!plain.header("www-authenticate").unwrap().contains("claims="));
    world.token = world.fresh_token().await;
    inbox(&world).await.expect(StatusCode::OK);
}
