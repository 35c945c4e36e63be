//! A credential that changes, and a login service that goes away, while mails are being sent.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use mailbridge_core::{Code, Doubt, Error, Guarantee::AtLeastOnce, Mail, Scope, Verdict};
use mailbridge_graph::{Graph, Options};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    scene::{self, PLAIN, token},
    stub::{Asked, Reply, Stub},
};

/// A login service that takes one secret, which can be changed.
#[derive(Clone)]
struct Login(Arc<Mutex<&'static str>>);

impl Login {
    fn new(good: &'static str) -> Self {
        Self(Arc::new(Mutex::new(good)))
    }

    fn takes(&self, good: &'static str) {
        *self.0.lock().unwrap() = good;
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let good = *self.0.lock().unwrap();
        if asked.body.ends_with(&format!("client_secret={good}")) {
            return token(good, &[]);
        }
        let body = json!({ "error": "invalid_client", "error_codes": [7_000_222] });
        Reply::json(401, body.to_string())
    }

    async fn stub(&self) -> Stub {
        let login = self.clone();
        Stub::start(move |asked| {
            if asked.target.starts_with("/v1.0/") {
                Reply::status(202)
            } else {
                login.answer(asked)
            }
        })
        .await
    }
}

async fn send(graph: &Graph, number: usize) -> Result<(), Error> {
    let (mailbox, within) = (format!("{}@x.org", number % 50), Duration::from_secs(20));
    scene::perform(graph, &mailbox, PLAIN, AtLeastOnce, Doubt::None, within).await.map(drop)
}

/// Sends in twenty lines until `stub` has seen enough, and at least this many. Each must succeed.
async fn load(graph: &Arc<Graph>, stub: &Stub, least: usize, enough: impl Fn(&Stub) -> bool) {
    let mut callers = JoinSet::new();
    let mut count = 0;
    while count < least || !enough(stub) {
        while callers.len() < 20 {
            let graph = Arc::clone(graph);
            callers.spawn(async move { send(&graph, count).await });
            count += 1;
        }
        callers.join_next().await.unwrap().unwrap().unwrap();
    }
    for sent in callers.join_all().await {
        sent.unwrap();
    }
}

fn connect(stub: &Stub, file: &Path) -> Arc<Graph> {
    Arc::new(scene::graph(stub, Options::default(), &json!({ "file": file })))
}

#[tokio::test]
async fn a_secret_that_is_rotated_under_load_costs_one_token_request_and_no_mail() {
    let login = Login::new("old");
    let stub = login.stub().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let graph = connect(&stub, file.path());
    load(&graph, &stub, 1000, |_| true).await;
    assert_eq!(stub.tokens_asked(), 1);

    login.takes("new");
    std::fs::write(file.path(), "new-").unwrap();
    std::fs::write(file.path(), "new").unwrap();
    load(&graph, &stub, 1000, |stub| stub.tokens_asked() > 1).await;
    load(&graph, &stub, 1000, |stub| {
        let last = stub.asked().pop().unwrap();
        last.header("authorization") == Some("Bearer new")
    })
    .await;
    assert_eq!(stub.tokens_asked(), 2);
}

#[tokio::test]
async fn a_secret_that_is_rotated_to_a_wrong_one_harms_nobody_while_the_token_lives() {
    let login = Login::new("old");
    let stub = login.stub().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let graph = connect(&stub, file.path());
    load(&graph, &stub, 10, |_| true).await;
    std::fs::write(file.path(), "mistyped").unwrap();
    // asked for, refused, and asked for again after the back-off
    load(&graph, &stub, 10, |stub| stub.tokens_asked() >= 3).await;
    let last = stub.asked().into_iter().rfind(|asked| asked.target.starts_with("/v1.0/"));
    assert_eq!(last.unwrap().header("authorization"), Some("Bearer old"));
}

#[tokio::test]
async fn a_secret_that_is_put_right_is_taken_up_before_the_back_off_is_over() {
    let login = Login::new("new");
    let stub = login.stub().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let graph = connect(&stub, file.path());
    let mut wait = Duration::ZERO;
    // a back-off that is longer than the watch needs
    while wait < Duration::from_secs(4) {
        let error = graph.ready().await.unwrap_err();
        assert_eq!(error.code(), Code::CredentialSecretExpired);
        let Verdict::Blocked { after: Some(after), .. } = error.verdict() else { panic!() };
        wait = after;
        if wait < Duration::from_secs(4) {
            tokio::time::sleep(wait).await;
        }
    }
    std::fs::write(file.path(), "new").unwrap();
    let start = tokio::time::Instant::now();
    while graph.ready().await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(start.elapsed() + Duration::from_millis(500) < wait, "{:?}", start.elapsed());
}

#[tokio::test]
async fn login_that_is_down_for_longer_than_a_token_lives_blocks_and_then_heals() {
    let down = Arc::new(Mutex::new(false));
    let is_down = Arc::clone(&down);
    let stub = Stub::start(move |asked| {
        let token = json!({ "access_token": "t", "expires_in": 3, "refresh_in": 0 });
        match asked.target.starts_with("/v1.0/") {
            true => Reply::status(202),
            false if *is_down.lock().unwrap() => Reply::Cut,
            false => Reply::json(200, token.to_string()),
        }
    })
    .await;
    let graph = scene::graph(&stub, Options::default(), &json!("open sesame"));
    send(&graph, 0).await.unwrap();
    *down.lock().unwrap() = true;
    let asked = stub.tokens_asked();
    // due at once and not to be had: the old one serves
    while stub.tokens_asked() <= asked {
        send(&graph, 1).await.unwrap();
    }
    send(&graph, 2).await.unwrap();
    // and then it is over
    let error = loop {
        if let Err(error) = send(&graph, 3).await {
            break error;
        }
    };
    assert_eq!(error.code(), Code::LoginUnreachable);
    let Verdict::Blocked { scope: Scope::Connection, after: Some(after) } = error.verdict() else {
        panic!("{error:?}")
    };
    *down.lock().unwrap() = false;
    tokio::time::sleep(after).await;
    send(&graph, 4).await.unwrap();
}
