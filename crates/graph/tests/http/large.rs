//! Mails of every size: which requests they become, and what becomes of a mail whose file is not what
//! its request says.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mailbridge_core::{Code, Doubt, Guarantee, Verdict};
use serde_json::{Value, json};

use crate::{
    fake::{Fault, Large, PIECE, State, by_reference, inline, never, patterned},
    scene::{mark, sent},
    stub::{Asked, Reply},
};

#[tokio::test]
async fn the_size_decides_the_way() {
    const MB: u64 = 1_000_000;
    let cases: [(&[u64], &[&str]); 6] = [
        (&[0, 10], &["POST messages", "POST send"]),
        (&[2_900_000], &["POST messages", "POST send"]),
        (
            &[2 * MB, 1, 2 * MB],
            &[
                "POST messages",
                "POST attachments",
                "POST attachments",
                "POST attachments",
                "PATCH draft",
                "POST send",
            ],
        ),
        (
            &[3 * 1024 * 1024, 0],
            &[
                "POST messages",
                "POST createUploadSession",
                "PUT session",
                "POST attachments",
                "PATCH draft",
                "POST send",
            ],
        ),
        (
            &[PIECE],
            &[
                "POST messages",
                "POST createUploadSession",
                "PUT session",
                "PATCH draft",
                "POST send",
            ],
        ),
        (
            &[PIECE + 1],
            &[
                "POST messages",
                "POST createUploadSession",
                "PUT session",
                "PUT session",
                "PATCH draft",
                "POST send",
            ],
        ),
    ];
    for (sizes, steps) in cases {
        let large = Large::new(never, never).await;
        large.send(&inline(sizes)).await.unwrap();
        assert_eq!(large.scene.stub.graph_asked(), *steps, "{sizes:?}");
        let files = large.files();
        if !files.is_empty() {
            assert!(files.iter().zip(sizes).all(|(file, size)| file.1 == patterned(*size)));
            assert_eq!(files.len(), sizes.len());
        }
    }
}

#[tokio::test]
async fn a_reference_goes_the_same_ways_and_is_never_read_whole() {
    let large = Large::new(never, never).await;
    large.shelf.put("s3://b/small.txt", "hello");
    large.shelf.put_pattern("s3://b/large.bin", 10_000_000);
    large.send(&by_reference("s3://b/small.txt")).await.unwrap();
    let create = large.asked("POST messages").pop().unwrap().json();
    assert_eq!(create["attachments"][0]["name"], "small.txt");
    assert_eq!(create["attachments"][0]["contentBytes"], STANDARD.encode("hello"));
    large.send(&by_reference("s3://b/large.bin")).await.unwrap();
    assert_eq!(large.files()[0].1, patterned(10_000_000));
    assert_eq!(large.shelf.piece_bytes_max(), PIECE);
    assert_eq!(large.shelf.bytes_read(), 10_000_005);
}

