//! Upload sessions: ranges in order, at another host, and what becomes of them when all goes wrong.

use std::time::Duration;

use mailbridge_sandbox::{Budgets, Fault, Operation, Sandbox};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{MAILBOX, Reply, World, encode, finish, start, start_with};

const MB: usize = 1024 * 1024;

/// Bytes that differ from place to place, so that a lost or doubled chunk shows.
fn bytes(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|at| u8::try_from((at / 7 + at / 65_521) % 251).unwrap()).collect()
}

fn sha256(size: usize) -> String {
    format!("{:x}", Sha256::digest(bytes(0..size)))
}

fn attachments(message: &str) -> String {
    format!("users/{MAILBOX}/messages/{}/attachments", encode(message))
}

async fn open(world: &World, message: &str, size: usize) -> Reply {
    let path = attachments(message) + "/createUploadSession";
    let item = json!({"attachmentType": "file", "name": "flower", "size": size,
                      "contentType": "image/jpeg", "contentId": "flower", "isInline": true});
    world.post(&path, &json!({"AttachmentItem": item})).await
}

async fn session(world: &World, message: &str, size: usize) -> String {
    let body = open(world, message, size).await.expect(StatusCode::CREATED).json();
    assert_eq!(body["nextExpectedRanges"], json!(["0-"]));
    body["uploadUrl"].as_str().unwrap().to_owned()
}

fn put(world: &World, url: &str, range: std::ops::Range<usize>, size: usize) -> RequestBuilder {
    let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    world
        .http
        .put(url)
        .header("content-type", "application/octet-stream")
        .header("content-range", value)
        .body(bytes(range))
}

async fn upload(world: &World, url: &str, size: usize) -> Reply {
    let mut start = 0;
    loop {
        let end = (start + 3 * MB).min(size);
        let reply = finish(put(world, url, start..end, size)).await;
        if end == size {
            return reply;
        }
        let body = reply.expect(StatusCode::OK).json();
        assert_eq!(body["nextExpectedRanges"], json!([end.to_string()]));
        start = end;
    }
}

async fn next_expected(world: &World, url: &str) -> Value {
    let reply = finish(world.http.get(url)).await.expect(StatusCode::OK);
    reply.json()["nextExpectedRanges"][0].clone()
}

#[tokio::test]
async fn a_file_arrives_whole_and_the_last_answer_names_it() {
    let world = start().await;
    let id = world.draft("d").await;
    let size = 7 * MB + 11;
    let url = session(&world, &id, size).await;
    assert!(url.starts_with(&world.sandbox.upload_url()), "another origin: {url}");
    assert_ne!(world.sandbox.upload_url(), world.sandbox.graph_url());

    let last = upload(&world, &url, size).await.expect(StatusCode::CREATED);
    assert!(last.bytes.is_empty());
    let location = last.header("location").unwrap();
    let key = location.rsplit_once("/Attachments('").unwrap().1.strip_suffix("')").unwrap();
    let one = format!("{}/{key}", attachments(&id));
    let found = world.get(&format!("{one}?$select=name,contentType,size,isInline")).await.json();
    assert_eq!((&found["name"], &found["contentType"]), (&json!("flower"), &json!("image/jpeg")));
    assert_eq!(found["isInline"], true);
    let raw = world.get(&format!("{one}/$value")).await.expect(StatusCode::OK);
    assert!(raw.bytes == bytes(0..size), "byte for byte");

    world.send(&id).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0].attachments[0];
    assert_eq!((sent.bytes, sent.sha256.as_str()), (size, sha256(size).as_str()));
    assert_eq!(sent.content_id.as_deref(), Some("flower"));
    assert_eq!(world.handle().truth().summary().uploads_with_authorization, 0);
}

