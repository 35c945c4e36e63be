//! Secrets that end and are rotated in the middle of a run, and a login host that is away.

use std::{path::Path, time::Duration};

use mailbridge_sandbox::{
    Budgets, DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Outage, Running, Sandbox,
    TokenCount,
};

use crate::{
    bus::{On, over_each_bus},
    rig::{LOAD, Plan, Rig, SOON, until},
};

over_each_bus!(
    an_expired_secret_holds_the_stream_until_a_good_one_is_in_the_file,
    a_login_host_that_is_down_and_a_revoked_consent_hold_the_stream_too,
    a_secret_that_is_rotated_under_load_fails_nothing_and_costs_one_token_request,
    five_hundred_sends_from_cold_are_one_token_request,
);

async fn an_expired_secret_holds_the_stream_until_a_good_one_is_in_the_file(on: On) {
    let (before, after) = (300, 300);
    let lifetime = Duration::from_secs(2);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).token_lifetime(lifetime);
    let rig = Rig::new(on, Plan { sandbox, ..Plan::default() }).await;
    rig.publish_load(0, before, 20).await;
    let mut program = rig.start();
    rig.sent(before as u64, LOAD).await;
    rig.green().await;

    rig.handle().expire_secret(DEMO_CLIENT_ID, None).expect("the app is known");
    rig.handle().revoke_tokens();
    rig.publish_load(before, after, 20).await;
    let red = rig.red("credential_secret_expired").await;
    assert!(red.contains("add a new secret"), "it says the cure: {red}");
    assert!(rig.dead().await.is_empty(), "nothing is dead-lettered");

    rig.handle().add_secret(DEMO_CLIENT_ID, "the-next-secret").expect("the app is known");
    rig.write_secret("the-next-secret");
    rig.green().await;
    rig.drained(LOAD).await;
    rig.assert_exactly_once(before + after).await;
    program.sigterm().expect("the same process all the time");
    assert!(program.wait_exit(SOON).await.expect("it stops").success());
    for line in program.lines() {
        let secret = line.text.contains("the-next-secret") || line.text.contains("someone-");
        assert!(!secret, "no secret, no recipient: {}", line.text);
    }
}

async fn a_login_host_that_is_down_and_a_revoked_consent_hold_the_stream_too(on: On) {
    let lifetime = Duration::from_secs(2);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).token_lifetime(lifetime);
    let rig = Rig::new(on, Plan { sandbox, ..Plan::default() }).await;
    rig.handle().set_outage(Outage::Unavailable);
    rig.publish_load(0, 100, 10).await;
    let _program = rig.start();
    rig.red("login_unavailable").await;
    rig.handle().set_outage(Outage::None);
    rig.sent(100, LOAD).await;

    rig.handle().set_app_roles(DEMO_CLIENT_ID, &[]).expect("the app is known");
    rig.handle().revoke_tokens();
    rig.publish_load(100, 100, 10).await;
    rig.red("graph_permission_missing").await;
    assert!(rig.dead().await.is_empty(), "nothing is dead-lettered");
    let roles = mailbridge_sandbox::ALL_ROLES;
    rig.handle().set_app_roles(DEMO_CLIENT_ID, &roles).expect("the app is known");
    rig.drained(LOAD).await;
    rig.assert_exactly_once(200).await;
    rig.green().await;
}

fn token_requests(rig: &Rig) -> TokenCount {
    rig.handle().token_requests().remove(DEMO_CLIENT_ID).unwrap_or_default()
}

/// Every request was sent at its first attempt.
async fn assert_no_failed_request(rig: &Rig, count: usize) {
    rig.assert_exactly_once(count).await;
    for (key, outcomes) in rig.outcomes().await {
        assert_eq!(outcomes[0].data.attempts, 1, "{key}");
    }
}

async fn a_secret_that_is_rotated_under_load_fails_nothing_and_costs_one_token_request(on: On) {
    let rig = Rig::new(on, Plan::default()).await;
    let count = on.part_of(2000);
    rig.publish_load(0, count, 50).await;
    let _program = rig.start();
    rig.sent(count as u64 / 6, LOAD).await;
    rig.handle().add_secret(DEMO_CLIENT_ID, "the-next-secret").expect("the app is known");
    rig.write_secret("the-next-secret");
    rig.handle().revoke_secret(DEMO_CLIENT_ID, Some(DEMO_CLIENT_SECRET)).expect("the app is known");
    rig.drained(LOAD).await;
    until(SOON, "the new secret is taken up", async || token_requests(&rig).granted == 2).await;
    assert_no_failed_request(&rig, count).await;
    let requests = token_requests(&rig);
    assert_eq!((requests.requests, requests.granted), (2, 2), "one extra");
}

