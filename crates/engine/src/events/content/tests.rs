use std::time::Duration;

use mailbridge_core::contract::AttachmentKind;

use super::*;
use crate::events::make::fake::{Box1, Read, Shelf};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ABCDEF: &str = "bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721";

fn pieces(texts: &[&'static str]) -> Read {
    Read::Pieces(texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect())
}

async fn fetch(read: Read, place: Place, store: Option<&Shelf>) -> Result<Kept> {
    let changes = Box1::default().with("1", AttachmentKind::File, read);
    let (mailbox, id) = (Mailbox::new("A@x.org"), MessageId("m/1".to_owned()));
    let deadline = Deadline::new(Duration::from_secs(30), Duration::from_mins(10));
    let carrier = Carrier {
        changes: &changes,
        store: store.map(|store| store as &dyn FileStore),
        pipeline: "in box",
        mailbox: &mailbox,
        id: &id,
        deadline: &deadline,
    };
    let called = Called { name: "f", content_type: None };
    carrier.fetch(What::Attachment(&id, "1"), called, place).await
}

#[tokio::test]
async fn little_goes_inside_and_more_goes_to_the_store_whole() {
    let store = Shelf::default();
    let here = fetch(pieces(&["ab", "cd", "ef"]), Place::Here(6), Some(&store)).await;
    let here = here.unwrap().unwrap();
    assert_eq!(here.base64.as_deref(), Some("YWJjZGVm"));
    assert_eq!((here.bytes, here.sha256.as_str(), here.url), (6, ABCDEF, None));
    assert!(store.stored().is_empty());

    let there = fetch(pieces(&["ab", "cd", "ef"]), Place::Here(5), Some(&store)).await;
    let there = there.unwrap().unwrap();
    assert_eq!((there.bytes, there.sha256.as_str(), there.base64), (6, ABCDEF, None));
    let url = there.url.unwrap();
    let files = store.stored();
    assert_eq!(files[url.strip_prefix("shelf://").unwrap()], b"abcdef");
    assert!(url.starts_with("shelf://in_box/") && !url.contains("x.org"), "{url}");

    // again: the same file
    fetch(pieces(&["abcdef"]), Place::Store, Some(&store)).await.unwrap().unwrap();
    assert_eq!(store.stored().len(), 1);
}

#[tokio::test]
async fn an_empty_file_is_kept_too() {
    let store = Shelf::default();
    let here = fetch(pieces(&[]), Place::Here(6), None).await.unwrap().unwrap();
    assert_eq!((here.base64.as_deref(), here.sha256.as_str()), (Some(""), EMPTY));
    let there = fetch(pieces(&[]), Place::Store, Some(&store)).await.unwrap().unwrap();
    assert_eq!((there.bytes, there.sha256.as_str()), (0, EMPTY));
    assert_eq!(store.stored().len(), 1);
}

#[tokio::test]
async fn what_nothing_takes_is_missing() {
    let kept = fetch(pieces(&["ab", "cd"]), Place::Here(3), None).await.unwrap();
    assert_eq!(kept, Err(Missing::TOO_LARGE));
    let kept = fetch(pieces(&["ab"]), Place::Store, None).await.unwrap();
    assert_eq!(kept, Err(Missing::TOO_LARGE));
}

#[tokio::test]
async fn what_is_wrong_for_good_is_missing_and_what_passes_ends_the_work() {
    let wrong = Error::permanent(Code::GraphAttachmentUnreadable, "it does not open");
    let passing = Error::transient(Code::GraphUnavailable, "busy");
    let some = || vec![Bytes::from_static(b"ab")];
    for before in [Vec::new(), some()] {
        let store = Shelf::default();
        let read = Read::Fails(before.clone(), wrong.clone());
        let kept = fetch(read, Place::Store, Some(&store)).await.unwrap();
        assert_eq!(kept, Err(Missing { code: Code::GraphAttachmentUnreadable }));
        let read = Read::Fails(before, passing.clone());
        let error = fetch(read, Place::Store, Some(&store)).await.unwrap_err();
        assert_eq!(error.code(), Code::GraphUnavailable);
        assert!(store.stored().is_empty(), "half a file is there");
    }
}

#[tokio::test]
async fn a_store_that_fails_ends_the_work_for_now() {
    let error = Error::transient(Code::FileStoreUnavailable, "no room");
    let store = Shelf { fails: Some(error), ..Shelf::default() };
    let error = fetch(pieces(&["ab"]), Place::Store, Some(&store)).await.unwrap_err();
    assert_eq!(error.code(), Code::FileStoreUnavailable);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_ends_the_work_by_the_deadline() {
    let store = Shelf { hangs: true, ..Shelf::default() };
    let error = fetch(pieces(&["ab"]), Place::Store, Some(&store)).await.unwrap_err();
    assert_eq!(error.code(), Code::FileStoreUnavailable);
    assert!(matches!(error.verdict(), Verdict::Transient { .. }));
}

#[test]
fn names_are_safe_whatever_files_are_called() {
    let long = format!("{}.pdf", "x".repeat(200));
    for own in ["../../etc/passwd", "a/b\\c", "...", "", "Grüße.pdf", &long, "\0"] {
        let name = file_name("id/1", Some(own));
        assert!(!name.contains('/') && !name.starts_with('.') && name.len() < 120, "{name}");
    }
    assert!(file_name("1", Some("Grüße.pdf")).ends_with("-Gr__e.pdf"));
    assert!(file_name("1", Some(&long)).ends_with("x.pdf"));
    assert_ne!(file_name("1", Some("a")), file_name("2", Some("a")));
}
