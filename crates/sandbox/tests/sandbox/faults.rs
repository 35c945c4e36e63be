//! Faults before and after the effect, seen from the client and from the truth.

use std::time::{Duration, Instant};

use mailbridge_sandbox::{Arrival, Fault, Kind, Operation, Sandbox};
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{MAILBOX, encode, message, start, start_with};

#[tokio::test]
async fn an_error_before_the_effect_sends_nothing() {
    let world = start().await;
    world.handle().add_fault(Fault::answer(503).on(Operation::SendMail).first(1));
    world.send_mail("s").await.refused(503, "serviceNotAvailable");
    assert_eq!(world.sent_total(), 0);
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.sent_total(), 1);
}

#[tokio::test]
async fn an_error_after_the_effect_hides_a_mail_that_was_sent() {
    let world = start().await;
    world.handle().add_fault(Fault::answer(504).after().on(Operation::SendMail).first(1));
    world.send_mail("s").await.refused(504, "UnknownError");
    assert_eq!(world.handle().truth().with_subject("s").len(), 1);

    world.handle().add_fault(Fault::answer(504).after().on(Operation::SendMessage).first(1));
    let id = world.draft("d").await;
    world.send(&id).await.refused(504, "UnknownError");
    world.send(&id).await.refused(404, "ErrorItemNotFound");
    assert_eq!(world.sent_total(), 2);
}

#[tokio::test]
async fn a_throttle_is_decimal_and_before_the_effect() {
    let world = start().await;
    world.handle().add_fault(Fault::throttle(2.128).first(1));
    let reply = world.send_mail("s").await.refused(429, "ApplicationThrottled");
    assert_eq!(reply.header("retry-after"), Some("2.128"));
    assert_eq!(world.sent_total(), 0);
}

#[tokio::test]
async fn success_can_carry_retry_after() {
    let world = start().await;
    world.handle().add_fault(Fault::new(Kind::RetryAfter { seconds: 5.0 }).after());
    let reply = world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert_eq!(world.sent_total(), 1);
}

#[tokio::test]
async fn a_line_is_cut_before_or_after_the_effect() {
    let world = start().await;
    let post = || {
        let path = format!("users/{MAILBOX}/sendMail");
        let body = json!({"message": message("s", "k")});
        world.request(reqwest::Method::POST, &path).json(&body).send()
    };
    for (fault, sent) in [
        (Fault::close().first(1), 0),
        (Fault::close().after().first(1), 1),
        (Fault::new(Kind::Close { reset: true }).after().first(1), 2),
    ] {
        world.handle().clear_faults(None);
        world.handle().add_fault(fault);
        let error = post().await.expect_err("no answer comes");
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(world.sent_total(), sent);
    }
    assert_eq!(world.handle().requests()[&Operation::SendMail]["cut"], 3);
    post().await.unwrap();
}

#[tokio::test]
async fn a_cut_line_carries_not_one_byte() {
    let world = start().await;
    world.handle().add_fault(Fault::close().after());
    let body = json!({"message": message("s", "k")}).to_string();
    let request = format!(
        "POST /v1.0/users/{MAILBOX}/sendMail HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.token,
        body.len()
    );
    let mut stream = TcpStream::connect(world.sandbox.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(world.sent_total(), 1);
}

#[tokio::test]
async fn answers_can_be_late_or_never_come() {
    let world = start().await;
    world.handle().add_fault(Fault::new(Kind::Delay { seconds: 0.2 }).first(1));
    let begin = Instant::now();
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    assert!(begin.elapsed() >= Duration::from_millis(200));

    world.handle().add_fault(Fault::new(Kind::Hang { seconds: 60.0 }).after());
    let path = format!("users/{MAILBOX}/sendMail");
    let body = json!({"message": message("s", "k")});
    let request = world.request(reqwest::Method::POST, &path).json(&body);
    let error = request.timeout(Duration::from_millis(300)).send().await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(world.sent_total(), 2, "it happened all the same");
}

#[tokio::test]
async fn a_request_that_fails_by_itself_does_not_use_up_an_after_fault() {
    let world = start().await;
    world.handle().add_fault(Fault::answer(504).after().first(1));
    let path = format!("users/{MAILBOX}/sendMail");
    world.post(&path, &json!({})).await.refused(400, "ErrorInvalidParameter");
    world.send_mail("s").await.refused(504, "UnknownError");
}

#[tokio::test]
async fn the_token_endpoint_suffers_too() {
    let world = start().await;
    world.handle().add_fault(Fault::throttle(60.0).on(Operation::Token).first(1));
    let reply = world.ask_token(&crate::support::form("a", "b")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("60")));
    world.fresh_token().await;
}

