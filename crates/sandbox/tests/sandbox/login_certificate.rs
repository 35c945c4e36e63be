//! The certificate credential: what a good assertion is, and each way in which one is not.

use jiff::{SignedDuration, Timestamp};
use mailbridge_sandbox::{
    ALL_ROLES, App, Certificate, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID,
    Sandbox, Tenant,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::signing::{Signer, assertion_form, but, own_claims, seconds_from_now};
use crate::support::{Reply, World, aadsts, form, start_with};

const APP: &str = "5a0d0003-5a0d-4000-8000-0000000000c1";

async fn with(certificates: &[&Signer]) -> World {
    let add = |app: App, signer: &&Signer| app.certificate(signer.certificate());
    let app = certificates.iter().fold(App::new(APP).roles(ALL_ROLES), add);
    start_with(Sandbox::builder().tenant(Tenant::demo().app(app))).await
}

async fn ask(world: &World, assertion: &str) -> Reply {
    world.ask_token(&assertion_form(APP, assertion)).await
}

fn claims(world: &World) -> Value {
    own_claims(APP, &world.token_url())
}

#[tokio::test]
async fn a_certificate_buys_a_token_and_sends_a_mail() {
    let signer = Signer::rsa();
    let mut world = with(&[&signer]).await;
    let assertion = signer.sign(&claims(&world));
    world.log_in(&assertion_form(APP, &assertion)).await;
    world.send_mail("signed").await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.handle().truth().sent()[0].client_id, APP);
}

#[tokio::test]
async fn both_forms_of_signature_and_audience_are_taken() {
    let signer = Signer::rsa();
    let world = with(&[&signer]).await;
    let base = world.sandbox.login_url();
    let by_domain = format!("{base}/{DEMO_DOMAIN}/oauth2/v2.0/token");
    let older = format!("{base}/{DEMO_TENANT_ID}/v2.0");
    for assertion in [
        signer.sign_older(&claims(&world)),
        signer.sign_padded(&claims(&world)),
        signer.sign(&own_claims(APP, &by_domain)),
        signer.sign_older(&own_claims(APP, &older)),
        signer.sign(&but(&claims(&world), "nbf", Value::Null)),
        signer.sign(&but(&claims(&world), "aud", json!([world.token_url()]))),
    ] {
        ask(&world, &assertion).await.expect(StatusCode::OK);
    }
    let mixed = ask(&world, &signer.sign(&own_claims(APP, &older))).await;
    aadsts(&mixed.expect(StatusCode::UNAUTHORIZED).json(), "invalid_client", 700_023);
}

