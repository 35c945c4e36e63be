//! Real places: a folder, a web server, and an object store that speaks S3's protocol.

#![cfg(test)]

mod folder;
mod s3;
mod storage;
mod web;

use std::{collections::HashMap, sync::Arc};

use axum::Router;
use mailbridge_attachments::{Attachments, Place};
use mailbridge_core::{Code, Error, Files, Result};
use tokio::{net::TcpListener, task::JoinSet};

/// A server of a test, which ends with it.
struct Served {
    /// Where it is, without a slash at the end.
    at: String,
    _task: JoinSet<std::io::Result<()>>,
}

async fn serve(app: Router) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let mut task = JoinSet::new();
    task.spawn(async move { axum::serve(listener, app).await });
    Served { at, _task: task }
}

/// The files below places that need nothing but their section.
fn files(places: serde_json::Value) -> Result<Attachments> {
    let places: Vec<Place> = serde_json::from_value(places).expect("places");
    let no_bus = |_: &str| -> Result<Arc<dyn Files>> {
        Err(Error::permanent(Code::ConfigInvalid, "no bus is configured"))
    };
    Attachments::new(&places, &HashMap::new(), &no_bus)
}

/// All of a file, in pieces of so many bytes.
async fn whole(files: &dyn Files, url: &str, piece: u64) -> Result<Vec<u8>> {
    let file = files.open(url).await?;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < file.bytes {
        let at = bytes.len() as u64;
        bytes.extend(files.read(&file, at..file.bytes.min(at + piece)).await?);
    }
    Ok(bytes)
}

/// Bytes whose pieces cannot be taken for each other.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect()
}

#[test]
fn a_place_that_makes_no_sense_is_refused_by_its_key() {
    for (place, key) in [
        (serde_json::json!("ftp://x/"), "0.prefix"),
        (serde_json::json!("nonsense"), "0.prefix"),
        (serde_json::json!("https://10.0.0.1/"), "0.prefix"),
        (serde_json::json!("http://files.example/"), "0.prefix"),
        (serde_json::json!("https://me@files.example/"), "0.prefix"),
        (serde_json::json!({ "prefix": "s3://b/", "private": true }), "0.private"),
        (
            serde_json::json!({ "prefix": "s3://b/", "options": { "regoin": "x" } }),
            "0.options.regoin",
        ),
        (
            serde_json::json!({ "prefix": "https://x.example/", "options": { "region": "x" } }),
            "0.options",
        ),
        (serde_json::json!("nats-object://b/"), "0.bus"),
        (serde_json::json!({ "prefix": "nats-object://b/", "create": true }), "0.create"),
        (serde_json::json!({ "prefix": "nats-object://b/", "bus": "none" }), "0.bus"),
    ] {
        let error = files(serde_json::json!([place])).expect_err("a refusal");
        assert_eq!(error.field("key"), Some(key), "{error}");
    }
}
