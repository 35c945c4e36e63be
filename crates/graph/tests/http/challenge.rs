//! Claims challenges (continuous access evaluation): one token for all who meet the same, with what
//! Graph wants, and no loop when that does not help.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{Code, Doubt, Guarantee::AtLeastOnce, Scope, Verdict};
use mailbridge_graph::{Graph, Options};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    scene::{self, MAILBOX, PLAIN, token},
    stub::{Asked, Reply, Stub},
};

fn wanted() -> Value {
    json!({ "access_token": { "nbf": { "essential": true, "value": "1604106651" } } })
}

/// The answer of Graph to a token that is older than it wants (learn.microsoft.com, entra
/// claims-challenge).
fn challenge(status: u16) -> Reply {
    let claims = STANDARD.encode(wanted().to_string());
    let value = format!(
        r#"Bearer realm="", authorization_uri="https://login.example/authorize", {}"#,
        format_args!(r#"error="insufficient_claims", claims="{claims}""#),
    );
    let body = r#"{"error":{"code":"InvalidAuthenticationToken","message":"secret words"}}"#;
    Reply::json(status, body)
        .with("www-authenticate", r#"PoP realm="""#)
        .with("www-authenticate", value)
}

/// Gives the tokens t0, t1, … and challenges all that are not among `good`.
async fn stub(status: u16, good: &'static [&'static str]) -> Stub {
    let before = std::sync::atomic::AtomicUsize::new(0);
    Stub::start(move |asked| {
        if !asked.target.starts_with("/v1.0/") {
            let number = before.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return token(&format!("t{number}"), &[]);
        }
        let bearer = asked.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
        if good.contains(&bearer) { Reply::status(202) } else { challenge(status) }
    })
    .await
}

fn connect(stub: &Stub, cae: bool) -> Graph {
    let keys = json!({ "credential": { "client_secret": "open sesame" }, "cae": cae });
    scene::graph_with(stub, Options::default(), &keys)
}

async fn send(graph: &Graph, mailbox: &str) -> mailbridge_core::Result<()> {
    let within = Duration::from_secs(20);
    scene::perform(graph, mailbox, PLAIN, AtLeastOnce, Doubt::None, within).await.map(drop)
}

/// The claims of each token request.
fn claims(stub: &Stub) -> Vec<Option<Value>> {
    let asked = stub.asked();
    let tokens = asked.iter().filter(|asked| asked.target.ends_with("/token"));
    tokens.map(claims_of).collect()
}

fn claims_of(asked: &Asked) -> Option<Value> {
    let form = Url::parse(&format!("http://x/?{}", asked.body)).unwrap();
    let claims = form.query_pairs().find(|(name, _)| name == "claims")?;
    Some(serde_json::from_str(&claims.1).unwrap())
}

#[tokio::test]
async fn five_hundred_that_meet_a_challenge_ask_for_one_token() {
    let capability = json!({ "xms_cc": { "values": ["cp1"] } });
    let mut merged = wanted();
    merged["access_token"]["xms_cc"] = capability["xms_cc"].clone();
    let plain = json!({ "access_token": capability });
    let cases = [
        (401, false, [None, Some(wanted())]),
        (401, true, [Some(plain.clone()), Some(merged.clone())]),
        (403, true, [Some(plain), Some(merged)]),
    ];
    for (status, cae, expected) in cases {
        let stub = stub(status, &["t1"]).await;
        let graph = Arc::new(connect(&stub, cae));
        let mut callers = JoinSet::new();
        for number in 0..500 {
            let graph = Arc::clone(&graph);
            callers.spawn(async move { send(&graph, &format!("{number}@x.org")).await });
        }
        for sent in callers.join_all().await {
            sent.unwrap();
        }
        assert_eq!(claims(&stub), expected, "{status}");
    }
}

#[tokio::test]
async fn a_challenge_that_no_token_meets_holds_the_connection_and_does_not_loop() {
    for status in [401, 403] {
        let stub = stub(status, &[]).await;
        let graph = connect(&stub, true);
        for _ in 0..3 {
            let error = send(&graph, MAILBOX).await.unwrap_err();
            assert_eq!(error.code(), Code::CredentialPolicyBlocked);
            assert!(matches!(error.verdict(), Verdict::Blocked { scope: Scope::Connection, .. }));
            assert_eq!(error.field("status"), Some(status.to_string().as_str()));
            assert!(!error.to_string().contains("1604106651"), "{error}");
        }
        assert_eq!(stub.tokens_asked(), 2);
        assert_eq!(stub.graph_asked().len(), 4, "one replay, for the first");
    }
}