#[tokio::test]
async fn each_mistake_has_its_number() {
    let (signer, stranger, old) = (Signer::rsa(), Signer::rsa(), Signer::expired());
    let world = with(&[&signer, &old]).await;
    let good = claims(&world);
    let elsewhere = format!("{}/other/oauth2/v2.0/token", world.sandbox.login_url());
    let host = format!("https://login.microsoftonline.com/{DEMO_TENANT_ID}/oauth2/v2.0/token");
    let other = json!("5a0d0002-5a0d-4000-8000-0000000000a9");
    let both = but(&but(&good, "iss", other.clone()), "sub", other.clone());
    let two = json!([world.token_url(), "x"]);
    let (late, early) = (json!(seconds_from_now(-301)), json!(seconds_from_now(310)));
    let tampered = {
        let real = signer.sign(&good);
        let (claimed, _) = real.rsplit_once('.').unwrap();
        let other = signer.sign(&but(&good, "jti", json!("x")));
        format!("{claimed}.{}", other.rsplit_once('.').unwrap().1)
    };
    let cases = [
        ("a.b".to_owned(), "invalid_request", 50_027),
        ("a.b.c".to_owned(), "invalid_request", 50_027),
        (stranger.sign(&good), "invalid_client", 700_027),
        (tampered, "invalid_client", 700_027),
        (old.sign(&good), "invalid_client", 700_027),
        (signer.sign(&but(&good, "sub", other)), "invalid_client", 50_048),
        (signer.sign(&both), "invalid_client", 700_021),
        (signer.sign(&but(&good, "aud", json!(elsewhere))), "invalid_client", 700_023),
        (signer.sign(&but(&good, "aud", json!(host))), "invalid_client", 700_023),
        (signer.sign(&but(&good, "aud", two)), "invalid_client", 5_002_741),
        (signer.sign(&but(&good, "aud", Value::Null)), "invalid_request", 90_014),
        (signer.sign(&but(&good, "iss", Value::Null)), "invalid_request", 90_014),
        (signer.sign(&but(&good, "jti", Value::Null)), "invalid_request", 90_014),
        (signer.sign(&but(&good, "exp", late)), "invalid_client", 700_024),
        (signer.sign(&but(&good, "exp", Value::Null)), "invalid_client", 700_024),
        (signer.sign(&but(&good, "nbf", early)), "invalid_client", 700_024),
        (
            signer.sign_as_issuer(jsonwebtoken::Algorithm::RS256, None, &good),
            "invalid_client",
            5_002_723,
        ),
        (
            Signer::elliptic().sign_as_issuer(jsonwebtoken::Algorithm::ES256, None, &good),
            "invalid_client",
            5_002_738,
        ),
    ];
    for (assertion, error, number) in cases {
        let reply = ask(&world, &assertion).await;
        aadsts(&reply.json(), error, number);
        let status = if error == "invalid_client" { 401 } else { 400 };
        assert_eq!(reply.status, status, "{number}");
        assert!(!String::from_utf8_lossy(&reply.bytes).contains(&assertion));
    }
    // the control: nothing else is wrong with these claims
    ask(&world, &signer.sign(&claims(&world))).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn the_sentences_say_what_an_administrator_looks_for() {
    let (signer, stranger) = (Signer::rsa(), Signer::rsa());
    let world = with(&[&signer]).await;
    let describe = async |assertion: String| {
        let body = ask(&world, &assertion).await.json();
        body["error_description"].as_str().unwrap().to_owned()
    };
    let unknown = describe(stranger.sign_older(&claims(&world))).await;
    assert!(unknown.contains("The key was not found."), "{unknown}");
    assert!(unknown.contains(&stranger.certificate().thumbprint()), "{unknown}");
    let late = but(&claims(&world), "exp", json!(1_700_000_000));
    let late = describe(signer.sign(&late)).await;
    for part in [
        "Client assertion is not within its valid time range. Current time: 2",
        "assertion valid from 2",
        "expiry time of assertion 2023-11-14T22:13:20.0000000Z. Review",
    ] {
        assert!(late.contains(part), "{late}");
    }
}

#[tokio::test]
async fn the_type_of_the_assertion_must_be_said() {
    let signer = Signer::rsa();
    let world = with(&[&signer]).await;
    let assertion = signer.sign(&claims(&world));
    let mut form = assertion_form(APP, &assertion).to_vec();
    form[1].1 = "";
    aadsts(&world.ask_token(&form).await.json(), "invalid_request", 900_144);
    form[1].1 = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    aadsts(&world.ask_token(&form).await.json(), "invalid_request", 9_002_313);
}

#[tokio::test]
async fn a_clock_may_be_five_minutes_off_and_no_more() {
    let signer = Signer::rsa();
    let world = with(&[&signer]).await;
    let short = |world: &World| but(&claims(world), "exp", json!(seconds_from_now(60)));
    for (skew, status) in [(-290, 200), (-310, 401), (350, 200), (370, 401)] {
        world.handle().set_login_skew(skew);
        let reply = ask(&world, &signer.sign(&short(&world))).await;
        assert_eq!(reply.status, status, "{skew}: {}", reply.json());
    }
}

#[tokio::test]
async fn a_used_assertion_is_refused_when_asked_to() {
    let signer = Signer::rsa();
    let builder = |refuse| {
        let app = App::new(APP).certificate(signer.certificate());
        Sandbox::builder().tenant(Tenant::demo().app(app)).refuse_replays(refuse)
    };
    let lenient = start_with(builder(false)).await;
    let assertion = signer.sign(&claims(&lenient));
    for _ in 0..2 {
        ask(&lenient, &assertion).await.expect(StatusCode::OK);
    }
    let strict = start_with(builder(true)).await;
    let assertion = signer.sign(&claims(&strict));
    ask(&strict, &assertion).await.expect(StatusCode::OK);
    aadsts(&ask(&strict, &assertion).await.json(), "invalid_client", 50_012);
    ask(&strict, &signer.sign(&claims(&strict))).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn certificates_rotate_while_it_runs() {
    let (first, second) = (Signer::rsa(), Signer::rsa());
    let world = with(&[&first]).await;
    let works = async |signer: &Signer| ask(&world, &signer.sign(&claims(&world))).await.status;
    assert_eq!((works(&first).await, works(&second).await), (200, 401));
    let add = json!({"client_id": APP, "action": "add", "certificate": second.pem});
    world.admin_post("apps/certificates", add).await;
    assert_eq!((works(&first).await, works(&second).await), (200, 200));
    let thumbprint = first.certificate().thumbprint();
    let revoke = json!({"client_id": APP, "action": "revoke", "thumbprint": thumbprint});
    world.admin_post("apps/certificates", revoke).await;
    assert_eq!((works(&first).await, works(&second).await), (401, 200));

    let soon = Timestamp::now() + SignedDuration::from_secs(120);
    world.handle().expire_certificate(APP, None, soon).unwrap();
    assert_eq!(works(&second).await, 200);
    world.handle().advance_clock(std::time::Duration::from_mins(2));
    let expired = ask(&world, &second.sign(&claims(&world))).await.json();
    aadsts(&expired, "invalid_client", 700_027);
    assert!(expired["error_description"].as_str().unwrap().contains("The key used is expired."));

    let bad = json!({"client_id": APP, "action": "add", "certificate": "not one"});
    let bad = world.admin(reqwest::Method::POST, "apps/certificates", Some(bad)).await;
    assert_eq!(bad.status, 400);
    assert!(bad.json()["error"].as_str().unwrap().contains("base64 of DER"), "{:?}", bad.json());
}

#[tokio::test]
async fn a_secret_and_a_certificate_stand_side_by_side() {
    let signer = Signer::rsa();
    let world = start_with(Sandbox::builder()).await;
    world.handle().add_certificate(DEMO_CLIENT_ID, &signer.certificate()).unwrap();
    let assertion = signer.sign(&own_claims(DEMO_CLIENT_ID, &world.token_url()));
    let by_key = world.ask_token(&assertion_form(DEMO_CLIENT_ID, &assertion)).await;
    by_key.expect(StatusCode::OK);
    world.ask_token(&form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET)).await.expect(StatusCode::OK);
}

#[test]
fn certificates_are_read_or_refused() {
    let signer = Signer::rsa();
    let beside = format!("{}{}", signer.public_pem(), signer.pem);
    assert_eq!(Certificate::pem(&beside).unwrap().thumbprint().len(), 40);
    let error = |pem: &str| Certificate::pem(pem).unwrap_err().to_string();
    assert!(error("").contains("BEGIN CERTIFICATE"));
    assert!(error(&signer.public_pem()).contains("BEGIN CERTIFICATE"));
    assert!(error(&Signer::elliptic().pem).contains("RSA"));
}