/// Two secrets side by side, of which the second one is not known yet.
fn two_secrets(_: &Running, folder: &Path) -> (String, Vec<(&'static str, String)>) {
    std::fs::write(folder.join("old"), DEMO_CLIENT_SECRET).expect("a secret file");
    std::fs::write(folder.join("new"), "the-next-secret").expect("a secret file");
    let lines = format!(
        "    tenant: {DEMO_TENANT_ID}\n    client_id: {DEMO_CLIENT_ID}\n    credential:\n      \
         - {{ client_secret: {{ file: old }} }}\n      - {{ client_secret: {{ file: new }} }}"
    );
    (lines, Vec::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_credentials_the_other_takes_over_at_once() {
    // tokens end soon, so that the credentials are asked for all the time
    let lifetime = Duration::from_secs(2);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).token_lifetime(lifetime);
    let rig = Rig::new(On::Nats, Plan { identity: two_secrets, sandbox, ..Plan::default() }).await;
    rig.handle().add_secret(DEMO_CLIENT_ID, "the-next-secret").expect("the app is known");
    let _program = rig.start();
    rig.publish_load(0, 1000, 50).await;
    rig.sent(1000, LOAD).await;
    rig.handle().revoke_secret(DEMO_CLIENT_ID, Some(DEMO_CLIENT_SECRET)).expect("the app is known");
    let refused = async || token_requests(&rig).refused.values().sum::<u64>() > 0;
    until(SOON, "the revoked secret was tried", refused).await;
    rig.publish_load(1000, 1000, 50).await;
    rig.drained(LOAD).await;
    assert_no_failed_request(&rig, 2000).await;
    let before = token_requests(&rig).granted;
    let goes_on = async || token_requests(&rig).granted > before + 1;
    until(SOON, "tokens go on being got", goes_on).await;
    let refused: u64 = token_requests(&rig).refused.values().sum();
    assert_eq!(refused, 1, "one extra token request, then the one that works is remembered");
}

async fn five_hundred_sends_from_cold_are_one_token_request(on: On) {
    let plan = Plan {
        pipeline: "      deadline: 5s\n      settle_time: 5s\n      in_flight: 500".to_owned(),
        ..Plan::default()
    };
    let rig = Rig::new(on, plan).await;
    rig.publish_load(0, 500, 500).await;
    let _program = rig.start();
    rig.drained(LOAD).await;
    assert_no_failed_request(&rig, 500).await;
    assert_eq!(token_requests(&rig).requests, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_token_lives_a_login_host_that_is_down_is_nobodys_concern() {
    let lifetime = Duration::from_secs(16);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).token_lifetime(lifetime);
    let rig = Rig::new(On::Nats, Plan { sandbox, ..Plan::default() }).await;
    let program = rig.start();
    rig.publish_load(0, 100, 10).await;
    rig.sent(100, SOON).await;
    rig.handle().set_outage(Outage::Unavailable);
    // from half of its life on, whoever sends has a successor asked for
    let mut count = 100;
    until(SOON, "a successor was asked for in vain", async || {
        rig.publish_load(count, 1, 10).await;
        count += 1;
        program.lines().iter().any(|line| line.text.contains("\"old_token_serves\":true"))
    })
    .await;
    rig.publish_load(count, 500, 50).await;
    count += 500;
    rig.sent(count as u64, SOON).await;
    let (status, _) = rig.readyz().await.expect("an answer");
    assert_eq!(status, 200, "and it is still green");
    rig.drained(SOON).await;
    assert_no_failed_request(&rig, count).await;

    // longer than the token's life: held, and resumed
    rig.red("login_unavailable").await;
    rig.publish_load(count, 200, 20).await;
    assert!(rig.dead().await.is_empty(), "nothing is dead-lettered");
    rig.handle().set_outage(Outage::None);
    rig.drained(SOON).await;
    rig.assert_exactly_once(count + 200).await;
}
