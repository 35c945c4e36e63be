//! Mails that come back: the report in the sender's inbox, and what the truth says of it.

use std::time::Duration;

use mailbridge_sandbox::Bounce;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{MAILBOX, encode, message, start};

#[tokio::test]
async fn a_report_comes_when_its_time_has_come_and_names_what_it_is_about() {
    let world = start().await;
    let rule = Bounce::of("*@nowhere.example").after(Duration::from_secs(30));
    world.handle().add_bounce(rule.because("5.1.1", "550 5.1.1 no such user here"));
    let mut mail = message("Grüße", "k");
    mail["ccRecipients"] = json!([{"emailAddress": {"address": "x@nowhere.example"}}]);
    let path = format!("users/{MAILBOX}/sendMail");
    world.post(&path, &json!({"message": mail})).await.expect(StatusCode::ACCEPTED);
    let sent = &world.handle().truth().sent()[0];
    assert_eq!(sent.bounced, ["x@nowhere.example"]);
    assert!(world.list("mailFolders/inbox/messages", &[]).await.is_empty(), "not yet");

    world.handle().advance_clock(Duration::from_secs(31));
    let select = [
        ("$select", "subject,from,internetMessageHeaders,conversationId,hasAttachments"),
        (
            "$filter",
            "singleValueExtendedProperties/Any(ep: ep/id eq 'String 0x001A' and ep/value eq \
                     'REPORT.IPM.Note.NDR')",
        ),
    ];
    let found = world.list("mailFolders/inbox/messages", &select).await;
    assert_eq!(found.len(), 1);
    let report = &found[0];
    assert_eq!(report["subject"], "Undeliverable: Grüße");
    assert!(
        report["from"]["emailAddress"]["address"].as_str().unwrap().contains("MicrosoftExchange")
    );
    let header = |name: &str| {
        let headers = report["internetMessageHeaders"].as_array().unwrap();
        let found = headers.iter().find(|one| one["name"] == name);
        found.map(|one| one["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(header("In-Reply-To").as_ref(), Some(&sent.internet_message_id));
    assert_eq!(header("References").as_ref(), Some(&sent.internet_message_id));
    assert_eq!(header("X-MS-Exchange-Message-Is-Ndr").as_deref(), Some(""));
    assert_eq!(report["conversationId"], json!(sent.conversation_id));

    let value =
        format!("users/{MAILBOX}/messages/{}/$value", encode(report["id"].as_str().unwrap()));
    let raw = String::from_utf8(world.get(&value).await.expect(StatusCode::OK).bytes).unwrap();
    for part in [
        "multipart/report; report-type=delivery-status",
        "Content-Type: message/delivery-status",
        "Final-Recipient: rfc822;x@nowhere.example",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp;550 5.1.1 no such user here",
        "Content-Type: message/rfc822",
        &format!("Message-ID: {}", sent.internet_message_id),
    ] {
        assert!(raw.contains(part), "{part} is not in\n{raw}");
    }
    let expand = "singleValueExtendedProperties($filter=id eq 'String 0x1042')";
    let expanded = world.list("mailFolders/inbox/messages", &[("$expand", expand)]).await;
    let value = &expanded[0]["singleValueExtendedProperties"][0]["value"];
    assert_eq!(*value, json!(sent.internet_message_id));
}

#[tokio::test]
async fn who_is_not_named_by_a_rule_gets_the_mail() {
    let world = start().await;
    world.handle().add_bounce(Bounce::of("nobody@fabrikam.example"));
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    assert!(world.handle().truth().sent()[0].bounced.is_empty());
    assert!(world.list("mailFolders/inbox/messages", &[]).await.is_empty());
    world.handle().add_bounce(Bounce::of("bob@*"));
    world.send_mail("s").await.expect(StatusCode::ACCEPTED);
    let inbox = world.list("mailFolders/inbox/messages", &[("$expand", "attachments")]).await;
    assert_eq!(inbox.len(), 1, "at once");
    assert_eq!(inbox[0]["attachments"][0]["@odata.type"], "#microsoft.graph.itemAttachment");
    assert_eq!(inbox[0]["attachments"].as_array().unwrap().len(), 1, "the status is no file");
    assert_eq!(world.handle().clear_bounces(), 2);
}
