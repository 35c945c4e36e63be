//! Guard rails: what a pipeline may send to whom, how much, and whether at all.

use mailbridge_sandbox::{Arrival, DEMO_DOMAIN};
use serde_json::{Value, json};

use crate::{
    desk::Desk,
    rig::{SOON, mailbox, request, until},
};

const STAGING: &str = "staging@contoso.example";

/// The message id of a mail from a customer, which others got too.
fn question(desk: &Desk) -> String {
    let text = format!(
        "From: customer@example.org\r\nTo: noreply@{DEMO_DOMAIN}\r\nCc: boss@example.org\r\n\
         Subject: where is it?\r\n\r\nStill waiting.\r\n"
    );
    let arrival = Arrival::mime(format!("noreply@{DEMO_DOMAIN}"), text);
    desk.handle().receive(&arrival).expect("it arrives").immutable_id
}

/// The outcome of a request that is posted now.
async fn outcome(desk: &Desk, request: Value) -> Value {
    let id = desk.taken(desk.post(&request)).await;
    desk.ended(&id).await["outcome"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_changes_nothing_and_its_outcomes_say_so() {
    let desk = Desk::new("", "      dry_run: true").await;
    let program = desk.start().await;
    let message = question(&desk);
    for request in [
        json!({ "to": "a@example.org", "subject": "s", "text": "t" }),
        json!({ "operation": "reply_all", "message": message, "text": "t" }),
        json!({ "operation": "delete", "message": message }),
    ] {
        let outcome = outcome(&desk, request).await;
        assert_eq!((&outcome["status"], &outcome["dry_run"]), (&json!("accepted"), &json!(true)));
        assert_eq!(outcome.get("internet_message_id"), None);
    }
    let wrong = outcome(&desk, json!({ "to": "nobody", "text": "t" })).await;
    assert_eq!(wrong["status"], "rejected", "it is checked all the same");
    let truth = desk.handle().truth();
    assert_eq!((truth.sent_total(), truth.drafts_left()), (0, 0));
    program.wait_for(|line| line.contains("a dry run"), SOON).await.expect("the log says so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirected_mail_reaches_nobody_else() {
    let desk = Desk::new("", &format!("      recipients: {{ redirect_to: {STAGING} }}")).await;
    let _program = desk.start().await;
    let message = question(&desk);
    for request in [
        json!({ "to": ["a@example.org", "b@example.org"], "cc": "c@example.org",
                "bcc": ["d@example.org"], "subject": "json", "text": "t" }),
        json!({ "to": "a@example.org", "bcc": "d@example.org", "text": "t", "html": "<p>t</p>" }),
        json!({ "operation": "reply", "message": message, "text": "t" }),
        json!({ "operation": "reply_all", "message": message, "text": "t" }),
        json!({ "operation": "reply_all", "message": message, "bcc": "d@example.org",
                "text": "t" }),
        json!({ "operation": "forward", "message": message, "to": "a@example.org", "text": "t" }),
    ] {
        assert_eq!(outcome(&desk, request).await["status"], "accepted");
    }
    let mime = "From: noreply@contoso.example\r\nTo: Ann <ann@example.org>,\r\n\tb@example.org\r\n\
                cc: c@example.org\r\nBcc: d@example.org\r\nSubject: mime\r\n\r\nTo: x@example.org\r\n";
    let posted = desk.taken(desk.post_as("message/rfc822", &mime)).await;
    assert_eq!(desk.ended(&posted).await["outcome"]["status"], "accepted");
    let sent = desk.handle().truth().sent();
    assert_eq!(sent.len(), 7);
    for mail in sent {
        assert_eq!(mail.to, [STAGING], "{}", mail.subject);
        assert!(mail.cc.is_empty() && mail.bcc.is_empty(), "{}", mail.subject);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_get_no_mail_gets_none_and_the_others_do() {
    let rails = format!(
        "      recipients: {{ allow: [\"*@example.org\"], deny: [\"ceo@*\"] }}\n      \
         deny_mailboxes: [\"payroll@{DEMO_DOMAIN}\"]"
    );
    let desk = Desk::new("", &rails).await;
    let _program = desk.start().await;
    let message = question(&desk);
    let not_allowed = "request_recipient_not_allowed";
    let payroll = format!("payroll@{DEMO_DOMAIN}");
    for (request, code) in [
        (json!({ "to": "a@elsewhere.org", "text": "t" }), Some(not_allowed)),
        (
            json!({ "to": "a@example.org", "bcc": "CEO@example.org", "text": "t" }),
            Some(not_allowed),
        ),
        // Graph would choose whom it goes to
        (json!({ "operation": "reply_all", "message": message, "text": "t" }), Some(not_allowed)),
        (
            json!({ "mailbox": payroll, "to": "a@example.org", "text": "t" }),
            Some("request_mailbox_not_allowed"),
        ),
        (json!({ "to": ["a@example.org", "b@example.org"], "text": "t" }), None),
        (json!({ "operation": "delete", "message": message }), None),
    ] {
        let outcome = outcome(&desk, request.clone()).await;
        let status = if code.is_some() { "rejected" } else { "accepted" };
        assert_eq!(outcome["status"], status, "{request}");
        assert_eq!(outcome["code"].as_str(), code, "{request}");
    }
    assert_eq!(desk.handle().truth().sent_total(), 1);
    let dead = std::fs::read_to_string(desk.launch.folder().join("dead.ndjson"));
    assert_eq!(dead.expect("dead letters").lines().count(), 4);
}

/// Posts requests from these mailboxes; gives the ids.
async fn posted(desk: &Desk, from: impl Iterator<Item = usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for (n, m) in from.enumerate() {
        ids.push(desk.taken(desk.post(&request(n, &mailbox(m)))).await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_budget_holds_one_mailbox_and_fails_nothing() {
    let desk = Desk::new("", "      budgets: { mails_per_minute: 5 }").await;
    let _program = desk.start().await;
    let first = posted(&desk, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1].into_iter()).await;
    let sent = async || desk.handle().truth().sent_total() == 10;
    until(SOON, "all but one are sent", sent).await;
    // the others go on, and what is held stays held meanwhile
    for later in posted(&desk, [2, 3].into_iter()).await {
        assert_eq!(desk.ended(&later).await["outcome"]["status"], "accepted");
    }
    assert_eq!(desk.handle().truth().sent_from(&mailbox(0)).len(), 5);
    let mut states = Vec::new();
    for id in &first {
        states.push(desk.status(id).await["state"].take());
    }
    assert_eq!(states.iter().filter(|state| *state == "queued").count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|state| *state == "done").count(), 10, "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_are_counted_over_a_day() {
    let desk = Desk::new("", "      budgets: { recipients_per_day: 3 }").await;
    let _program = desk.start().await;
    let two = json!({ "to": ["a@example.org", "b@example.org"], "text": "t" });
    assert_eq!(outcome(&desk, two.clone()).await["status"], "accepted");
    let held = desk.taken(desk.post(&two)).await;
    let other = json!({ "mailbox": mailbox(1), "to": "a@example.org", "text": "t" });
    assert_eq!(outcome(&desk, other).await["status"], "accepted");
    assert_eq!(desk.status(&held).await["state"], "queued");
    assert_eq!(desk.handle().truth().sent_total(), 2);
}
