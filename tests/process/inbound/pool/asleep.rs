//! A worker sleeps while requests come to it, until the others have sent them all.

use mailbridge_tests::pool::asleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wakes_after_others_did_its_work_does_none_of_it_again() {
    asleep::run().await;
}
