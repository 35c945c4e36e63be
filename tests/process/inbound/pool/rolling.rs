//! All workers are replaced one after the other while requests and mails go on coming. How long the
//! requests take then, `cargo xtask bench pool-storm` tells.

use mailbridge_tests::pool::rolling::Rolling;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_sends_and_tells_each_mail_once_and_refuses_nothing() {
    let (quiet, rolled) = Rolling::short().run().await;
    println!("quiet: {quiet:?}\nwhile they are replaced: {rolled:?}");
    assert!(quiet.requests > 0 && rolled.requests > 0, "the load goes on");
}
