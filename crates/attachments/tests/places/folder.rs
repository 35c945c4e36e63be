//! `file://`.

use std::{fs, os::unix::fs::symlink, path::Path};

use mailbridge_core::{Code, Files, Verdict};
use serde_json::json;
use tempfile::TempDir;

use crate::{content, files, whole};

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

#[tokio::test]
async fn a_file_is_read_in_pieces_and_an_empty_one_is_none() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a b.bin");
    let bytes = content(10_000);
    fs::write(&path, &bytes).unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    let files = files(json!([url(folder.path())])).unwrap();
    let name = url(&path).replace(' ', "%20");
    assert_eq!(whole(&files, &name, 4096).await.unwrap(), bytes);
    assert_eq!(whole(&files, &url(&folder.path().join("empty")), 1).await.unwrap(), b"");
}

#[tokio::test]
async fn what_changes_or_vanishes_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.bin");
    fs::write(&path, content(100)).unwrap();
    let files = files(json!([url(folder.path())])).unwrap();
    let file = files.open(&url(&path)).await.unwrap();
    fs::write(&path, content(101)).unwrap();
    let error = files.read(&file, 0..10).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::AttachmentChanged, Verdict::Permanent));
    assert_eq!(error.field("attachment"), Some("a.bin"));
    fs::remove_file(&path).unwrap();
    let error = files.read(&file, 0..10).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::AttachmentMissing, Verdict::Permanent));
}

#[tokio::test]
async fn neither_dots_nor_links_lead_out_and_a_pipe_is_no_file() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "hush").unwrap();
    let folder = TempDir::new().unwrap();
    symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
    symlink(outside.path(), folder.path().join("way")).unwrap();
    let files = files(json!([url(folder.path())])).unwrap();
    let base = url(folder.path());
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    for out in [
        format!("{base}/link"),
        format!("{base}/way/secret"),
        format!("{base}/../{name}/secret"),
        format!("{base}/%2e%2e/{name}/secret"),
        url(&outside.path().join("secret")),
        "file:///etc/passwd".to_owned(),
    ] {
        let error = files.open(&out).await.unwrap_err();
        assert_eq!(error.code(), Code::AttachmentNotAllowed, "{out}");
    }
    // a link that stays inside is a file like any other
    fs::write(folder.path().join("real"), "ok").unwrap();
    symlink(folder.path().join("real"), folder.path().join("alias")).unwrap();
    assert_eq!(whole(&files, &format!("{base}/alias"), 9).await.unwrap(), b"ok");
    let error = files.open(&base).await.unwrap_err();
    assert_eq!(error.code(), Code::AttachmentNotAllowed);
    fs::create_dir(folder.path().join("dir")).unwrap();
    let error = files.open(&format!("{base}/dir")).await.unwrap_err();
    assert_eq!(error.code(), Code::AttachmentMissing);
}
