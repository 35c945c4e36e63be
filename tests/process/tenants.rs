//! One app in two tenants: each has its own token, and the trouble of one is not the other's.

use std::{path::Path, time::Duration};

use mailbridge_core::contract::Status;
use mailbridge_sandbox::{
    ALL_ROLES, App, Budgets, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_DOMAIN, DEMO_TENANT_ID,
    Handle, Running, Sandbox, Tenant,
};
use mailbridge_testkit::program::Program;
use serde_json::Value;

use crate::{
    bus::On,
    doctor::world::{SECRET, doctor},
    rig::{LOAD, Plan, Rig, SOON, plain, request, until},
};

const OTHER: &str = "fabrikam.example";
const OTHER_ID: &str = "5a0d0001-5a0d-4000-8000-00000000da7b";
const MAILBOXES: usize = 10;

/// The same app with the same secret in both.
fn two(_: &Running, folder: &Path) -> (String, Vec<(&'static str, String)>) {
    std::fs::write(folder.join("secret"), DEMO_CLIENT_SECRET).expect("a secret file");
    let lines = format!(
        "    tenants:\n      {DEMO_TENANT_ID}: [\"*@{DEMO_DOMAIN}\"]\n      \
         {OTHER}: [\"*@{OTHER}\"]\n    \
         client_id: {DEMO_CLIENT_ID}\n    credential: {{ client_secret: {{ file: secret }} }}"
    );
    (lines, Vec::new())
}

async fn rig() -> Rig {
    let app = || App::new(DEMO_CLIENT_ID).secret(DEMO_CLIENT_SECRET).roles(ALL_ROLES);
    let tenant =
        |id: &str, domain: &str| Tenant::new(id).domain(domain).any_mailbox_of(domain).app(app());
    // tokens end soon, so that a tenant's word counts soon
    let sandbox = Sandbox::builder()
        .tenant(tenant(DEMO_TENANT_ID, DEMO_DOMAIN))
        .tenant(tenant(OTHER_ID, OTHER))
        .token_lifetime(Duration::from_secs(2))
        .budgets(Budgets::graph());
    let plan = Plan { identity: two, allow: "*", sandbox, ..Plan::default() };
    Rig::new(On::Nats, plan).await
}

/// Publishes requests `first..first + count` for mailboxes of a domain.
async fn publish(rig: &Rig, domain: &str, first: usize, count: usize) {
    for n in first..first + count {
        let mailbox = format!("m{}@{domain}", n % MAILBOXES);
        rig.publish(plain(request(n, &mailbox))).await;
    }
}

/// Of so many mails how many left the mailboxes of a domain.
fn sent_from(rig: &Rig, domain: &str) -> usize {
    let truth = rig.handle().truth();
    (0..MAILBOXES).map(|n| truth.sent_from(&format!("m{n}@{domain}")).len()).sum()
}

fn other(rig: &Rig) -> Handle {
    rig.handle().in_tenant(OTHER).expect("the tenant")
}

/// `/readyz` is green, and tells of these tenants.
async fn green_without(rig: &Rig, blocked: &[(&str, &str)]) {
    let mut last = Value::Null;
    until(SOON, &format!("/readyz is green and tells of {blocked:?}"), async || {
        let Some((200, body)) = rig.readyz().await else { return false };
        last = body;
        let told = last["tenants_blocked"].as_array().into_iter().flatten();
        let told: Vec<_> = told.map(|it| (it["tenant"].as_str(), it["code"].as_str())).collect();
        let wanted = blocked.iter().map(|(tenant, code)| (Some(*tenant), Some(*code)));
        told == wanted.collect::<Vec<_>>()
    })
    .await;
}

async fn gauge(rig: &Rig, tenant: &str) -> Option<String> {
    let metrics = rig.metrics().await;
    let line = metrics.lines().find(|line| {
        line.starts_with("mailbridge_tenant_blocked{") && line.contains(&format!("{tenant:?}"))
    });
    Some(line?.rsplit(' ').next()?.to_owned())
}

fn lines(program: &Program, with: &[&str]) -> usize {
    let all = program.lines();
    all.iter().filter(|line| with.iter().all(|text| line.text.contains(text))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_without_consent_closes_its_own_mailboxes_until_it_is_back() {
    let rig = rig().await;
    let program = rig.start();
    publish(&rig, DEMO_DOMAIN, 0, 50).await;
    publish(&rig, OTHER, 50, 50).await;
    rig.drained(LOAD).await;
    assert_eq!((sent_from(&rig, DEMO_DOMAIN), sent_from(&rig, OTHER)), (50, 50));
    green_without(&rig, &[]).await;
    assert_eq!(gauge(&rig, OTHER).await.as_deref(), Some("0"));

    // nobody there consents any longer, and tokens that were given end
    other(&rig).set_app_installed(DEMO_CLIENT_ID, false).expect("the app");
    rig.handle().revoke_tokens();
    publish(&rig, OTHER, 100, 100).await;
    green_without(&rig, &[(OTHER, "credential_app_not_found")]).await;
    publish(&rig, DEMO_DOMAIN, 200, 200).await;
    let flows = async || sent_from(&rig, DEMO_DOMAIN) == 250;
    until(LOAD, "the mail of the other tenant goes out", flows).await;
    assert_eq!(sent_from(&rig, OTHER), 50, "and none of this one's");
    green_without(&rig, &[(OTHER, "credential_app_not_found")]).await;
    assert_eq!(gauge(&rig, OTHER).await.as_deref(), Some("1"));
    assert_eq!(gauge(&rig, DEMO_TENANT_ID).await.as_deref(), Some("0"));
    assert!(rig.dead().await.is_empty(), "nothing is dead-lettered");

    other(&rig).set_app_installed(DEMO_CLIENT_ID, true).expect("the app");
    rig.drained(LOAD).await;
    assert_eq!(sent_from(&rig, OTHER), 150);
    rig.assert_exactly_once(400).await;
    green_without(&rig, &[]).await;
    assert_eq!(gauge(&rig, OTHER).await.as_deref(), Some("0"));
    let closed = ["ERROR", "a tenant does not let us in", OTHER, "credential_app_not_found"];
    assert_eq!(lines(&program, &closed), 1, "told once");
    assert_eq!(lines(&program, &["INFO", "the tenant lets us in again", OTHER]), 1);
    assert_eq!(lines(&program, &["the stream is held"]), 0);
}

/// This one has a token, so that only mail shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_grants_nothing_is_not_asked_for_each_of_its_mailboxes() {
    let rig = rig().await;
    other(&rig).set_app_roles(DEMO_CLIENT_ID, &[]).expect("the app");
    let _program = rig.start();
    publish(&rig, OTHER, 0, 1).await;
    green_without(&rig, &[(OTHER, "graph_permission_missing")]).await;
    let before = denied(&rig);
    publish(&rig, OTHER, 1, 99).await;
    publish(&rig, DEMO_DOMAIN, 100, 100).await;
    until(LOAD, "mail goes out", async || sent_from(&rig, DEMO_DOMAIN) == 100).await;
    let tried = denied(&rig) - before;
    assert!(before >= 1 && tried <= 10, "{tried} of 99 were tried");
    assert!(rig.dead().await.is_empty(), "nothing is dead-lettered");

    other(&rig).set_app_roles(DEMO_CLIENT_ID, &ALL_ROLES).expect("the app");
    rig.drained(LOAD).await;
    rig.assert_exactly_once(200).await;
    green_without(&rig, &[]).await;
}

fn denied(rig: &Rig) -> u64 {
    let counts = serde_json::to_value(rig.handle().requests()).expect("JSON");
    let operations = counts.as_object().into_iter().flat_map(|all| all.values());
    operations.filter_map(|by_status| by_status["403"].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_no_tenant_lets_us_in_the_stream_is_held() {
    let rig = rig().await;
    let program = rig.start();
    publish(&rig, DEMO_DOMAIN, 0, 20).await;
    publish(&rig, OTHER, 20, 20).await;
    rig.drained(LOAD).await;

    rig.handle().set_app_installed(DEMO_CLIENT_ID, false).expect("the app");
    rig.handle().revoke_tokens();
    publish(&rig, DEMO_DOMAIN, 40, 50).await;
    publish(&rig, OTHER, 90, 50).await;
    let red = rig.red("credential_app_not_found").await;
    assert!(red.contains("\"held\"") && red.contains(OTHER), "{red}");
    assert!(rig.dead().await.is_empty(), "nothing is dead-lettered");
    assert_eq!(lines(&program, &["ERROR", "the stream is held"]), 1);

    // one is enough to go on
    other(&rig).set_app_installed(DEMO_CLIENT_ID, true).expect("the app");
    until(LOAD, "its mail goes out", async || sent_from(&rig, OTHER) == 70).await;
    green_without(&rig, &[(DEMO_TENANT_ID, "credential_app_not_found")]).await;
    assert_eq!(sent_from(&rig, DEMO_DOMAIN), 20);
    rig.handle().set_app_installed(DEMO_CLIENT_ID, true).expect("the app");
    rig.drained(LOAD).await;
    rig.assert_exactly_once(140).await;
    green_without(&rig, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_of_no_tenant_is_refused_and_the_cure_is_named() {
    let rig = rig().await;
    let _program = rig.start();
    publish(&rig, "elsewhere.example", 0, 1).await;
    publish(&rig, OTHER, 1, 1).await;
    rig.drained(LOAD).await;
    let outcomes = rig.outcomes().await;
    let by_status = |status| outcomes.values().flatten().filter(move |it| it.data.status == status);
    assert_eq!(by_status(Status::Accepted).count(), 1);
    let rejected = by_status(Status::Rejected).next().expect("the other");
    assert_eq!(rejected.data.code.as_deref(), Some("request_mailbox_no_tenant"));
    assert_eq!(rig.dead().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_walks_the_steps_in_each_tenant_with_its_own_mailboxes() {
    let app = || App::new(DEMO_CLIENT_ID).secret(SECRET).roles(ALL_ROLES);
    let tenant = |id: &str, domain: &str| Tenant::new(id).domain(domain).any_mailbox_of(domain);
    let sandbox = Sandbox::builder()
        .tenant(tenant(DEMO_TENANT_ID, DEMO_DOMAIN).app(app()))
        .tenant(tenant(OTHER_ID, OTHER).app(app().not_installed()));
    let sandbox = sandbox.start_local().await.expect("a sandbox");
    let url = sandbox.base_url();
    let config = format!(
        r#"
connections:
  both:
    tenants: {{ {DEMO_DOMAIN}: ["*@{DEMO_DOMAIN}"], {OTHER}: ["*@{OTHER}"] }}
    client_id: {DEMO_CLIENT_ID}
    credential: {{ client_secret: {{ file: secret }} }}
    cloud: {{ login: "{url}", graph: "{url}" }}
buses:
  files: {{ local: {{}} }}
pipelines:
  orders:
    requests:
      from: {{ bus: files, path: requests.ndjson }}
      connection: both
      allow_mailboxes: ["it@{DEMO_DOMAIN}", "hr@{OTHER}"]
      dead_letters: {{ bus: files, path: dead.ndjson }}
"#
    );
    let told = |report: &Value| {
        let all = report["connections"].as_array().expect("a list").iter();
        let told = all.map(|it| {
            let tenant = it["tenant"].as_str().unwrap_or_default().to_owned();
            (tenant, it["steps"][0]["status"] == "ok", it["steps"][5]["found"].to_string())
        });
        told.collect::<Vec<_>>()
    };
    let ran = doctor(&config, &["--format", "json"]).await;
    let [(here, true, mine), (there, false, _)] = &told(&ran.report())[..] else {
        panic!("{:#}", ran.report())
    };
    assert_eq!((ran.code, here.as_str(), there.as_str()), (1, DEMO_DOMAIN, OTHER));
    assert!(mine.contains("it@") && !mine.contains("hr@"), "{mine}");
    assert!(ran.stdout.contains("app_not_in_tenant"), "{}", ran.stdout);

    let other = sandbox.handle().in_tenant(OTHER).expect("the tenant");
    other.set_app_installed(DEMO_CLIENT_ID, true).expect("the app");
    let ran = doctor(&config, &["--format", "json"]).await;
    let [(_, true, _), (_, true, theirs)] = &told(&ran.report())[..] else {
        panic!("{:#}", ran.report())
    };
    assert!(ran.code == 0 && theirs.contains("hr@") && !theirs.contains("it@"), "{theirs}");
}
