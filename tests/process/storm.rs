//! 5,000 requests, faults before and after the effect, and five kills in the middle.

use std::time::Duration;

use mailbridge_sandbox::{Budgets, Fault, Sandbox};

use crate::rig::{LOAD, Plan, Rig, SOON};

const COUNT: usize = 5_000;
const MAILBOXES: usize = 50;
const KILLS: u64 = 5;

/// Everything that Graph was seen to do to a client, on every call of the mail side.
fn faults() -> Vec<Fault> {
    let on_graph = |mut fault: Fault, probability: f64| {
        fault.matching.path = Some("/v1.0/*".to_owned());
        fault.probability(probability)
    };
    vec![
        on_graph(Fault::throttle(0.253), 0.10),
        on_graph(Fault::answer(503), 0.05),
        on_graph(Fault::answer(504).after(), 0.05),
        on_graph(Fault::close().after(), 0.02),
    ]
}

async fn storm(count: usize, args: Vec<&'static str>) -> Rig {
    let sandbox = Sandbox::builder()
        .seed(42)
        .budgets(Budgets::graph())
        .visibility_delay(Duration::ZERO..=Duration::from_secs(2));
    let rig = Rig::new(Plan { args, sandbox, ..Plan::default() }).await;
    for fault in faults() {
        rig.handle().add_fault(fault);
    }
    rig.publish_load(0, count, MAILBOXES).await;
    let mut program = rig.start();
    for kill in 1..=KILLS {
        let so_far = u64::try_from(count).expect("small") * kill / (KILLS + 2);
        rig.sent(so_far, LOAD).await;
        program.kill9().expect("killed");
        program.wait_exit(SOON).await.expect("it is gone");
        program = rig.start();
    }
    rig.drained(LOAD).await;
    program.sigterm().expect("asked to stop");
    let status = program.wait_exit(Duration::from_secs(40)).await.expect("it stops");
    assert!(status.success(), "a soft stop ends well: {status}");
    rig
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_and_kills_neither_double_nor_lose() {
    let rig = storm(COUNT, Vec::new()).await;
    rig.assert_exactly_once(COUNT).await;
}

/// The control: the same storm without looking first does send mails twice. If this fails, the test
/// above proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_first_the_same_storm_doubles_mails() {
    let rig = storm(1_000, vec!["--unsafe-never-look"]).await;
    let doubled = rig.copies().into_values().filter(|copies| *copies > 1).count();
    assert!(doubled > 0, "some mail is sent twice");
}