#[tokio::test]
async fn a_session_takes_3_to_150_mb() {
    let world = start().await;
    let id = world.draft("d").await;
    let code = "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize";
    open(&world, &id, 3_000_000 - 1).await.refused(400, code);
    open(&world, &id, 3_000_000).await.expect(StatusCode::CREATED);
    open(&world, &id, 150 * MB).await.expect(StatusCode::CREATED);
    open(&world, &id, 150 * MB + 1).await.refused(400, "ErrorAttachmentSizeLimitExceeded");
    let path = attachments(&id) + "/createUploadSession";
    for (item, code) in [
        (json!({"attachmentType": "item", "name": "a", "size": 3 * MB}), "ErrorInvalidParameter"),
        (json!({"attachmentType": "file", "size": 3 * MB}), "ErrorInvalidParameter"),
        (json!({"attachmentType": "file", "name": "a", "length": 1}), "RequestBodyRead"),
    ] {
        world.post(&path, &json!({"AttachmentItem": item})).await.refused(400, code);
    }
    world.post(&path, &json!({})).await.refused(400, "ErrorInvalidParameter");
}

#[tokio::test]
async fn ranges_come_in_order_and_fit() {
    let world = start().await;
    let id = world.draft("d").await;
    let size = 5 * MB;
    let url = session(&world, &id, size).await;
    finish(put(&world, &url, MB..2 * MB, size)).await.refused(416, "invalidRange");
    finish(put(&world, &url, 0..2 * MB, size)).await.expect(StatusCode::OK);
    let again = finish(put(&world, &url, 0..2 * MB, size)).await.refused(416, "invalidRange");
    let message = again.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&(2 * MB).to_string()), "{message}");
    assert_eq!(next_expected(&world, &url).await, (2 * MB).to_string());

    let short = put(&world, &url, 2 * MB..3 * MB, size).body(vec![0; MB - 1]);
    finish(short).await.refused(400, "invalidRequest");
    finish(put(&world, &url, 2 * MB..3 * MB, size + 1)).await.refused(400, "invalidRequest");
    let bare = world.http.put(&url).body(vec![0; MB]);
    finish(bare).await.refused(400, "invalidRequest");
    let large = session(&world, &id, 9 * MB).await;
    assert_eq!(finish(put(&world, &large, 0..4 * MB + 1, 9 * MB)).await.status, 413);
    assert_eq!(next_expected(&world, &url).await, (2 * MB).to_string());
}

#[tokio::test]
async fn a_token_at_the_upload_host_is_refused_and_counted() {
    let world = start().await;
    let id = world.draft("d").await;
    let url = session(&world, &id, 3 * MB).await;
    let with_token = put(&world, &url, 0..MB, 3 * MB).bearer_auth(&world.token);
    finish(with_token).await.refused(401, "InvalidAuthenticationToken");
    assert_eq!(world.handle().truth().summary().uploads_with_authorization, 1);
    let (bare, _) = url.split_once('?').unwrap();
    finish(put(&world, bare, 0..MB, 3 * MB)).await.refused(401, "InvalidAuthenticationToken");
    assert_eq!(next_expected(&world, &url).await, "0", "neither had an effect");
}

#[tokio::test]
async fn sessions_end_by_time_by_hand_and_with_their_draft() {
    let world = start().await;
    let id = world.draft("d").await;
    let chunk = |url: String| put(&world, &url, 0..MB, 3 * MB);
    let cancelled = session(&world, &id, 3 * MB).await;
    finish(world.http.delete(&cancelled)).await.expect(StatusCode::NO_CONTENT);
    finish(chunk(cancelled)).await.refused(404, "itemNotFound");

    let expired = session(&world, &id, 3 * MB).await;
    world.handle().advance_clock(Duration::from_hours(25));
    finish(chunk(expired)).await.refused(404, "itemNotFound");

    let mut world = world;
    world.token = world.fresh_token().await;
    let ended = session(&world, &id, 3 * MB).await;
    assert_eq!(world.handle().expire_uploads(), 1);
    finish(put(&world, &ended, 0..MB, 3 * MB)).await.refused(404, "itemNotFound");

    let orphan = session(&world, &id, 3 * MB).await;
    world.send(&id).await.expect(StatusCode::ACCEPTED);
    finish(put(&world, &orphan, 0..MB, 3 * MB)).await.refused(404, "ErrorItemNotFound");
}

