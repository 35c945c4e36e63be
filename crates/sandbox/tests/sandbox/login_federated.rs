//! The federated credential: another issuer's token, matched and verified.

use jsonwebtoken::Algorithm::{ES256, RS256};
use mailbridge_sandbox::{
    ALL_ROLES, App, FEDERATED_LIMIT, FederatedCredential, IssuerKeys, Sandbox,
    TOKEN_EXCHANGE_AUDIENCE, Tenant,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::signing::{Signer, assertion_form, but, seconds_from_now};
use crate::support::{World, aadsts, start_with};

const APP: &str = "5a0d0003-5a0d-4000-8000-0000000000f1";
const ISSUER: &str = "https://cluster.example/";
const SUBJECT: &str = "system:serviceaccount:mail:bridge";

fn trust(signer: &Signer) -> FederatedCredential {
    FederatedCredential::new(ISSUER, SUBJECT, IssuerKeys::pem(&signer.public_pem()).unwrap())
}

async fn with(credentials: Vec<FederatedCredential>) -> World {
    let app = App::new(APP).roles(ALL_ROLES);
    let app = credentials.into_iter().fold(app, App::federated);
    start_with(Sandbox::builder().tenant(Tenant::demo().app(app))).await
}

/// As a kubelet projects it: the audience in an array.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": [TOKEN_EXCHANGE_AUDIENCE],
        "nbf": seconds_from_now(0), "exp": seconds_from_now(3600),
    })
}

#[tokio::test]
async fn a_projected_token_buys_a_token_and_sends_a_mail() {
    let issuer = Signer::rsa();
    let mut world = with(vec![trust(&issuer)]).await;
    let token = issuer.sign_as_issuer(RS256, Some("k1"), &claims());
    world.log_in(&assertion_form(APP, &token)).await;
    world.send_mail("federated").await.expect(StatusCode::ACCEPTED);
    // one token of the cluster serves until it expires
    world.ask_token(&assertion_form(APP, &token)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_curve_and_another_audience_are_taken() {
    let issuer = Signer::elliptic();
    let world = with(vec![trust(&issuer).audience("mail")]).await;
    let token = issuer.sign_as_issuer(ES256, None, &but(&claims(), "aud", json!("mail")));
    world.ask_token(&assertion_form(APP, &token)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn each_mistake_has_its_number() {
    let (issuer, stranger) = (Signer::rsa(), Signer::rsa());
    let world = with(vec![trust(&issuer)]).await;
    let good = claims();
    let sign = |claims: &Value| issuer.sign_as_issuer(RS256, None, claims);
    let cases = [
        (sign(&but(&good, "iss", json!("https://cluster.example"))), "invalid_client", 700_211),
        (sign(&but(&good, "sub", json!(SUBJECT.to_uppercase()))), "invalid_client", 700_213),
        (sign(&but(&good, "aud", json!("other"))), "invalid_client", 700_212),
        (sign(&but(&good, "sub", Value::Null)), "invalid_request", 90_014),
        (sign(&but(&good, "exp", json!(seconds_from_now(-400)))), "invalid_client", 700_024),
        (sign(&but(&good, "nbf", json!(seconds_from_now(400)))), "invalid_client", 700_024),
        (stranger.sign_as_issuer(RS256, None, &good), "invalid_grant", 50_013),
        (Signer::elliptic().sign_as_issuer(ES256, None, &good), "invalid_grant", 50_013),
        (
            issuer.sign_as_issuer(jsonwebtoken::Algorithm::PS256, None, &good),
            "invalid_client",
            5_002_738,
        ),
    ];
    for (token, error, number) in cases {
        let reply = world.ask_token(&assertion_form(APP, &token)).await.json();
        aadsts(&reply, error, number);
    }
    world.ask_token(&assertion_form(APP, &sign(&good))).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn an_app_without_credentials_says_so() {
    let world = with(Vec::new()).await;
    let token = Signer::rsa().sign_as_issuer(RS256, None, &claims());
    let body = world.ask_token(&assertion_form(APP, &token)).await.json();
    aadsts(&body, "invalid_client", 70_025);
}

#[tokio::test]
async fn keys_of_a_set_are_told_apart_by_their_ids() {
    let issuer = Signer::rsa();
    let key = jsonwebtoken::jwk::Jwk::from_encoding_key(&issuer.encoding_key(RS256), RS256);
    let mut key = json!(key.unwrap());
    key["kid"] = json!("k1");
    let keys = json!({"keys": [key]});
    let keys = IssuerKeys::jwks(&keys.to_string()).unwrap();
    let world = with(vec![FederatedCredential::new(ISSUER, SUBJECT, keys)]).await;
    let ask = async |kid: &str| {
        let token = issuer.sign_as_issuer(RS256, Some(kid), &claims());
        world.ask_token(&assertion_form(APP, &token)).await
    };
    ask("k1").await.expect(StatusCode::OK);
    let body = ask("k2").await.json();
    aadsts(&body, "invalid_grant", 50_013);
    assert!(body["error_description"].as_str().unwrap().contains("'k2'"), "{body}");
    let symmetric = r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#;
    assert!(IssuerKeys::jwks(symmetric).unwrap_err().to_string().contains("neither RSA nor EC"));
    assert!(IssuerKeys::jwks("{}").unwrap_err().to_string().contains("not a JWK set"));
    assert!(IssuerKeys::pem("x").unwrap_err().to_string().contains("P-256"));
}

#[tokio::test]
async fn there_is_room_for_twenty() {
    let issuer = Signer::rsa();
    let many = |count| vec![trust(&issuer); count];
    let world = with(many(FEDERATED_LIMIT)).await;
    let credential = json!({"issuer": ISSUER, "subject": "s", "keys": issuer.public_pem()});
    let add = json!({"client_id": APP, "action": "add", "credential": credential});
    let full = world.admin(Method::POST, "apps/federated", Some(add.clone())).await;
    assert!(full.json()["error"].as_str().unwrap().contains("no room"), "{:?}", full.json());
    world.admin_post("apps/federated", json!({"client_id": APP, "action": "revoke"})).await;
    world.admin_post("apps/federated", add).await;
    let token = issuer.sign_as_issuer(RS256, None, &but(&claims(), "sub", json!("s")));
    world.ask_token(&assertion_form(APP, &token)).await.expect(StatusCode::OK);

    let app = many(FEDERATED_LIMIT + 1).into_iter().fold(App::new(APP), App::federated);
    let error = Sandbox::builder().tenant(Tenant::demo().app(app)).start_local().await;
    assert!(error.unwrap_err().to_string().contains("more than 20"));
}
