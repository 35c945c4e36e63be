//! Tokens against a login server: one for all, early refresh, refusals, rotation.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use mailbridge_core::{Code, Doubt, Guarantee::AtLeastOnce, Mail, Scope, Verdict};
use mailbridge_graph::{Graph, Options};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    scene::{self, MAILBOX, PLAIN, token},
    stub::{Asked, Reply, Stub},
};

/// A stub with a script for the token endpoint (by how many were asked before) and one for Graph.
async fn stub(
    login: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static,
    graph: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> Stub {
    let before = AtomicUsize::new(0);
    Stub::start(move |asked| {
        if asked.target.starts_with("/v1.0/") {
            graph(asked)
        } else {
            login(before.fetch_add(1, SeqCst), asked)
        }
    })
    .await
}

async fn send(graph: &Graph) -> mailbridge_core::Result<()> {
    send_from(graph, MAILBOX).await
}

async fn send_from(graph: &Graph, mailbox: &str) -> mailbridge_core::Result<()> {
    let within = Duration::from_secs(20);
    scene::perform(graph, mailbox, PLAIN, AtLeastOnce, Doubt::None, within).await.map(drop)
}

fn connect(stub: &Stub) -> Graph {
    scene::graph(stub, Options::default(), &json!("open sesame & more"))
}

/// Accepts these bearer tokens only.
fn accepts(good: &'static [&'static str]) -> impl Fn(&Asked) -> Reply + Send + Sync {
    |asked| {
        let bearer = asked.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
        if good.contains(&bearer) {
            Reply::status(202)
        } else {
            Reply::error(401, "InvalidAuthenticationToken")
        }
    }
}

#[tokio::test]
async fn five_hundred_from_cold_ask_for_one_token_of_the_right_form() {
    let stub = stub(|_, _| token("t0", &[]), |_| Reply::status(202)).await;
    let graph = Arc::new(connect(&stub));
    let mut callers = JoinSet::new();
    for number in 0..500 {
        let graph = Arc::clone(&graph);
        callers.spawn(async move { send_from(&graph, &format!("{number}@x.org")).await });
    }
    assert!(callers.join_all().await.into_iter().all(|result| result.is_ok()));
    assert_eq!(stub.tokens_asked(), 1);
    assert_eq!(stub.graph_asked().len(), 500);

    let asked = stub.asked().into_iter().find(|asked| asked.target.ends_with("/token")).unwrap();
    assert_eq!(asked.target, "/contoso.com/oauth2/v2.0/token");
    let scope = stub.url().replace(':', "%3A").replace('/', "%2F") + "%2F.default";
    assert_eq!(
        asked.body,
        format!(
            "grant_type=client_credentials&client_id=11111111-2222-3333-4444-555555555555\
             &scope={scope}&client_secret=open+sesame+%26+more"
        )
    );
    assert!(asked.header("authorization").is_none());
}

