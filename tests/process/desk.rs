//! A test's world without a bus: requests are posted to the program, which has a sandbox behind it.

use std::net::SocketAddr;

use mailbridge_sandbox::{Budgets, DEMO_DOMAIN, Handle, Running, Sandbox};
use mailbridge_testkit::program::{Launch, Program};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::rig::{SOON, free_port, http_client, secret, until};

pub struct Desk {
    sandbox: Running,
    /// Starts the program; again after a kill.
    pub launch: Launch,
    http: SocketAddr,
}

impl Desk {
    /// `from`: more keys of the source, as `, key: value`; `pipeline`: lines for it, six spaces deep.
    pub async fn new(from: &str, pipeline: &str) -> Self {
        let sandbox = Sandbox::builder().seed(7).budgets(Budgets::graph());
        let sandbox = sandbox.start_local().await.expect("a sandbox");
        let (url, http) = (sandbox.base_url(), free_port());
        let launch = Launch::mailbridge().expect("the program");
        let (identity, _) = secret(&sandbox, launch.folder());
        let config = format!(
            r#"
connections:
  contoso:
{identity}
    cloud: {{ login: "{url}", graph: "{url}" }}
buses:
  here: {{ local: {{}} }}
pipelines:
  desk:
    requests:
      from: {{ bus: here, http: "{http}"{from} }}
      connection: contoso
      mailbox: noreply@{DEMO_DOMAIN}
      allow_mailboxes: ["*@{DEMO_DOMAIN}"]
      deadline: 5s
      settle_time: 5s
      outcomes: {{ bus: here, http: "{http}" }}
      dead_letters: {{ bus: here, path: dead.ndjson }}
{pipeline}
"#
        );
        let launch = launch.args(["run"]).config(&config).expect("a configuration");
        Self { sandbox, launch, http }
    }

    pub fn handle(&self) -> &Handle {
        self.sandbox.handle()
    }

    /// Starts the program, and waits until it answers producers.
    pub async fn start(&self) -> Program {
        let program = self.launch.start().expect("the program starts");
        until(SOON, "requests are taken", async || self.get("none").send().await.is_ok()).await;
        program
    }

    /// A request in JSON that is about to be posted.
    pub fn post(&self, request: &impl ToString) -> RequestBuilder {
        self.post_as("application/json", request)
    }

    pub fn post_as(&self, content_type: &str, body: &impl ToString) -> RequestBuilder {
        let post = http_client().post(format!("http://{}/requests", self.http));
        post.header("content-type", content_type).body(body.to_string())
    }

    pub fn get(&self, id: &str) -> RequestBuilder {
        http_client().get(format!("http://{}/requests/{id}", self.http))
    }

    /// Posts a request that is to be taken; gives its id.
    pub async fn taken(&self, post: RequestBuilder) -> String {
        let answer = post.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        id(answer).await
    }

    /// What is known of a request.
    pub async fn status(&self, id: &str) -> Value {
        let answer = self.get(id).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{id}");
        answer.json().await.expect("JSON")
    }

    /// What is known of a request once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let mut last = Value::Null;
        until(SOON, "the request ends", async || {
            last = self.status(id).await;
            last["state"] != "queued"
        })
        .await;
        last
    }
}

/// The id in an answer to a post.
pub async fn id(answer: Response) -> String {
    let body: Value = answer.json().await.expect("JSON");
    body["id"].as_str().expect("an id").to_owned()
}
