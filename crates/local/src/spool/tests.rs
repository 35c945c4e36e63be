//! The spool as producers meet it: over HTTP, and over restarts.

use std::{net::SocketAddr, time::Duration};

use mailbridge_core::{Disposition, Input, Message, Needs, SeenBefore, plugin::Plugin as _};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::table::OPEN;
use crate::{Config, Http, Local, Source, Target};

const NEEDS: Needs = Needs { in_flight: 10, concluding: 0, deadline: Duration::from_secs(30) };

/// A bus with a spool, at a port that was free a moment ago.
struct Desk {
    dir: TempDir,
    local: Local,
    http: Http,
    client: Client,
}

impl Desk {
    #[expect(clippy::disallowed_methods, reason = "a producer's own client")]
    fn new(token: Option<Value>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = bus(&dir);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        let token = token.map(|token| serde_json::from_value(token).unwrap());
        Self { dir, local, http: Http { address, token, bytes_max: 1000 }, client: Client::new() }
    }

    async fn input(&self) -> Box<dyn Input> {
        self.local.input(&Source::Http(self.http.clone()), &NEEDS).await.unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.http.address
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    async fn post(&self, key: Option<&str>, body: &str) -> Response {
        let request = self.client.post(self.url("/requests"));
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn status(&self, id: &str) -> Value {
        let response = self.client.get(self.url(&format!("/requests/{id}"))).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// What a restart of the program is.
    async fn restarted(self) -> Self {
        drop(self.local);
        let folder = self.dir.path();
        while OPEN.is_any_open(folder) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let local = bus(&self.dir);
        Self { local, ..self }
    }
}

fn bus(dir: &TempDir) -> Local {
    Local::new("here", Config { dir: dir.path().to_owned() }).unwrap()
}

async fn id(response: Response) -> String {
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_and_says_that_it_may_be_known() {
    let desk = Desk::new(None);
    let mut input = desk.input().await;
    let first = desk.post(None, r#"{"to":"a@b"}"#).await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    let first = id(first).await;
    let delivery = input.next().await.unwrap().unwrap();
    assert_eq!(delivery.position.as_str(), format!("local:http/{first}"));
    assert_eq!(delivery.seen_before, SeenBefore::No);
    assert_eq!(&delivery.message.payload[..], br#"{"to":"a@b"}"#);
    let second = id(desk.post(None, r#"{"to":"c@d"}"#).await).await;
    drop((delivery, input));

    let desk = desk.restarted().await;
    let mut input = desk.input().await;
    for id in [&first, &second] {
        assert_eq!(desk.status(id).await["state"], "queued");
        let delivery = input.next().await.unwrap().unwrap();
        assert_eq!(delivery.position.as_str(), format!("local:http/{id}"));
        assert_eq!(delivery.seen_before, SeenBefore::Maybe);
        delivery.receipt.settle(Disposition::Done).await.unwrap();
        assert_eq!(desk.status(id).await["state"], "done");
    }
    drop(input);

    let desk = desk.restarted().await;
    let mut input = desk.input().await;
    let third = id(desk.post(None, "{}").await).await;
    let delivery = input.next().await.unwrap().unwrap();
    assert_eq!(delivery.position.as_str(), format!("local:http/{third}"), "the others are gone");
}

#[tokio::test]
async fn an_idempotency_key_is_one_request() {
    let desk = Desk::new(None);
    let mut input = desk.input().await;
    let body = r#"{"to":"a@b"}"#;
    let first = id(desk.post(Some("order-1"), body).await).await;
    let again = desk.post(Some("\"order-1\""), body).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(id(again).await, first);
    let other = desk.post(Some("order-1"), r#"{"to":"c@d"}"#).await;
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let delivery = input.next().await.unwrap().unwrap();
    assert_eq!(delivery.message.id.as_deref(), Some("order-1"), "known by its key downstream too");
    delivery.receipt.settle(Disposition::Rejected).await.unwrap();
    assert_eq!(desk.status(&first).await["state"], "rejected");
    assert_eq!(desk.post(Some("order-1"), body).await.status(), StatusCode::OK);
    let next = id(desk.post(Some("order-2"), body).await).await;
    let delivery = input.next().await.unwrap().unwrap();
    assert!(delivery.position.as_str().ends_with(&next), "the first came once");
}

#[tokio::test]
async fn a_post_again_is_the_same_whatever_its_trace() {
    let desk = Desk::new(None);
    let _input = desk.input().await;
    let mut ids = Vec::new();
    for trace in ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0a-b7-00"] {
        let post = desk.client.post(desk.url("/requests")).header("idempotency-key", "order-1");
        let post = post.header("content-type", "application/json").header("traceparent", trace);
        ids.push(id(post.body("{}").send().await.unwrap()).await);
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_reader_in_place_of_one_that_failed_waits_for_what_is_still_in_hand() {
    let desk = Desk::new(None);
    let mut input = desk.input().await;
    let posted = id(desk.post(None, "{}").await).await;
    let delivery = input.next().await.unwrap().unwrap();
    drop(input);
    let early = tokio::time::timeout(Duration::from_millis(300), async {
        // its port may be the old reader's for a moment
        while desk.local.input(&Source::Http(desk.http.clone()), &NEEDS).await.is_err() {}
    });
    assert!(early.await.is_err(), "it is not handed out twice at once");
    delivery.receipt.settle(Disposition::Done).await.unwrap();
    let mut input = loop {
        if let Ok(input) = desk.local.input(&Source::Http(desk.http.clone()), &NEEDS).await {
            break input;
        }
    };
    assert_eq!(desk.status(&posted).await["state"], "done");
    let next = id(desk.post(None, "{}").await).await;
    let delivery = input.next().await.unwrap().unwrap();
    assert!(delivery.position.as_str().ends_with(&next));
}

#[tokio::test]
async fn a_spool_that_another_has_open_is_told_of() {
    let desk = Desk::new(None);
    let file = super::file(desk.dir.path(), desk.address());
    let _other = redb::Database::create(file).unwrap();
    let Err(error) = desk.local.input(&Source::Http(desk.http.clone()), &NEEDS).await else {
        panic!("it opened what is open")
    };
    assert!(error.to_string().contains("another mailbridge process has this open"), "{error}");
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_reader_and_the_next_one_goes_on() {
    let desk = Desk::new(None);
    let mut input = desk.input().await;
    let before = id(desk.post(None, "{}").await).await;
    input.next().await.unwrap().unwrap().receipt.settle(Disposition::Done).await.unwrap();
    let spool = desk.local.spool(desk.address()).await.unwrap();
    spool.0.fail();
    // nobody can open it anew for now
    let broken = redb::Database::create(super::file(desk.dir.path(), desk.address())).unwrap();
    let (next, posted) = tokio::join!(input.next(), desk.post(None, "{}"));
    assert!(next.is_err(), "the reader waited for what could not come");
    assert_eq!(posted.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(posted.headers()["retry-after"], "5");
    drop((broken, input));
    let mut input = loop {
        if let Ok(input) = desk.local.input(&Source::Http(desk.http.clone()), &NEEDS).await {
            break input;
        }
    };
    assert_eq!(desk.status(&before).await["state"], "done");
    let after = id(desk.post(None, "{}").await).await;
    let delivery = input.next().await.unwrap().unwrap();
    assert!(delivery.position.as_str().ends_with(&after));
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_told_at_once() {
    let desk = Desk::new(Some(json!({ "file": "/no/such/token" })));
    assert!(desk.local.input(&Source::Http(desk.http.clone()), &NEEDS).await.is_err());
}

#[tokio::test]
async fn an_outcome_is_found_under_the_request() {
    let desk = Desk::new(None);
    let _input = desk.input().await;
    let request = id(desk.post(None, "{}").await).await;
    let target: Target = serde_json::from_value(json!({ "http": desk.address() })).unwrap();
    let output = desk.local.output(&target).await.unwrap();
    let outcome = |position: &str| {
        let event = json!({ "data": { "position": position, "status": "accepted" } });
        Message { payload: event.to_string().into(), ..Message::default() }
    };
    output.publish(outcome(&format!("local:http/{request}"))).await.unwrap();
    assert_eq!(desk.status(&request).await["outcome"]["status"], "accepted");
    output.publish(outcome("local:http/long-gone")).await.unwrap();
    output.publish(outcome("nats:MAIL/3")).await.unwrap_err();
}

#[tokio::test]
async fn who_may_not_post_is_told_so() {
    let desk = Desk::new(Some(json!("secret-token")));
    let mut input = desk.input().await;
    let refused = desk.post(None, "{}").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    for (token, expected) in [("secret-toke", 401), ("secret-token", 202)] {
        let request = desk.client.post(desk.url("/requests")).bearer_auth(token);
        let request = request.header("content-type", "application/json").body("{}");
        assert_eq!(request.send().await.unwrap().status(), expected);
    }
    input.next().await.unwrap().unwrap();
    let get = desk.client.get(desk.url("/requests/x"));
    assert_eq!(get.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_post() {
    let desk = Desk::new(None);
    let _input = desk.input().await;
    for (header, value, expected) in [
        ("content-type", "text/plain", 415),
        ("content-type", "application/x-www-form-urlencoded", 415),
        ("host", "evil.example", 403),
        ("host", "localhost:80", 202),
        ("host", "[::1]:80", 202),
    ] {
        let request = desk.client.post(desk.url("/requests"));
        let request = match header {
            "host" => request.header("content-type", "application/json"),
            _ => request,
        };
        let status = request.header(header, value).body("{}").send().await.unwrap().status();
        assert_eq!(status, expected, "{header}: {value}");
    }
}

#[tokio::test]
async fn bad_input_is_refused_and_nothing_waits() {
    let desk = Desk::new(None);
    let mut input = desk.input().await;
    assert_eq!(desk.post(None, "").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(desk.post(None, &"x".repeat(1001)).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(desk.post(Some(&"k".repeat(256)), "{}").await.status(), StatusCode::BAD_REQUEST);
    let unknown = desk.client.get(desk.url("/requests/none")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let only = id(desk.post(None, "not json, which is the pipeline's to say").await).await;
    let delivery = input.next().await.unwrap().unwrap();
    assert!(delivery.position.as_str().ends_with(&only));
}
