//! A credential that ends soon, as it shows outside: on a bus, in the metrics and in the log.

use std::path::Path;

use jiff::{Timestamp, ToSpan as _};
use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Running};
use serde_json::Value;

use crate::{
    bus::{OUTCOMES, On, over_each_bus},
    rig::{Plan, Rig, SOON, TO_OUTCOMES, until},
};

over_each_bus!(a_credential_that_ends_soon_is_told_on_a_bus);

/// A secret that its owner says to end in about ten days.
fn ends_soon(_: &Running, folder: &Path) -> (String, Vec<(&'static str, String)>) {
    std::fs::write(folder.join("secret"), DEMO_CLIENT_SECRET).expect("a secret file");
    let ends = Timestamp::now() + (10 * 24 + 1).hours();
    let lines = format!(
        "    tenant: {DEMO_TENANT_ID}\n    client_id: {DEMO_CLIENT_ID}\n    credential:\n      \
         client_secret: {{ file: secret }}\n      expires: {ends}\n    \
         notify: {TO_OUTCOMES}"
    );
    (lines, Vec::new())
}

async fn a_credential_that_ends_soon_is_told_on_a_bus(on: On) {
    let rig = Rig::new(on, Plan { identity: ends_soon, ..Plan::default() }).await;
    let program = rig.start();
    rig.green().await;
    let told = async || rig.bus.messages(OUTCOMES).await.len() == 1;
    until(SOON, "it is told", told).await;
    let event = rig.bus.messages(OUTCOMES).await.remove(0);
    let event: Value = serde_json::from_slice(&event.payload).expect("JSON");
    assert_eq!(event["type"], "mailbridge.credential.expiring");
    assert_eq!(event["source"], "/mailbridge/contoso");
    assert_eq!(event["data"]["connection"], "contoso");
    assert_eq!(event["data"]["credential"], "client_secret");
    assert_eq!(event["data"]["days_left"], 10);

    let metrics = rig.metrics().await;
    let name = r#"mailbridge_credential_expires_seconds{connection="contoso","#;
    let line = metrics.lines().find(|line| line.starts_with(name)).expect("a gauge");
    let seconds: f64 = line.rsplit(' ').next().expect("a value").parse().expect("a number");
    assert!((864_000.0..867_600.5).contains(&seconds), "{line}");
    assert!(program.lines().iter().any(|line| line.text.contains("a credential ends soon")));
}
