//! Requests and mails go on coming while workers are killed, sleep, stop and join: each mail is sent
//! once, each that arrives is told once, in its order and soon, and no mailbox is nobody's for much
//! longer than a lease.

use std::time::Duration;

use mailbridge_tests::pool::storm::{Befalls, Storm};

/// What two cores need that have all of this to do, and the rest of the tests: how long it takes on a
/// machine that has nothing else to do, `cargo xtask bench pool-storm` tells.
const BUSY: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_workers_come_go_sleep_and_die_each_mail_is_sent_once_and_told_once_and_soon() {
    let storm = Storm::short();
    let passed = storm.run().await;
    println!("{passed}");
    for fate in [Befalls::Killed, Befalls::Asleep, Befalls::Stopped, Befalls::Joined] {
        assert!(passed.count(fate) > 0, "{fate:?} never befell the pool: {:?}", passed.fates);
    }
    let lease = storm.sizes.lease;
    let unowned = passed.unowned();
    assert!(unowned < lease + BUSY, "{:?}", passed.gaps.last());
    // the control: whoever sleeps has its mailboxes until the others may take them
    assert!(unowned > lease / 2, "{:?}", passed.gaps.last());
    let longest = passed.waits[passed.waits.len() - 1];
    assert!(longest < lease + storm.sizes.every + BUSY, "{longest:?}");
}

/// The control: without looking first, mails are sent twice. If this fails, the test above proves
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_first_the_same_storm_doubles_mails() {
    assert!(Storm::unsafe_control().doubled().await > 0, "some mail is sent twice");
}
