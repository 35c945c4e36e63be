//! The connection against the sandbox, which keeps the truth of what was really sent: whatever goes
//! wrong on the way, with `once` a request is in it exactly once.

#![cfg(test)]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mailbridge_core::{
    Attempt, Code, Completion, Deadline, Doubt, Error, Guarantee, Mail, Mailbox, Message, NoFiles,
    Position, Secret, SecretSource, Verdict,
    contract::{Key, Mark, Request, decode::decode},
};
use mailbridge_graph::{Connection, Graph, MARK_PROPERTY, Options, SandboxAccess};
use mailbridge_sandbox::{
    DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Fault, Operation, Running, Sandbox,
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

async fn sandbox() -> Running {
    // a send that is looked for too early is not there
    Sandbox::builder().seed(7).visibility_delay(SETTLE / 2).start_local().await.unwrap()
}

/// How long a doubt stays young.
const SETTLE: Duration = Duration::from_millis(100);

fn graph(sandbox: &Running, options: Options) -> Arc<Graph> {
    let access = SandboxAccess {
        login: sandbox.login_url(),
        graph: sandbox.graph_url(),
        tenant: DEMO_TENANT_ID.to_owned(),
        client_id: DEMO_CLIENT_ID.to_owned(),
        client_secret: SecretSource::Literal(Secret::new(DEMO_CLIENT_SECRET)),
    };
    let connection: Connection = serde_json::from_value(json!({ "cloud": "sandbox" })).unwrap();
    let resolved = connection.resolve(Some(&access)).unwrap();
    Arc::new(Graph::new("sandbox", resolved, options).unwrap())
}

fn mark(number: usize) -> Mark {
    Key::of_id(&number.to_string()).mark("orders")
}

/// Every third mail has html too, and goes as MIME.
fn request(number: usize) -> Request {
    let mut json = json!({
        "id": number.to_string(), "to": "Bób <bob@x.example>", "bcc": "eve@x.example",
        "subject": format!("Grüße {number}"), "text": "hello",
        "attachments": [{ "name": "a.txt", "content_type": "text/plain", "content": "aGVsbG8=" }],
    });
    if number.is_multiple_of(3) {
        json["html"] = json!("<p>hello</p>");
    }
    let message = Message { payload: json.to_string().into(), ..Message::default() };
    decode(&message, &Position::new("1")).unwrap().request
}

fn mailbox(number: usize) -> Mailbox {
    Mailbox::new(format!("sender{}@contoso.example", number % 10))
}

async fn try_once(
    graph: &Graph,
    number: usize,
    guarantee: Guarantee,
    doubt: Doubt,
) -> Result<Completion, Error> {
    let (request, mailbox, mark) = (request(number), mailbox(number), mark(number));
    graph
        .perform(Attempt {
            request: &request,
            mailbox: &mailbox,
            mark: &mark,
            guarantee,
            doubt,
            deadline: &Deadline::fixed(Duration::from_secs(20)),
            files: &NoFiles,
        })
        .await
}

/// Tries until it is sent, as the engine does: with its doubt, first young, then old.
async fn carry_out(graph: &Graph, number: usize, guarantee: Guarantee) -> Completion {
    let mut doubt_since: Option<Instant> = None;
    for _ in 0..200 {
        let doubt = match doubt_since {
            None => Doubt::None,
            Some(since) if since.elapsed() < SETTLE => Doubt::Young,
            Some(_) => Doubt::Old,
        };
        let wait = match try_once(graph, number, guarantee, doubt).await {
            Ok(Completion::Unsettled) => SETTLE,
            Ok(Completion::Absent) => {
                doubt_since = None;
                Duration::ZERO
            }
            Ok(sent) => return sent,
            Err(error) => match error.verdict() {
                Verdict::InDoubt => {
                    doubt_since = Some(Instant::now());
                    Duration::ZERO
                }
                Verdict::Transient { after } | Verdict::Blocked { after, .. } => {
                    after.unwrap_or(Duration::from_millis(10))
                }
                Verdict::Permanent => panic!("{error:?}"),
            },
        };
        sleep(wait).await;
    }
    panic!("request {number} does not come to an end");
}

async fn carry_out_all(graph: &Arc<Graph>, count: usize, guarantee: Guarantee) {
    let mut requests = JoinSet::new();
    for number in 0..count {
        let graph = Arc::clone(graph);
        requests.spawn(async move { carry_out(&graph, number, guarantee).await });
    }
    while let Some(done) = requests.join_next().await {
        assert!(matches!(done.unwrap(), Completion::Sent { .. }));
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
        assert_eq!(truth.with_value(mark(number).as_str()).len(), 1, "request {number}");
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
        let sent = sandbox.handle().truth().with_value(mark(number).as_str());
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
    let other = self::graph(&sandbox, Options::default());
    let error = try_once(&other, 2, Guarantee::Once, Doubt::None).await.unwrap_err();
    assert_eq!(error.code(), Code::GraphPermissionMissing, "{error:?}");

    sandbox.handle().expire_secret(DEMO_CLIENT_ID, None).unwrap();
    let other = self::graph(&sandbox, Options::default());
    assert_eq!(other.ready().await.unwrap_err().code(), Code::CredentialSecretExpired);
}
