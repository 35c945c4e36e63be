use super::*;
use crate::contract::{AnswerKind, Categories, Content, MessageId, Operation};

fn good(json: &str) -> Request {
    let request = read(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error:?}"));
    request.check().unwrap_or_else(|error| panic!("{json}: {error:?}"));
    request
}

fn bad(json: &str) -> Error {
    let checked = read(json.as_bytes()).and_then(|request| request.check());
    let error = checked.expect_err(json);
    assert!(!format!("{error:?}").contains("secret-x"), "{error:?}");
    error
}

#[test]
fn each_operation_is_read_as_what_it_is() {
    let message = || MessageId("AAMk-1=".to_owned());
    let Operation::Answer(answer) =
        good(r#"{"operation":"reply_all","message":"AAMk-1=","html":"<p>no</p>"}"#).operation
    else {
        panic!("an answer")
    };
    assert_eq!(
        (answer.kind, answer.quote, answer.message),
        (AnswerKind::ReplyAll, true, message())
    );
    let request = good(r#"{"operation":"mark_read","message":"AAMk-1=","id":"7"}"#);
    assert_eq!(request.id.as_deref(), Some("7"));
    assert!(matches!(request.operation, Operation::MarkRead { is_read: true, .. }));
    let Operation::Move { folder, .. } =
        good(r#"{"operation":"move","message":"AAMk-1=","folder":"archive"}"#).operation
    else {
        panic!("a move")
    };
    assert_eq!(folder, "archive");
    let Operation::Categorize { categories, .. } =
        good(r#"{"operation":"categorize","message":"AAMk-1=","add":["Done"]}"#).operation
    else {
        panic!("categories")
    };
    assert_eq!(categories, Categories::Change { add: vec!["Done".to_owned()], remove: vec![] });
    let clear = good(r#"{"operation":"categorize","message":"AAMk-1=","set":[]}"#);
    assert!(clear.operation.is_idempotent());
    assert_eq!(good(r#"{"operation":"delete","message":"m"}"#).operation.name(), "delete");
    assert_eq!(good(r#"{"operation":"send","to":"a@x.org"}"#).operation.name(), "send");
}

#[test]
fn a_reference_is_kept_with_what_is_known_of_it() {
    let json = format!(
        r#"{{"to":"a@x.org","attachments":[{{"url":"s3://b/a%20b.pdf","size":5,"sha256":"{}"}}]}}"#,
        "0A".repeat(32)
    );
    let request = good(&json);
    let file = &request.operation.composed().unwrap().attachments[0];
    assert_eq!(file.name, "a b.pdf");
    let Content::Reference(reference) = &file.content else { panic!("a reference") };
    assert_eq!((reference.size, reference.sha256), (Some(5), Some([10; 32])));
    assert!(!format!("{file:?}").contains("s3://"));
}

#[test]
fn what_is_wrong_is_named() {
    let attachment = |fields: &str| format!(r#"{{"to":"a@x.org","attachments":[{{{fields}}}]}}"#);
    let cases = [
        (r#"{"operation":"sned"}"#.to_owned(), Code::RequestInvalid, "operation"),
        (r#"{"operation":"reply","text":"t"}"#.into(), Code::RequestInvalid, ""),
        (r#"{"operation":"reply","message":""}"#.into(), Code::RequestBadMessageId, "message"),
        (r#"{"operation":"delete","message":".."}"#.into(), Code::RequestBadMessageId, "message"),
        (
            r#"{"operation":"delete","message":"secret-x y"}"#.into(),
            Code::RequestBadMessageId,
            "message",
        ),
        (r#"{"operation":"forward","message":"m"}"#.into(), Code::RequestNoRecipient, "to"),
        (
            r#"{"operation":"reply","message":"m","text":"a","html":"b"}"#.into(),
            Code::RequestConflict,
            "",
        ),
        (
            r#"{"operation":"move","message":"m","folder":"my folder"}"#.into(),
            Code::RequestInvalid,
            "folder",
        ),
        (
            r#"{"operation":"move","message":"m","fodler":"archive"}"#.into(),
            Code::RequestInvalid,
            "fodler",
        ),
        (
            r#"{"operation":"categorize","message":"m","set":[],"add":["a"]}"#.into(),
            Code::RequestConflict,
            "",
        ),
        (
            r#"{"operation":"categorize","message":"m","add":["a","b;c"]}"#.into(),
            Code::RequestInvalid,
            "add[1]",
        ),
        (attachment(r#""name":"a""#), Code::RequestBadAttachment, "attachments[0]"),
        (
            attachment(r#""name":"a","content":"","url":"s3://b/k""#),
            Code::RequestBadAttachment,
            "attachments[0]",
        ),
        (
            attachment(r#""name":"a","content":"","size":0"#),
            Code::RequestBadAttachment,
            "attachments[0]",
        ),
        (attachment(r#""url":"ftp://secret-x/a""#), Code::RequestBadAttachment, "attachments[0]"),
        (
            attachment(r#""url":"s3://b/k","sha256":"secret-x""#),
            Code::RequestBadAttachment,
            "attachments[0]",
        ),
        (
            attachment(r#""url":"s3://b/k","size":158000000"#),
            Code::RequestAttachmentTooLarge,
            "attachments[0]",
        ),
        (
            attachment(r#""url":"s3://b/k","content_type":"x\r\nsecret-x""#),
            Code::RequestBadAttachment,
            "attachments[0]",
        ),
    ];
    for (json, code, field) in cases {
        let error = bad(&json);
        assert_eq!(error.code(), code, "{json}: {error:?}");
        assert_eq!(error.field("field").unwrap_or_default(), field, "{json}: {error:?}");
    }
}

#[test]
fn an_unknown_operation_names_the_known_ones() {
    let error = bad(r#"{"operation":"secret-x"}"#);
    assert!(error.detail().contains("`reply_all`"), "{error}");
}
