//! The login host as clients misuse it, and as it misbehaves.

use std::time::Duration;

use mailbridge_sandbox::{
    App, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Fault, Operation, Outage, Sandbox,
    Tenant,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Reply, World, aadsts, finish, form, start, start_with};

async fn ask(world: &World) -> Reply {
    world.ask_token(&form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET)).await
}

async fn ask_v1(world: &World, form: &[(&str, &str)]) -> Reply {
    let url = format!("{}/{DEMO_TENANT_ID}/oauth2/token", world.sandbox.login_url());
    finish(world.http.post(url).form(form)).await
}

#[tokio::test]
async fn the_older_endpoint_answers_as_it_did() {
    let world = start().await;
    let [id, secret, scope, grant] = form(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET);
    let resource = ("resource", "https://graph.microsoft.com");
    let body = ask_v1(&world, &[id, secret, resource, grant]).await.expect(StatusCode::OK).json();
    for number in ["expires_in", "ext_expires_in", "expires_on", "not_before"] {
        assert!(body[number].as_str().unwrap().parse::<u64>().is_ok(), "{number} in {body}");
    }
    assert_eq!(body["resource"], resource.1);
    let of_v2 = ask_v1(&world, &[id, secret, scope, grant]).await.json();
    aadsts(&of_v2, "invalid_request", 900_144);
    assert!(of_v2["error_description"].as_str().unwrap().contains("'resource'"), "{of_v2}");
    let of_v1 = world.ask_token(&[id, secret, resource, grant]).await.json();
    aadsts(&of_v1, "invalid_request", 901_002);
}