#[tokio::test]
async fn a_draft_has_its_mark_only_when_it_is_whole() {
    let large = Large::new(never, never).await;
    large.send(&inline(&[4_000_000])).await.unwrap();
    let value = |asked: &Asked| {
        asked.json()["singleValueExtendedProperties"][0]["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(value(&large.asked("POST messages")[0]), format!("{}.half", mark()));
    assert_eq!(value(&large.asked("PATCH draft")[0]), mark().as_str());
    let item = &large.asked("POST createUploadSession")[0].json()["AttachmentItem"];
    assert_eq!((item["attachmentType"].as_str(), item["name"].as_str()), (Some("file"), Some("f")));
}

#[tokio::test]
async fn what_is_refused_for_its_size_goes_the_other_way() {
    let too_small: Fault = |_, asked| {
        (asked.what() == "POST createUploadSession")
            .then(|| Reply::error(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"))
    };
    let large = Large::new(too_small, never).await;
    large.send(&inline(&[3_100_000])).await.unwrap();
    assert!(large.files()[0].1 == patterned(3_100_000));

    let posts_refused: Fault =
        |_, asked| (asked.what() == "POST attachments").then(|| Reply::status(413));
    let large = Large::new(posts_refused, never).await;
    large.send(&inline(&[2_900_000, 2_900_000])).await.unwrap();
    assert_eq!(large.files().len(), 2);

    // one request for all, refused: then a draft without the files
    let whole_refused: Fault = |_, asked| {
        let embedded = asked.what() == "POST messages" && asked.body.contains("contentBytes");
        embedded.then(|| Reply::status(413))
    };
    let large = Large::new(whole_refused, never).await;
    large.send(&inline(&[2_000_000])).await.unwrap();
    assert_eq!(large.files().len(), 1);

    let neither: Fault = |state, asked| too_small_or_413(state, asked);
    let large = Large::new(neither, never).await;
    let error = large.send(&inline(&[3_100_000])).await.unwrap_err();
    assert_eq!(
        (error.code(), error.verdict()),
        (Code::GraphAttachmentTooSmall, Verdict::Permanent)
    );
    assert_eq!(large.scene.stub.graph_asked().last().unwrap(), "DELETE draft");
}

fn too_small_or_413(_: &mut State, asked: &Asked) -> Option<Reply> {
    match asked.what().as_str() {
        "POST createUploadSession" => {
            Some(Reply::error(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"))
        }
        "POST attachments" => Some(Reply::status(413)),
        _ => None,
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_said_is_not_sent() {
    type Case = (&'static str, fn(&mut Value), Code, bool);
    let url = "s3://b/report.pdf";
    let cases: [Case; 4] = [
        ("size", |file| file["size"] = json!(7), Code::AttachmentMismatch, false),
        (
            "checksum",
            |file| file["sha256"] = json!("00".repeat(32)),
            Code::AttachmentMismatch,
            true,
        ),
        ("missing", |file| file["url"] = json!("s3://b/other"), Code::AttachmentMissing, false),
        (
            "too large",
            |file| file["url"] = json!("s3://b/huge"),
            Code::RequestAttachmentTooLarge,
            false,
        ),
    ];
    for (what, change, code, drafted) in cases {
        let large = Large::new(never, never).await;
        large.shelf.put_pattern(url, 5_000_000);
        large.shelf.put_pattern("s3://b/huge", 160_000_000);
        let mut request = by_reference(url);
        change(&mut request["attachments"][0]);
        let error = large.send(&request).await.unwrap_err();
        assert_eq!((error.code(), error.verdict()), (code, Verdict::Permanent), "{what}");
        assert!(error.field("attachment").is_some(), "{what}: {error:?}");
        let steps = large.scene.stub.graph_asked();
        assert!(!steps.contains(&"POST send".to_owned()), "{what}");
        assert_eq!(
            steps.last().is_some_and(|it| it == "DELETE draft"),
            drafted,
            "{what}: {steps:?}"
        );
    }
}

#[tokio::test]
async fn at_least_once_takes_the_same_way_for_what_is_large() {
    let large = Large::new(never, never).await;
    let request = inline(&[4_000_000]);
    let guarantee = Guarantee::AtLeastOnce;
    let send = |request: Value| async move {
        let large = Large::new(never, never).await;
        let sent =
            large.scene.send_with(&request.to_string(), guarantee, Doubt::Old, &large.shelf).await;
        (sent.map_err(|error| error.code()), large.scene.stub.graph_asked())
    };
    drop(large);
    let (result, steps) = send(request.clone()).await;
    assert_eq!(result, Ok(sent(Some("<1@contoso.com>"), false)));
    assert_eq!(steps.last().unwrap(), "POST send");
    let mut unsaved = request;
    unsaved["save_to_sent_items"] = json!(false);
    let (result, steps) = send(unsaved).await;
    assert_eq!(result, Err(Code::RequestConflict));
    assert!(steps.is_empty());
    let mut small = inline(&[1000]);
    small["save_to_sent_items"] = json!(false);
    assert_eq!(send(small).await.1, ["POST sendMail"]);
}

#[tokio::test]
async fn text_and_html_with_a_large_file_is_a_mime_draft_that_the_file_is_added_to() {
    let large = Large::new(never, never).await;
    let mut request = inline(&[4_000_000]);
    request["html"] = json!("<p>t</p>");
    request["categories"] = json!(["Red"]);
    large.send(&request).await.unwrap();
    assert_eq!(
        large.scene.stub.graph_asked(),
        [
            "POST messages",
            "PATCH draft",
            "POST createUploadSession",
            "PUT session",
            "PUT session",
            "PATCH draft",
            "POST send"
        ]
    );
    let raw = STANDARD.decode(&large.asked("POST messages")[0].body).unwrap();
    let mail = mail_parser::MessageParser::new().parse(&raw).unwrap();
    assert_eq!(mail.attachment_count(), 0);
    let patches = large.asked("PATCH draft");
    assert!(patches[0].body.contains(".half") && !patches[1].body.contains(".half"));
    assert_eq!(patches[0].json()["categories"][0], "Red");
}

#[tokio::test]
async fn a_large_message_is_taken_apart_and_a_signed_one_is_not() {
    let message = |kind: &str| {
        let file = STANDARD.encode(patterned(5_000_000));
        let raw = format!(
            "From: a@x.org\r\nTo: b@x.org\r\nContent-Type: multipart/{kind}; boundary=B\r\n\r\n\
             --B\r\nContent-Type: text/plain\r\n\r\nhi\r\n--B\r\n\
             Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment; filename=f.pdf\r\n\r\n{file}\r\n--B--\r\n"
        );
        json!({ "id": "1", "mime": STANDARD.encode(raw) })
    };
    let large = Large::new(never, never).await;
    large.send(&message("mixed")).await.unwrap();
    assert!(large.files()[0].1 == patterned(5_000_000));
    let raw = STANDARD.decode(&large.asked("POST messages")[0].body).unwrap();
    assert!(raw.ends_with(b"hi\r\n--B--\r\n"), "{}", String::from_utf8_lossy(&raw));

    let large = Large::new(never, never).await;
    let error = large.send(&message("signed")).await.unwrap_err();
    assert_eq!((error.code(), error.verdict()), (Code::RequestTooLarge, Verdict::Permanent));
    assert!(large.scene.stub.graph_asked().is_empty());
}