#[tokio::test]
async fn a_chunk_whose_answer_was_lost_has_arrived_all_the_same() {
    let world = start().await;
    let id = world.draft("d").await;
    let size = 4 * MB;
    let url = session(&world, &id, size).await;
    let lost = Fault::answer(504).after().on(Operation::UploadChunk).first(1);
    world.handle().add_fault(lost);
    finish(put(&world, &url, 0..2 * MB, size)).await.refused(504, "UnknownError");
    finish(put(&world, &url, 0..2 * MB, size)).await.refused(416, "invalidRange");
    assert_eq!(next_expected(&world, &url).await, (2 * MB).to_string());

    world.handle().clear_faults(None);
    world.handle().add_fault(Fault::close().after().on(Operation::UploadChunk).first(1));
    put(&world, &url, 2 * MB..size, size).send().await.expect_err("no answer comes");
    finish(put(&world, &url, 2 * MB..size, size)).await.refused(416, "invalidRange");
    finish(world.http.get(&url)).await.refused(404, "itemNotFound");
    let all = world.get(&(attachments(&id) + "?$select=name,size")).await.json();
    assert_eq!(all["value"].as_array().unwrap().len(), 1, "attached once");
    assert_eq!(world.handle().requests()[&Operation::UploadChunk]["416"], 2);
}

#[tokio::test]
async fn chunks_are_charged_to_the_upload_budget() {
    let world = start_with(Sandbox::builder().budgets(Budgets::graph().divided_by(50))).await;
    let id = world.draft("d").await;
    let url = session(&world, &id, 6 * MB).await;
    finish(put(&world, &url, 0..2 * MB, 6 * MB)).await.expect(StatusCode::OK);
    let over = finish(put(&world, &url, 2 * MB..4 * MB, 6 * MB)).await;
    let over = over.refused(429, "ApplicationThrottled");
    assert!(over.header("retry-after").is_some());
    world.handle().advance_clock(Duration::from_mins(6));
    finish(put(&world, &url, 2 * MB..4 * MB, 6 * MB)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn only_upload_urls_live_at_the_upload_host() {
    let world = start().await;
    let url = world.sandbox.upload_url();
    let graph = format!("{url}/v1.0/users/{MAILBOX}/messages");
    finish(world.http.get(graph)).await.refused(400, "BadRequest");
    let unknown = format!("{url}/api/v2.0/Users('a')/Messages('b')/AttachmentSessions('c')");
    finish(world.http.request(Method::GET, unknown)).await.refused(404, "itemNotFound");
}

#[tokio::test]
async fn a_hundred_and_fifty_megabytes_are_hashed_and_kept_off_memory() {
    let world = start_with(Sandbox::builder().budgets(Budgets::off())).await;
    world.handle().set_message_limit(151 * MB);
    let id = world.draft("d").await;
    let size = 150 * MB;
    let url = session(&world, &id, size).await;
    // one block over and over: making the bytes must not be what the test spends its time on
    let block = bytes(0..3 * MB);
    let mut digest = Sha256::new();
    for start in (0..size).step_by(block.len()) {
        digest.update(&block);
        let range = format!("bytes {start}-{}/{size}", start + block.len() - 1);
        let put = world.http.put(&url).header("content-range", range).body(block.clone());
        assert!(finish(put).await.status < 300);
    }
    let draft = world.handle().truth().summary();
    assert_eq!((draft.uploads_open, draft.drafts_left), (0, 1));
    let list = world.get(&(attachments(&id) + "?$select=size")).await.json();
    assert!(list["value"][0]["size"].as_u64().unwrap() >= size as u64);
    let expected = format!("{:x}", digest.finalize());
    world.send(&id).await.expect(StatusCode::ACCEPTED);
    assert_eq!(world.handle().truth().sent()[0].attachments[0].sha256, expected);
}