#[tokio::test]
async fn an_app_may_be_blocked_or_not_installed() {
    let tenant = Tenant::demo()
        .app(App::new("blocked").secret("s").blocked())
        .app(App::new("absent").secret("s").not_installed());
    let world = start_with(Sandbox::builder().tenant(tenant)).await;
    let ask = async |app: &str| world.ask_token(&form(app, "s")).await;
    aadsts(&ask("blocked").await.json(), "invalid_grant", 53_003);
    aadsts(&ask("absent").await.json(), "unauthorized_client", 700_016);
    let wrong = world.ask_token(&form("blocked", "wrong")).await.json();
    aadsts(&wrong, "invalid_client", 7_000_215);
    world.admin_post("apps", json!({"client_id": "blocked", "blocked": false})).await;
    world.admin_post("apps", json!({"client_id": "absent", "installed": true})).await;
    ask("blocked").await.expect(StatusCode::OK);
    ask("absent").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn one_app_in_two_tenants_has_the_consent_of_each_for_itself() {
    let app = || App::new("both").secret("s");
    let other = Tenant::new("00000000-0000-4000-8000-0000000000d2").domain("fabrikam.example");
    let tenants = Sandbox::builder().tenant(Tenant::demo().app(app())).tenant(other.app(app()));
    let world = start_with(tenants).await;
    let ask = async |tenant: &str| world.ask_token_of(tenant, &form("both", "s")).await;
    let change = json!({"client_id": "both", "tenant": "fabrikam.example", "installed": false});
    world.admin_post("apps", change).await;
    ask(DEMO_TENANT_ID).await.expect(StatusCode::OK);
    aadsts(&ask("fabrikam.example").await.json(), "unauthorized_client", 700_016);
    world.handle().in_tenant("fabrikam.example").unwrap().set_app_installed("both", true).unwrap();
    ask("fabrikam.example").await.expect(StatusCode::OK);

    assert!(world.handle().in_tenant("elsewhere.example").is_err());
    let elsewhere = json!({"client_id": "both", "tenant": "elsewhere.example"});
    world.admin(Method::POST, "apps", Some(elsewhere)).await.expect(StatusCode::NOT_FOUND);
    let only_there = world.handle().in_tenant("fabrikam.example").unwrap();
    assert!(only_there.set_app_installed(DEMO_CLIENT_ID, true).is_err(), "another tenant's app");
}

#[tokio::test]
async fn a_client_that_asks_all_the_time_is_in_a_loop() {
    let world = start_with(Sandbox::builder().loop_limit(3)).await;
    for _ in 0..2 {
        ask(&world).await.expect(StatusCode::OK);
    }
    aadsts(&ask(&world).await.json(), "invalid_grant", 50_196);
    let counted = world.admin_get("tokens").await;
    let expected = json!({"requests": 4, "granted": 3, "refused": {"50196": 1}});
    assert_eq!(counted["tokens"][DEMO_CLIENT_ID], expected);
    world.handle().advance_clock(Duration::from_secs(61));
    ask(&world).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn requests_are_counted_by_app() {
    let world = start().await;
    world.ask_token(&form(DEMO_CLIENT_ID, "wrong")).await;
    world.ask_token(&form("NOBODY", "x")).await;
    world.handle().set_outage(Outage::Empty);
    ask(&world).await;
    let counts = world.handle().token_requests();
    let demo = &counts[DEMO_CLIENT_ID];
    assert_eq!((demo.requests, demo.granted, demo.refused[&7_000_215]), (3, 1, 1));
    assert_eq!(counts["nobody"].refused[&700_016], 1);
    world.handle().reset();
    assert!(world.handle().token_requests().is_empty());
}

#[tokio::test]
async fn it_answers_garbage_nothing_or_not_at_all() {
    let world = start().await;
    world.handle().set_outage(Outage::Garbage);
    let garbage = ask(&world).await.expect(StatusCode::OK);
    assert!(serde_json::from_slice::<Value>(&garbage.bytes).is_err());
    world.admin_post("outage", json!({"login": "empty"})).await;
    assert!(ask(&world).await.expect(StatusCode::OK).bytes.is_empty());
    world.handle().set_outage(Outage::Hang);
    let patient = world.http.post(world.token_url()).form(&form("a", "b"));
    let error = patient.timeout(Duration::from_millis(300)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    world.handle().set_outage(Outage::None);
    ask(&world).await.expect(StatusCode::OK);
    // what hangs does not keep a sandbox from its end
    world.handle().set_outage(Outage::Hang);
    world.sandbox.stop().await;
}

#[tokio::test]
async fn its_clock_may_be_off() {
    let world = start().await;
    let ahead = |reply: &Reply| {
        let date = reply.header("date").unwrap();
        let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
        date.duration_since(jiff::Timestamp::now()).as_secs()
    };
    assert!(ahead(&ask(&world).await).abs() < 5);
    world.admin_post("clock", json!({"login_skew_seconds": -600})).await;
    let skewed = ask(&world).await;
    assert!((ahead(&skewed) + 600).abs() < 5, "{:?}", skewed.header("date"));
    // a token is good by Graph's clock all the same
    let token = skewed.json()["access_token"].as_str().unwrap().to_owned();
    let world = World { token, ..world };
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    world.handle().reset();
    assert!(ahead(&ask(&world).await).abs() < 5);
}

#[tokio::test]
async fn faults_on_the_login_host_speak_as_it_does() {
    let world = start().await;
    world.handle().add_fault(Fault::answer(503).on(Operation::Token).first(1));
    let body = ask(&world).await.expect(StatusCode::SERVICE_UNAVAILABLE).json();
    assert_eq!(body["error"], "temporarily_unavailable");
    assert!(body["error_description"].is_string(), "{body}");
}

#[tokio::test]
async fn an_app_is_added_while_it_runs() {
    let world = start().await;
    let app = json!({"client_id": "late", "secrets": ["s"], "roles": ["Mail.Send"]});
    let add = json!({"tenant": DEMO_TENANT_ID, "app": app});
    world.admin_post("apps/add", add.clone()).await;
    world.ask_token(&form("late", "s")).await.expect(StatusCode::OK);
    let again = world.admin(Method::POST, "apps/add", Some(add)).await;
    assert_eq!(again.status, 404);
    let nowhere = json!({"tenant": "nowhere", "app": {"client_id": "x"}});
    assert_eq!(world.admin(Method::POST, "apps/add", Some(nowhere)).await.status, 404);
}
