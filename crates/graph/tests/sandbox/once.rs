//! Small mails, many of them, and whatever can go wrong: with `once` a request is in the truth
//! exactly once.

use std::{collections::BTreeMap, sync::Arc};

use mailbridge_core::{Code, Completion, Doubt, Error, Guarantee, Mail, Mailbox, NoFiles};
use mailbridge_graph::{Graph, MARK_PROPERTY, Options};
use mailbridge_sandbox::{DEMO_CLIENT_ID, Fault, Operation, Running};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::rig::{Job, SETTLE, decoded, graph, mark, sandbox};

/// Every third mail has html too, and goes as MIME.
fn job(number: usize, guarantee: Guarantee) -> Job {
    let mut json = json!({
        "id": number.to_string(), "to": "Bób <bob@x.example>", "bcc": "eve@x.example",
        "subject": format!("Grüße {number}"), "text": "hello",
        "attachments": [{ "name": "a.txt", "content_type": "text/plain", "content": "aGVsbG8=" }],
    });
    if number.is_multiple_of(3) {
        json["html"] = json!("<p>hello</p>");
    }
    Job {
        id: number.to_string(),
        mailbox: Mailbox::new(format!("sender{}@contoso.example", number % 10)),
        request: decoded(&json),
        guarantee,
        files: Arc::new(NoFiles),
    }
}

async fn try_once(
    graph: &Graph,
    number: usize,
    guarantee: Guarantee,
    doubt: Doubt,
) -> Result<Completion, Error> {
    job(number, guarantee).attempt(graph, doubt).await
}

async fn carry_out_all(graph: &Arc<Graph>, count: usize, guarantee: Guarantee) {
    let mut requests = JoinSet::new();
    for number in 0..count {
        let graph = Arc::clone(graph);
        requests.spawn(async move { job(number, guarantee).carry_out(&graph).await });
    }
    while let Some(done) = requests.join_next().await {
        assert!(matches!(done.unwrap(), Ok(Completion::Sent { .. })));
    }
}

/// What goes wrong with the real service, and more often.
fn everything_goes_wrong(sandbox: &Running) {
    let steps = [
        Operation::CreateMessage,
        Operation::UpdateMessage,
        Operation::SendMessage,
        Operation::ListMessages,
    ];
    for step in steps {
        for fault in [
            Fault::throttle(0.15).probability(0.1),
            Fault::answer(503).probability(0.05),
            Fault::answer(504).after().probability(0.1),
            Fault::close().after().probability(0.05),
        ] {
            sandbox.handle().add_fault(fault.on(step));
        }
    }
}

#[tokio::test]
async fn whatever_goes_wrong_every_request_is_sent_once() {
    const COUNT: usize = 200;
    let sandbox = sandbox().await;
    everything_goes_wrong(&sandbox);
    carry_out_all(&graph(&sandbox, Options::default()), COUNT, Guarantee::Once).await;
    let truth = sandbox.handle().truth();
    assert_eq!(truth.duplicates(MARK_PROPERTY).unwrap(), BTreeMap::new());
    for number in 0..COUNT {
        assert_eq!(
            truth.with_value(mark(&number.to_string()).as_str()).len(),
            1,
            "request {number}"
        );
    }
    let struck = sandbox.handle().faults().iter().filter(|rule| rule.fired > 0).count();
    assert!(struck >= 12, "the faults must have bitten: {struck} rules did");
}

#[tokio::test]
async fn without_the_look_there_are_duplicates() {
    let sandbox = sandbox().await;
    everything_goes_wrong(&sandbox);
    let options = Options { look_first: false, ..Options::default() };
    carry_out_all(&graph(&sandbox, options), 200, Guarantee::Once).await;
    assert!(!sandbox.handle().truth().duplicates(MARK_PROPERTY).unwrap().is_empty());
}

#[tokio::test]
async fn the_sandbox_takes_what_is_sent_as_json_and_as_mime() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    for guarantee in [Guarantee::Once, Guarantee::AtLeastOnce] {
        for number in [0, 1] {
            try_once(&graph, number, guarantee, Doubt::None).await.unwrap();
        }
    }
    let sent = sandbox.handle().truth().sent();
    assert_eq!(sent.len(), 4);
    for mail in sent {
        assert!(mail.subject.starts_with("Grüße "), "{}", mail.subject);
        assert_eq!(mail.attachments.len(), 1, "{:?}", mail.via);
        assert_eq!(mail.bcc, ["eve@x.example"], "{:?}", mail.via);
    }
}

#[tokio::test]
async fn what_is_told_of_a_sent_mail_is_its_message_id() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    for number in [0, 1] {
        let Completion::Sent { internet_message_id: Some(id), found: false } =
            try_once(&graph, number, Guarantee::Once, Doubt::None).await.unwrap()
        else {
            panic!("no id")
        };
        let sent = sandbox.handle().truth().with_value(mark(&number.to_string()).as_str());
        assert_eq!(sent[0].internet_message_id, id);
        // found later, it is told again
        sleep(SETTLE).await;
        let again = try_once(&graph, number, Guarantee::Once, Doubt::Old).await.unwrap();
        assert_eq!(again, Completion::Sent { internet_message_id: Some(id), found: true });
    }
}

#[tokio::test]
async fn an_expired_secret_and_revoked_tokens_block_until_there_is_a_good_one() {
    let sandbox = sandbox().await;
    let graph = graph(&sandbox, Options::default());
    graph.ready().await.unwrap();

    // one refresh, and on
    sandbox.handle().revoke_tokens();
    try_once(&graph, 1, Guarantee::Once, Doubt::None).await.unwrap();

    sandbox.handle().set_app_roles(DEMO_CLIENT_ID, &["User.Read.All"]).unwrap();
    let other = crate::rig::graph(&sandbox, Options::default());
    let error = try_once(&other, 2, Guarantee::Once, Doubt::None).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphPermissionMissing, "{error:?}");

    sandbox.handle().expire_secret(DEMO_CLIENT_ID, None).unwrap();
    let other = crate::rig::graph(&sandbox, Options::default());
    assert_eq!(other.ready().await.unwrap_err().code(), Code::CredentialSecretExpired);
}
