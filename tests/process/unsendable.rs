//! What no mailbox can send, and mailboxes that can send nothing for the moment: each has a clear end or
//! waits, and the others go on.

use mailbridge_sandbox::{Fake, Fault, Kind};
use serde_json::{Value, json};

use crate::{
    desk::Desk,
    rig::{SOON, mailbox, until},
};

/// Bytes of the largest file that Graph takes, and a little more.
const TOO_LARGE: u64 = 151 << 20;

/// A desk that takes files of a folder, in which there are some.
async fn desk() -> (Desk, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content);
    write("empty.txt", b"").expect("a file");
    write("some.txt", b"some words").expect("a file");
    let large = std::fs::File::create(folder.path().join("large.bin")).expect("a file");
    large.set_len(TOO_LARGE).expect("a sparse file");
    let places = format!("      attachments: ['file://{}/']", folder.path().display());
    (Desk::new("", &places).await, folder)
}

fn mail(attachment: &Value) -> Value {
    json!({ "to": "ann@example.org", "subject": "s", "text": "t", "attachments": [attachment] })
}

/// A message of so many parts, one in the other.
fn nested(parts: usize, content: usize) -> String {
    let mut raw =
        String::from("From: noreply@contoso.example\r\nTo: ann@example.org\r\nSubject: deep\r\n");
    raw.push_str("MIME-Version: 1.0\r\n");
    for depth in 0..parts {
        let boundary = format!("b{depth}");
        let kind = "Content-Type: multipart/mixed; boundary=";
        raw.extend([kind, &boundary, "\r\n\r\n--", &boundary, "\r\n"]);
    }
    raw.push_str("Content-Type: text/plain\r\n\r\n");
    raw.push_str(&"words \r\n".repeat(content / 8));
    for depth in (0..parts).rev() {
        raw.extend(["\r\n--b", &depth.to_string(), "--\r\n"]);
    }
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_not_what_they_should_be_are_refused_by_name_and_the_next_mail_goes() {
    let (desk, folder) = desk().await;
    let _program = desk.start().await;
    let url = |name: &str| format!("file://{}/{name}", folder.path().display());
    let wrong = "0".repeat(64);
    let cases = [
        (json!({ "name": "a.txt", "content": "no base64!" }), "request_bad_attachment"),
        (json!({ "name": "a.txt", "url": url("some.txt"), "size": 9 }), "attachment_mismatch"),
        (
            json!({ "name": "a.txt", "url": url("some.txt"), "sha256": wrong }),
            "attachment_mismatch",
        ),
        (json!({ "name": "a.txt", "url": "file:///etc/hostname" }), "attachment_not_allowed"),
        (json!({ "name": "a.txt", "url": url("../some.txt") }), "attachment_not_allowed"),
        (json!({ "name": "a", "url": "https://169.254.169.254/latest" }), "attachment_not_allowed"),
        (json!({ "name": "a.txt", "url": url("none.txt") }), "attachment_missing"),
        (json!({ "name": "a.bin", "url": url("large.bin") }), "request_attachment_too_large"),
    ];
    for (attachment, code) in cases {
        let id = desk.taken(desk.post(&mail(&attachment))).await;
        let outcome = desk.ended(&id).await["outcome"].take();
        assert_eq!((&outcome["status"], &outcome["code"]), (&json!("rejected"), &json!(code)));
        assert!(outcome["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{outcome}");
    }
    let good =
        desk.taken(desk.post(&mail(&json!({ "name": "e.txt", "url": url("empty.txt") })))).await;
    assert_eq!(desk.ended(&good).await["outcome"]["status"], "accepted");
    let truth = desk.handle().truth();
    assert_eq!((truth.sent_total(), truth.drafts_left()), (1, 0));
    assert_eq!(truth.sent()[0].attachments[0].bytes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_parts_one_in_the_other_end_and_the_next_mail_goes() {
    let (desk, _folder) = desk().await;
    let _program = desk.start().await;
    for content in [8, 3_000_000] {
        let raw = nested(10_000, content);
        let id = desk.taken(desk.post_as("message/rfc822", &raw)).await;
        let ended = desk.ended(&id).await;
        let (state, code) = (&ended["state"], &ended["outcome"]["code"]);
        assert!(state == "done" || (state == "rejected" && code.is_string()), "{ended}");
    }
    let good = desk.taken(desk.post(&json!({ "to": "ann@example.org", "text": "t" }))).await;
    assert_eq!(desk.ended(&good).await["outcome"]["status"], "accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_and_a_stopped_account_wait_and_the_others_go_on() {
    let (desk, _folder) = desk().await;
    let fault = |mailbox: String, status, code: &str| {
        let code = Some(code.to_owned());
        let answer = Fake { status, code, message: None, retry_after: None, html: false };
        Fault::new(Kind::Answer(answer)).mailbox(mailbox)
    };
    desk.handle().add_fault(fault(mailbox(1), 507, "ErrorQuotaExceeded"));
    desk.handle().add_fault(fault(mailbox(2), 403, "ErrorAccountSuspend"));
    let _program = desk.start().await;
    let post = async |n: usize| {
        let request = json!({ "mailbox": mailbox(n), "to": "ann@example.org", "text": "t" });
        desk.taken(desk.post(&request)).await
    };
    let held = [post(1).await, post(2).await];
    let refused = async || desk.handle().faults().iter().all(|rule| rule.fired > 0);
    until(SOON, "both are refused", refused).await;
    for n in 3..6 {
        let id = post(n).await;
        assert_eq!(desk.ended(&id).await["outcome"]["status"], "accepted");
    }
    for id in &held {
        assert_eq!(desk.status(id).await["state"], "queued", "nothing is lost");
    }
    let sent = async || desk.handle().truth().sent_total() == 3;
    until(SOON, "only the others are sent", sent).await;
}
