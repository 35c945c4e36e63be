//! A connection to a stub, and the requests that the tests make.

use std::time::Duration;

use mailbridge_core::{
    Attempt, Completion, Deadline, Doubt, Error, Files, Guarantee, Mail, Mailbox, Message, NoFiles,
    Position, Result, Scope, Verdict,
    contract::{Key, Mark, Request, decode::decode},
};
use mailbridge_graph::{Connection, Graph, Options};
use serde_json::{Value, json};

use crate::stub::{Asked, Reply, Stub};

pub const MAILBOX: &str = "noreply@contoso.com";
pub const PLAIN: &str = r#"{"id":"1","to":"bob@x.org","subject":"Hi","text":"hello"}"#;
pub const BOTH: &str = r#"{"id":"1","to":"bob@x.org","bcc":"secret@x.org","subject":"Hi",
    "text":"hello","html":"<p>hello</p>","categories":["Red"]}"#;

pub struct Scene {
    pub stub: Stub,
    pub graph: Graph,
}

impl Scene {
    /// A stub that gives tokens by itself, and answers Graph's requests by the script.
    pub async fn new(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(Options::default(), json!("open sesame"), script).await
    }

    pub async fn with(
        options: Options,
        secret: Value,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let stub = Stub::start(move |asked| {
            if asked.target.ends_with("/token") { token("t", &[]) } else { script(asked) }
        })
        .await;
        let graph = graph(&stub, options, &secret);
        Self { stub, graph }
    }

    /// With a token in hand, so that what follows is about Graph alone.
    pub async fn graph_ready(&self) {
        self.graph.ready().await.unwrap();
    }

    pub async fn send(&self, guarantee: Guarantee, doubt: Doubt) -> Result<Completion> {
        self.send_from(MAILBOX, PLAIN, guarantee, doubt).await
    }

    /// One attempt at a request whose files are on a shelf.
    pub async fn send_with(
        &self,
        request: &str,
        guarantee: Guarantee,
        doubt: Doubt,
        files: &dyn Files,
    ) -> Result<Completion> {
        let deadline = Deadline::fixed(Duration::from_mins(1));
        perform_with(&self.graph, MAILBOX, request, guarantee, doubt, &deadline, files).await
    }

    pub async fn send_from(
        &self,
        mailbox: &str,
        request: &str,
        guarantee: Guarantee,
        doubt: Doubt,
    ) -> Result<Completion> {
        perform(&self.graph, mailbox, request, guarantee, doubt, Duration::from_secs(20)).await
    }
}

pub fn graph(stub: &Stub, options: Options, secret: &Value) -> Graph {
    graph_with(stub, options, &json!({ "credential": { "client_secret": secret } }))
}

/// A connection with these keys.
pub fn graph_with(stub: &Stub, options: Options, keys: &Value) -> Graph {
    let mut connection = json!({
        "tenant": "contoso.com",
        "client_id": "11111111-2222-3333-4444-555555555555",
        "cloud": { "login": stub.url(), "graph": stub.url() },
    });
    let all = connection.as_object_mut().unwrap();
    all.extend(keys.as_object().unwrap().clone());
    let connection: Connection = serde_json::from_value(connection).unwrap();
    Graph::new("contoso", connection.resolve(None).unwrap(), options).unwrap()
}

pub async fn perform(
    graph: &dyn Mail,
    mailbox: &str,
    request: &str,
    guarantee: Guarantee,
    doubt: Doubt,
    within: Duration,
) -> Result<Completion> {
    let deadline = Deadline::fixed(within);
    perform_with(graph, mailbox, request, guarantee, doubt, &deadline, &NoFiles).await
}

pub async fn perform_with(
    graph: &dyn Mail,
    mailbox: &str,
    request: &str,
    guarantee: Guarantee,
    doubt: Doubt,
    deadline: &Deadline,
    files: &dyn Files,
) -> Result<Completion> {
    let request = request_of(request);
    let mark = mark();
    let mailbox = Mailbox::new(mailbox);
    let attempt = Attempt {
        request: &request,
        mailbox: &mailbox,
        mark: &mark,
        origin: None,
        guarantee,
        doubt,
        deadline,
        files,
    };
    graph.perform(attempt).await
}

pub fn mark() -> Mark {
    Key::of_id("1").mark("orders")
}

pub fn request_of(json: &str) -> Request {
    let message = Message { payload: json.to_owned().into(), ..Message::default() };
    decode(&message, &Position::new("1")).unwrap().request
}

/// A token whose text says that it is granted these roles.
pub fn token(name: &str, roles: &[&str]) -> Reply {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = URL_SAFE_NO_PAD.encode(json!({ "roles": roles, "name": name }).to_string());
    // with no role named, the token is opaque
    let text = if roles.is_empty() { name.to_owned() } else { format!("e30.{claims}.x") };
    let body = json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": text });
    Reply::json(200, body.to_string())
}

/// A draft as Graph answers it: more than is read, and an id that needs encoding.
pub fn draft() -> Reply {
    let body = json!({
        "@odata.context": "x", "id": "draft/1+=", "isDraft": true, "subject": "Hi",
        "changeKey": "CQAAAB", "parentFolderId": "drafts-1",
        "internetMessageId": "<1@contoso.com>", "body": { "content": "hello" },
    });
    Reply::json(201, body.to_string())
}

/// A search's answer: (id, whether it is a draft).
pub fn found(messages: &[(&str, bool)]) -> Reply {
    let one = |(id, is_draft): &(&str, bool)| {
        let message_id = format!("<{id}@contoso.com>");
        json!({ "id": id, "isDraft": is_draft, "internetMessageId": message_id })
    };
    let value: Vec<_> = messages.iter().map(one).collect();
    Reply::json(200, json!({ "value": value }).to_string())
}

pub fn sent(message_id: Option<&str>, found: bool) -> Completion {
    Completion::Sent { internet_message_id: message_id.map(str::to_owned), found }
}

/// How long a mailbox was told to stay away.
pub fn mailbox_wait(error: &Error) -> Duration {
    match error.verdict() {
        Verdict::Blocked { scope: Scope::Mailbox, after: Some(after) } => after,
        _ => panic!("{error:?}"),
    }
}