#[tokio::test]
async fn a_seed_replays_its_faults() {
    let run = async |seed| {
        let world = start_with(Sandbox::builder().seed(seed)).await;
        world.handle().add_fault(Fault::answer(503).on(Operation::SendMail).probability(0.4));
        let mut statuses = Vec::new();
        for _ in 0..24 {
            statuses.push(world.send_mail("s").await.status);
        }
        assert_eq!(world.handle().faults()[0].seen, 24);
        statuses
    };
    let first = run(1).await;
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
    assert!(first.contains(&503) && first.contains(&202));
}

#[tokio::test]
async fn stopping_ends_requests_that_hang() {
    let world = start().await;
    world.handle().add_fault(Fault::new(Kind::Hang { seconds: 600.0 }));
    let handle = world.handle().clone();
    let (url, token) = (world.sandbox.graph_url(), world.token.clone());
    let request = world.http.get(format!("{url}/v1.0/users")).bearer_auth(token).send();
    let stop = async {
        while handle.faults()[0].fired == 0 {
            tokio::task::yield_now().await;
        }
        world.sandbox.stop().await;
    };
    let (answer, ()) =
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(request, stop) })
            .await
            .expect("the hanging request ends with the sandbox");
    assert!(answer.is_err());
    TcpStream::connect(url.trim_start_matches("http://")).await.expect_err("nobody listens");
}

#[tokio::test]
async fn every_way_to_write_can_succeed_unheard() {
    let world = start().await;
    let mail = "From: c@fabrikam.example\r\nTo: anna@contoso.example\r\nSubject: q\r\n\
                Message-ID: <q@fabrikam.example>\r\n\r\nhow?\r\n";
    let id = world.handle().receive(&Arrival::mime(MAILBOX, mail)).unwrap().id;
    let one = format!("users/{MAILBOX}/messages/{}", encode(&id));
    let to = json!([{"emailAddress": {"address": "b@fabrikam.example"}}]);
    let archive = json!({"destinationId": "archive"});
    for (operation, path, body) in [
        (Operation::CreateReply, "/createReply", json!({})),
        (Operation::CreateReplyAll, "/createReplyAll", json!({})),
        (Operation::CreateForward, "/createForward", json!({})),
        (Operation::Reply, "/reply", json!({})),
        (Operation::ReplyAll, "/replyAll", json!({})),
        (Operation::Forward, "/forward", json!({"toRecipients": to})),
        (Operation::CopyMessage, "/copy", archive.clone()),
        // last: afterwards the id names nothing any more
        (Operation::MoveMessage, "/move", archive),
    ] {
        let count = async || {
            let messages = world.list("messages", &[("$top", "100")]).await.len();
            let archived = world.list("mailFolders/archive/messages", &[]).await.len();
            (messages, archived)
        };
        let before = count().await;
        world.handle().clear_faults(None);
        world.handle().add_fault(Fault::answer(504).on(operation).first(1));
        world.post(&(one.clone() + path), &body).await.refused(504, "UnknownError");
        assert_eq!(count().await, before, "{operation:?}: nothing happened");
        world.handle().add_fault(Fault::answer(504).after().on(operation).first(1));
        world.post(&(one.clone() + path), &body).await.refused(504, "UnknownError");
        assert_ne!(count().await, before, "{operation:?}: it happened all the same");
    }
    assert_eq!(world.sent_total(), 3);
    world.get(&one).await.refused(404, "ErrorItemNotFound");
}

#[tokio::test]
async fn a_session_or_a_folder_can_come_into_being_unheard() {
    let world = start().await;
    let id = world.draft("d").await;
    world.handle().add_fault(Fault::answer(504).after().first(1));
    let path = format!("users/{MAILBOX}/messages/{}/attachments/createUploadSession", encode(&id));
    let item = json!({"attachmentType": "file", "name": "a", "size": 4_000_000});
    world.post(&path, &json!({"AttachmentItem": item})).await.refused(504, "UnknownError");
    assert_eq!(world.handle().truth().summary().uploads_open, 1);

    world.handle().add_fault(Fault::close().after().on(Operation::CreateFolder).first(1));
    let folders = format!("users/{MAILBOX}/mailFolders");
    let body = json!({"displayName": "Done"});
    let cut = world.request(reqwest::Method::POST, &folders).json(&body).send().await;
    cut.expect_err("no answer comes");
    world.post(&folders, &body).await.refused(409, "ErrorFolderExists");
}
