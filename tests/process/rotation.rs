//! A secret that expires in the middle of a run, and is rotated in its file.

use std::time::Duration;

use mailbridge_sandbox::{Budgets, DEMO_CLIENT_ID, Sandbox};

use crate::rig::{LOAD, Plan, Rig, SOON};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_secret_holds_the_stream_until_a_good_one_is_in_the_file() {
    let (before, after) = (300, 300);
    let lifetime = Duration::from_secs(2);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).token_lifetime(lifetime);
    let rig = Rig::new(Plan { sandbox, ..Plan::default() }).await;
    rig.publish_load(0, before, 20).await;
    let mut program = rig.start();
    rig.sent(before as u64, LOAD).await;
    rig.green().await;

    rig.handle().expire_secret(DEMO_CLIENT_ID, None).expect("the app is known");
    rig.handle().revoke_tokens();
    rig.publish_load(before, after, 20).await;
    let red = rig.red("credential_secret_expired").await;
    assert!(red.contains("add a new secret"), "it says the cure: {red}");
    assert!(rig.messages("DEAD").await.is_empty(), "nothing is dead-lettered");

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_host_that_is_down_and_a_revoked_consent_hold_the_stream_too() {
    let lifetime = Duration::from_secs(2);
    let sandbox = Sandbox::builder().budgets(Budgets::graph()).token_lifetime(lifetime);
    let rig = Rig::new(Plan { sandbox, ..Plan::default() }).await;
    rig.handle().set_outage(mailbridge_sandbox::Outage::Unavailable);
    rig.publish_load(0, 100, 10).await;
    let _program = rig.start();
    rig.red("login_unavailable").await;
    rig.handle().set_outage(mailbridge_sandbox::Outage::None);
    rig.sent(100, LOAD).await;

    rig.handle().set_app_roles(DEMO_CLIENT_ID, &[]).expect("the app is known");
    rig.handle().revoke_tokens();
    rig.publish_load(100, 100, 10).await;
    rig.red("graph_permission_missing").await;
    assert!(rig.messages("DEAD").await.is_empty(), "nothing is dead-lettered");
    let roles = mailbridge_sandbox::ALL_ROLES;
    rig.handle().set_app_roles(DEMO_CLIENT_ID, &roles).expect("the app is known");
    rig.drained(LOAD).await;
    rig.assert_exactly_once(200).await;
    rig.green().await;
}
