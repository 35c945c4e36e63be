//! A connection to a sandbox, and a request's way through it as the engine takes it.

use std::{sync::Arc, time::Duration};

use mailbridge_core::{
    Attempt, Completion, Deadline, Doubt, Error, Files, Guarantee, Mail, Mailbox, Message,
    Position, Secret, SecretSource, Verdict,
    contract::{Key, Mark, Request, decode::decode},
};
use mailbridge_graph::{Connection, Graph, Options, SandboxAccess};
use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID, Running, Sandbox};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

pub async fn sandbox() -> Running {
    // a send that is looked for too early is not there
    Sandbox::builder().seed(7).visibility_delay(SETTLE / 2).start_local().await.unwrap()
}

/// How long a doubt stays young.
pub const SETTLE: Duration = Duration::from_millis(100);

pub fn graph(sandbox: &Running, options: Options) -> Arc<Graph> {
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

pub fn mark(id: &str) -> Mark {
    Key::of_id(id).mark("orders")
}

pub fn decoded(json: &Value) -> Request {
    let message = Message { payload: json.to_string().into(), ..Message::default() };
    decode(&message, &Position::new("1")).unwrap().request
}

/// What a test asks for: a request with its id, its mailbox and its files.
#[derive(Clone)]
pub struct Job {
    pub id: String,
    pub mailbox: Mailbox,
    pub request: Request,
    pub guarantee: Guarantee,
    pub files: Arc<dyn Files>,
}

impl Job {
    pub async fn attempt(&self, graph: &Graph, doubt: Doubt) -> Result<Completion, Error> {
        let deadline = Deadline::new(Duration::from_secs(20), Duration::from_mins(2));
        graph
            .perform(Attempt {
                request: &self.request,
                mailbox: &self.mailbox,
                mark: &mark(&self.id),
                origin: None,
                guarantee: self.guarantee,
                doubt,
                deadline: &deadline,
                files: self.files.as_ref(),
            })
            .await
    }

    /// Tries until it is done, as the engine does: with its doubt, first young, then old.
    pub async fn carry_out(&self, graph: &Graph) -> Result<Completion, Error> {
        let mut doubt_since: Option<Instant> = None;
        for _ in 0..200 {
            let doubt = match doubt_since {
                None => Doubt::None,
                Some(since) if since.elapsed() < SETTLE => Doubt::Young,
                Some(_) => Doubt::Old,
            };
            let wait = match self.attempt(graph, doubt).await {
                Ok(Completion::Unsettled) => SETTLE,
                Ok(Completion::Absent) => {
                    doubt_since = None;
                    Duration::ZERO
                }
                Ok(done) => return Ok(done),
                Err(error) => match error.verdict() {
                    Verdict::InDoubt => {
                        doubt_since = Some(Instant::now());
                        Duration::ZERO
                    }
                    Verdict::Transient { after } | Verdict::Blocked { after, .. } => {
                        after.unwrap_or(Duration::from_millis(10))
                    }
                    Verdict::Permanent => return Err(error),
                },
            };
            sleep(wait).await;
        }
        panic!("request {} does not come to an end", self.id);
    }
}
