//! A clock that is off, seen by the `Date` of the login service.

use std::time::{Duration, SystemTime};

use mailbridge_core::{Code, Mail};
use mailbridge_graph::Options;
use serde_json::json;

use crate::{
    scene,
    stub::{Reply, Stub},
};

/// Refuses with this number, by a clock that is this far behind.
async fn refused(number: u64, behind: Duration) -> mailbridge_core::Error {
    let date = httpdate::fmt_http_date(SystemTime::now() - behind);
    let body = json!({ "error": "invalid_client", "error_codes": [number] }).to_string();
    let stub = Stub::start(move |_| Reply::json(401, body.clone()).with("date", &date)).await;
    let graph = scene::graph(&stub, Options::default(), &json!("open sesame"));
    graph.ready().await.unwrap_err()
}

#[tokio::test]
async fn an_assertion_that_is_refused_for_its_time_names_the_clock() {
    let error = refused(700_024, Duration::from_mins(10)).await;
    assert_eq!(error.code(), Code::CredentialClockSkew);
    let seconds: i64 = error.field("clock_skew_seconds").unwrap().parse().unwrap();
    assert!((598..=620).contains(&seconds), "{seconds}");
    // the clocks agree: so it is not told by how much they differ
    assert_eq!(refused(700_024, Duration::ZERO).await.field("clock_skew_seconds"), None);
    // a secret does not depend on the time
    let error = refused(7_000_215, Duration::from_mins(10)).await;
    assert_eq!(error.code(), Code::CredentialSecretWrong);
}