#[tokio::test]
async fn the_old_token_serves_while_login_is_silent() {
    let due_at_once = |name: &str| {
        let body = json!({ "access_token": name, "expires_in": 3600, "refresh_in": 0 });
        Reply::json(200, body.to_string())
    };
    let login =
        move |before, _: &Asked| if before == 0 { due_at_once("t0") } else { Reply::Silence };
    let stub = stub(login, accepts(&["t0"])).await;
    let graph = connect(&stub);
    for _ in 0..20 {
        send(&graph).await.unwrap();
    }
    // all were served by the first token, and the second is being asked for, once
    stub.until(|stub| stub.tokens_asked() == 2).await;
    send(&graph).await.unwrap();
    assert_eq!(stub.tokens_asked(), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_all() {
    let login = |before, _: &Asked| token(&format!("t{before}"), &[]);
    let stub = stub(login, accepts(&["t1"])).await;
    let graph = Arc::new(connect(&stub));
    let mut callers = JoinSet::new();
    for number in 0..50 {
        let graph = Arc::clone(&graph);
        callers.spawn(async move { send_from(&graph, &format!("{number}@x.org")).await });
    }
    assert!(callers.join_all().await.into_iter().all(|result| result.is_ok()));
    assert_eq!(stub.tokens_asked(), 2);
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_too_blocks_the_connection() {
    let login = |before, _: &Asked| token(&format!("t{before}"), &[]);
    let stub = stub(login, accepts(&[])).await;
    let graph = connect(&stub);
    for _ in 0..3 {
        let error = send(&graph).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphUnauthorized);
        let expected = Verdict::Blocked { scope: Scope::Connection, after: None };
        assert_eq!(error.verdict(), expected);
    }
    assert_eq!(stub.tokens_asked(), 2, "one forced refresh, not one an attempt");
    assert!(stub.graph_asked().len() <= 4);
}

#[tokio::test]
async fn a_secret_that_is_wrong_blocks_until_the_file_holds_a_good_one() {
    let login = |_, asked: &Asked| {
        if asked.body.ends_with("client_secret=good") {
            return token("t", &[]);
        }
        let body = json!({
            "error": "invalid_client", "error_codes": [7_000_222],
            "error_description": "AADSTS7000222: the secret 'expired' …",
            "trace_id": "0b5f3a0e-0000-4000-8000-00000000abcd",
        });
        Reply::json(401, body.to_string())
    };
    let stub = stub(login, |_| Reply::status(202)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "expired").unwrap();
    let graph = scene::graph(&stub, Options::default(), &json!({ "file": file.path() }));
    for _ in 0..100 {
        let error = send(&graph).await.unwrap_err();
        assert_eq!(error.code(), Code::CredentialSecretExpired);
        assert_eq!(error.field("aadsts"), Some("AADSTS7000222"));
        assert_eq!(error.field("trace_id"), Some("0b5f3a0e-0000-4000-8000-00000000abcd"));
        assert!(!error.to_string().contains("'expired'"));
    }
    assert_eq!(stub.tokens_asked(), 1, "the failure is remembered for a second");
    assert!(stub.graph_asked().is_empty());

    std::fs::write(file.path(), "good").unwrap();
    let error = graph.ready().await.unwrap_err();
    let Verdict::Blocked { after: Some(after), .. } = error.verdict() else { panic!("{error:?}") };
    tokio::time::sleep(after).await;
    graph.ready().await.unwrap();
    send(&graph).await.unwrap();
}

#[tokio::test]
async fn what_login_says_or_does_not_say_has_its_code() {
    let cases = [
        (Reply::Cut, Code::LoginUnreachable),
        (Reply::json(503, r#"{"error":"temporarily_unavailable"}"#), Code::LoginUnavailable),
        (Reply::json(200, "<html>sign in to the airport wifi</html>"), Code::LoginUnexpected),
        (Reply::json(302, "").with("location", "http://evil.example"), Code::LoginUnexpected),
    ];
    for (reply, code) in cases {
        let answer = reply.clone();
        let stub = stub(move |_, _| answer.clone(), |_| unreachable!()).await;
        let error = connect(&stub).ready().await.unwrap_err();
        assert_eq!(error.code(), code, "{reply:?}");
        assert!(matches!(error.verdict(), Verdict::Blocked { scope: Scope::Connection, .. }));
    }
    let stub = stub(|_, _| unreachable!(), |_| unreachable!()).await;
    let graph = connect(&stub);
    stub.stop().await;
    assert_eq!(graph.ready().await.unwrap_err().code(), Code::LoginUnreachable);
}

#[tokio::test]
async fn login_that_throttles_is_left_alone_as_long_as_it_asks() {
    let throttled = |_, _: &Asked| {
        Reply::json(429, r#"{"error":"temporarily_unavailable"}"#).with("retry-after", "60")
    };
    let stub = stub(throttled, |_| unreachable!()).await;
    let graph = connect(&stub);
    for _ in 0..3 {
        let error = graph.ready().await.unwrap_err();
        let Verdict::Blocked { after: Some(after), .. } = error.verdict() else { panic!() };
        assert!(after > Duration::from_secs(55), "{after:?}");
    }
    assert_eq!(stub.tokens_asked(), 1);
}

/// Answers by the mailbox in the path.
fn denies(denied: &'static [&'static str]) -> impl Fn(&Asked) -> Reply + Send + Sync {
    |asked| {
        let name = asked.target.split('/').nth(3).unwrap();
        if denied.contains(&name) {
            Reply::error(403, "ErrorAccessDenied")
        } else {
            Reply::status(202)
        }
    }
}

#[tokio::test]
async fn a_denial_with_a_token_that_lists_no_permission_is_the_connections() {
    let stub = stub(|_, _| token("t", &["User.Read.All"]), denies(&["a@x.org", "b@x.org"])).await;
    let graph = connect(&stub);
    for mailbox in ["a@x.org", "b@x.org"] {
        let error = send_from(&graph, mailbox).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphPermissionMissing);
        assert!(matches!(error.verdict(), Verdict::Blocked { scope: Scope::Connection, .. }));
        assert_eq!(error.field("graph_code"), Some("ErrorAccessDenied"));
    }
    assert_eq!(stub.tokens_asked(), 2, "one forced refresh for both");

    // something works: so the permission is given in Exchange, and a denial is one mailbox's
    send_from(&graph, "c@x.org").await.unwrap();
    let error = send_from(&graph, "a@x.org").await.unwrap_err();
    assert_eq!(error.code(), Code::MailboxDenied);
}

#[tokio::test]
async fn a_permission_granted_meanwhile_works_at_once() {
    let login = |before, _: &Asked| match before {
        0 => token("t0", &["User.Read.All"]),
        _ => token("t1", &["Mail.Send"]),
    };
    let first = Arc::new(Mutex::new(None::<String>));
    let stub = stub(login, move |asked| {
        let bearer = asked.header("authorization").unwrap().to_owned();
        let mut first = first.lock().unwrap();
        if *first.get_or_insert_with(|| bearer.clone()) == bearer {
            Reply::error(403, "ErrorAccessDenied")
        } else {
            Reply::status(202)
        }
    })
    .await;
    send(&connect(&stub)).await.unwrap();
}
