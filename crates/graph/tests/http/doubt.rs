//! `guarantee: once` with a doubt: the look in the mailbox, and what each find leads to.

use std::sync::{Arc, Mutex, OnceLock};

use mailbridge_core::{
    Code, Completion,
    Doubt::{self, Old, Young},
    Guarantee::Once,
    Verdict,
};
use mailbridge_graph::Options;
use serde_json::json;

use crate::{
    scene::{Scene, draft, found, mark, sent},
    stub::{Asked, Reply, Stub},
};

const LOOK: &str = "GET messages";
const CREATE: &str = "POST messages";
const SEND: &str = "POST send";

/// A mailbox that shows these messages: (id, whether it is a draft).
fn mailbox(messages: &'static [(&'static str, bool)]) -> impl Fn(&Asked) -> Reply + Send + Sync {
    |asked| match asked.what().as_str() {
        LOOK => found(messages),
        CREATE => draft(),
        SEND => Reply::status(202),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_branch_of_a_doubt() {
    type Case = (&'static [(&'static str, bool)], Doubt, Completion, &'static [&'static str]);
    let cases: [Case; 8] = [
        // sent: done, whoever sent it
        (&[("a", false)], Young, sent(Some("<a@contoso.com>"), true), &[LOOK]),
        (&[("a", false)], Old, sent(Some("<a@contoso.com>"), true), &[LOOK]),
        (&[("d", true), ("a", false)], Old, sent(Some("<a@contoso.com>"), true), &[LOOK]),
        // a draft: it may be on its way out, or else it is the one to send
        (&[("d", true)], Young, Completion::Unsettled, &[LOOK]),
        (&[("d", true)], Old, sent(Some("<d@contoso.com>"), false), &[LOOK, SEND]),
        (&[("d", true), ("e", true)], Old, sent(Some("<d@contoso.com>"), false), &[LOOK, SEND]),
        // nothing: it need not show yet, or else nothing has happened, and nothing is done here
        (&[], Young, Completion::Unsettled, &[LOOK]),
        (&[], Old, Completion::Absent, &[LOOK]),
    ];
    for (messages, doubt, completion, steps) in cases {
        let scene = Scene::new(mailbox(messages)).await;
        assert_eq!(scene.send(Once, doubt).await.unwrap(), completion, "{messages:?} {doubt:?}");
        assert_eq!(scene.stub.graph_asked(), steps, "{messages:?} {doubt:?}");
    }
}

#[tokio::test]
async fn the_look_asks_the_whole_mailbox_for_the_mark() {
    let scene = Scene::new(mailbox(&[])).await;
    scene.send(Once, Young).await.unwrap();
    let asked = scene.stub.asked().pop().unwrap();
    let url = reqwest::Url::parse(&format!("http://x{}", asked.target)).unwrap();
    assert_eq!(url.path(), "/v1.0/users/noreply@contoso.com/messages");
    let filter = url.query_pairs().find(|(name, _)| name == "$filter").unwrap().1;
    let mark = mark();
    assert!(
        filter.starts_with("singleValueExtendedProperties/Any(ep: ep/id eq 'String {")
            && filter.ends_with(&format!("Name mailbridge-request' and ep/value eq '{mark}')")),
        "{filter}"
    );
    assert!(!asked.target.contains(' '));
}

#[tokio::test]
async fn a_draft_that_is_gone_when_it_is_sent_is_in_doubt() {
    let scene = Scene::new(|asked: &Asked| match asked.what().as_str() {
        LOOK => found(&[("d", true)]),
        _ => Reply::error(404, "ErrorItemNotFound"),
    })
    .await;
    let error = scene.send(Once, Old).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::GraphDraftGone, Verdict::InDoubt));
    assert_eq!(scene.stub.graph_asked(), [LOOK, SEND]);
}

#[tokio::test]
async fn a_look_that_fails_leads_to_nothing_else() {
    for reply in [Reply::status(503), Reply::Cut, Reply::json(200, "<html>")] {
        let scene = Scene::new(move |_| reply.clone()).await;
        let error = scene.send(Once, Old).await.unwrap_err();
        assert!(matches!(error.verdict(), Verdict::Transient { .. }), "{error:?}");
        assert_eq!(scene.stub.graph_asked(), [LOOK]);
    }
}

#[tokio::test]
async fn pages_are_followed_to_the_end_and_empty_ones_too() {
    let base = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&base);
    let scene = Scene::new(move |asked: &Asked| {
        let base = known.lock().unwrap().clone();
        let link =
            |page: u32| format!("{base}/v1.0/users/noreply@contoso.com/messages?page={page}");
        let body = if asked.target.ends_with("page=2") {
            json!({ "value": [{ "id": "a", "isDraft": false }] })
        } else if asked.target.ends_with("page=1") {
            json!({ "value": [{ "id": "d", "isDraft": true }], "@odata.nextLink": link(2) })
        } else {
            json!({ "value": [], "@odata.nextLink": link(1) })
        };
        Reply::json(200, body.to_string())
    })
    .await;
    *base.lock().unwrap() = scene.stub.url();
    assert_eq!(scene.send(Once, Old).await.unwrap(), sent(None, true));
    assert_eq!(scene.stub.graph_asked(), [LOOK; 3]);
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed_with_the_token() {
    type Link = fn(own: &str, other: &str) -> String;
    let links: [Link; 10] = [
        |_, other| format!("http://{other}/v1.0/users/x/messages"),
        |own, _| format!("https://{own}/v1.0/users/x/messages"),
        |own, _| format!("http://localhost:{}/v1.0", own.rsplit(':').next().unwrap()),
        |own, other| format!("http://{own}@{other}/v1.0"),
        |own, other| format!(r"http://{other}\@{own}/v1.0"),
        |own, _| format!("http://user:word@{own}/v1.0"),
        |_, other| format!("//{other}/v1.0"),
        |_, other| format!(r"http:\\{other}\v1.0"),
        |_, _| "/v1.0/users/x/messages".to_owned(),
        |_, _| String::new(),
    ];
    let other = Stub::start(|_| found(&[])).await;
    for link in links {
        let written = Arc::new(OnceLock::new());
        let answer = Arc::clone(&written);
        let scene = Scene::new(move |_| {
            let link = answer.get().cloned().unwrap_or(String::new());
            Reply::json(200, json!({ "value": [], "@odata.nextLink": link }).to_string())
        })
        .await;
        let own = scene.stub.address.to_string();
        let link = written.get_or_init(|| link(&own, &other.address.to_string()));
        let error = scene.send(Once, Old).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphLinkElsewhere, "{link}");
        assert_eq!(scene.stub.graph_asked(), [LOOK], "{link}");
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn without_the_look_a_doubt_sends_again() {
    // the negative control of the process tests: this is the duplicate that the look prevents
    let options = Options { look_first: false, ..Options::default() };
    let scene = Scene::with(options, json!("s"), mailbox(&[("a", false)])).await;
    scene.send(Once, Old).await.unwrap();
    assert_eq!(scene.stub.graph_asked(), [CREATE, SEND]);
}
