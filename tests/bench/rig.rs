//! What all contenders share: one nats-server, one sandbox, fresh streams for each run.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream::{self, consumer::pull, stream};
use futures_util::StreamExt as _;
use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID};
use mailbridge_testkit::server::NatsServer;

use crate::{Failure, floor::Mode};

pub struct Rig {
    pub nats: NatsServer,
    pub sandbox: Sandbox,
    pub jetstream: jetstream::Context,
    pub program: std::path::PathBuf,
    runs: u32,
}

/// Streams of one run.
pub struct Streams {
    pub requests: String,
    pub outcomes: String,
}

/// The sandbox as a process of its own.
pub struct Sandbox {
    child: Child,
    pub url: String,
    pub token: String,
}

/// One message of a stream: when the server stored it, and the request's number.
#[derive(Clone, Copy)]
pub struct Stored {
    pub nanos: i128,
    pub number: usize,
}

impl Rig {
    pub async fn start() -> Result<Self, Failure> {
        Self::start_with(&[]).await
    }

    /// With more options for the sandbox, which has no budgets.
    pub async fn start_with(sandbox: &[&str]) -> Result<Self, Failure> {
        Self::start_over(&[&["--no-budgets"], sandbox].concat()).await
    }

    /// With a sandbox without budgets that keeps all it has sent, to be looked through later.
    pub async fn start_remembering() -> Result<Self, Failure> {
        Self::start_exactly(&["--no-budgets"]).await
    }

    /// With these options for the sandbox: with budgets, if it is not told otherwise.
    pub async fn start_over(sandbox: &[&str]) -> Result<Self, Failure> {
        Self::start_exactly(&[&["--forget"], sandbox].concat()).await
    }

    async fn start_exactly(sandbox: &[&str]) -> Result<Self, Failure> {
        let program = release_binary()?;
        let nats = NatsServer::start().await?;
        let sandbox = Sandbox::start(&program, sandbox).await?;
        let jetstream = jetstream::new(async_nats::connect(nats.url()).await?);
        Ok(Self { nats, sandbox, jetstream, program, runs: 0 })
    }

    /// Fresh streams and the consumer `worker`.
    pub async fn streams(&mut self) -> Result<Streams, Failure> {
        self.runs += 1;
        let streams = Streams {
            requests: format!("REQUESTS{}", self.runs),
            outcomes: format!("OUTCOMES{}", self.runs),
        };
        for (name, retention) in [
            (&streams.requests, stream::RetentionPolicy::WorkQueue),
            (&streams.outcomes, stream::RetentionPolicy::Limits),
        ] {
            let config = stream::Config {
                name: name.clone(),
                subjects: vec![format!("{name}.>")],
                retention,
                ..stream::Config::default()
            };
            let stream = self.jetstream.create_stream(config).await?;
            if *name == streams.requests {
                let consumer = pull::Config {
                    durable_name: Some("worker".to_owned()),
                    ack_wait: Duration::from_mins(2),
                    max_ack_pending: 10_000,
                    ..pull::Config::default()
                };
                stream.create_consumer(consumer).await?;
            }
        }
        Ok(streams)
    }

    pub async fn remove(&self, streams: &Streams) -> Result<(), Failure> {
        for name in [&streams.requests, &streams.outcomes] {
            self.jetstream.delete_stream(name).await?;
        }
        Ok(())
    }

    pub async fn publish(&self, streams: &Streams, payload: &str) -> Result<(), Failure> {
        let subject = format!("{}.send", streams.requests);
        self.jetstream.publish(subject, payload.to_owned().into()).await?.await?;
        Ok(())
    }

    /// Publishes all, many at once.
    pub async fn publish_all(&self, streams: &Streams, payloads: &[String]) -> Result<(), Failure> {
        let published = futures_util::stream::iter(payloads)
            .map(|payload| self.publish(streams, payload))
            .buffer_unordered(256);
        published.fold(Ok(()), |all, one| async { all.and(one) }).await
    }

    /// Reads a stream until it has given `count` messages.
    pub async fn read(&self, stream: &str, count: usize) -> Result<Vec<Stored>, Failure> {
        let stream = self.jetstream.get_stream(stream).await?;
        let consumer = stream.create_consumer(pull::OrderedConfig::default()).await?;
        let mut messages = consumer.messages().await?;
        let mut stored = Vec::with_capacity(count);
        while stored.len() < count {
            let message = tokio::time::timeout(Duration::from_mins(5), messages.next())
                .await?
                .ok_or("the stream ended early")??;
            stored.push(Stored {
                nanos: message.info()?.published.unix_timestamp_nanos(),
                number: number(&message.payload).ok_or("a message without its number")?,
            });
        }
        Ok(stored)
    }

    /// The connection `bench` of a configuration, which is the sandbox.
    pub fn connection(&self) -> String {
        let Sandbox { url, .. } = &self.sandbox;
        format!(
            "
connections:
  bench:
    provider: microsoft365
    grant_type: client_credentials
    tenant: {DEMO_TENANT_ID}
    client_id: {DEMO_CLIENT_ID}
    credential: {{ client_secret: '{DEMO_CLIENT_SECRET}' }}
    cloud: {{ login: '{url}', graph: '{url}' }}
"
        )
    }

    /// The configuration of a mailbridge that does this run's work.
    pub fn config(&self, streams: &Streams, mode: Mode, concurrency: usize) -> String {
        let Streams { requests, outcomes } = streams;
        format!(
            "{connection}buses:
  events: {{ nats: {{ servers: ['{nats}'] }} }}
pipelines:
  bench:
    requests:
      from: {{ bus: events, stream: {requests}, consumer: worker }}
      connection: bench
      allow_mailboxes: ['*']
      guarantee: {mode}
      in_flight: {concurrency}
      outcomes: {{ bus: events, subject: {outcomes}.out }}
      dead_letters: {{ bus: events, subject: {outcomes}.dead }}
",
            connection = self.connection(),
            nats = self.nats.url(),
            mode = mode.as_str(),
        )
    }
}

/// The number in a request's id or in a mail's subject, wherever the payload has it: `"r17"`.
pub fn number(payload: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(payload).ok()?;
    text.split("\"r").skip(1).find_map(|rest| rest[..rest.find('"')?].parse().ok())
}

impl Sandbox {
    /// Starts the sandbox and gets a token from it, as any client would.
    async fn start(program: &std::path::Path, options: &[&str]) -> Result<Self, Failure> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}");
        let child = Command::new(program)
            .args(["sandbox", "--listen", &format!("127.0.0.1:{port}")])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        let http = reqwest::Client::builder().build()?;
        let token = format!("{url}/{DEMO_TENANT_ID}/oauth2/v2.0/token");
        let form = [
            ("client_id", DEMO_CLIENT_ID),
            ("client_secret", DEMO_CLIENT_SECRET),
            ("scope", "https://graph.microsoft.com/.default"),
            ("grant_type", "client_credentials"),
        ];
        let mut sandbox = Self { child, url, token: String::new() };
        for _ in 0..200 {
            match http.post(&token).form(&form).send().await {
                Ok(answer) => {
                    let answer: serde_json::Value = answer.error_for_status()?.json().await?;
                    let token = answer["access_token"].as_str().ok_or("no token")?;
                    token.clone_into(&mut sandbox.token);
                    return Ok(sandbox);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Err("the sandbox does not answer".into())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a child for good.
pub fn end(child: &mut Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        eprintln!("a child does not end: {error}");
    }
}

/// What time it is, in nanoseconds since 1970.
pub fn now() -> i128 {
    jiff::Timestamp::now().as_nanosecond()
}

/// Between two such times.
pub fn nanos(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
}

/// A line of `/proc/PID/status`, in KiB.
pub fn status_kib(process: u32, name: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no such line")?;
    Ok(kib.parse()?)
}

/// The program as users build it, or the one that `MAILBRIDGE_BIN` names.
fn release_binary() -> Result<std::path::PathBuf, Failure> {
    if let Some(program) = std::env::var_os("MAILBRIDGE_BIN") {
        return Ok(program.into());
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "mailbridge"])
        .status()?;
    if !built.success() {
        return Err("the program does not build".into());
    }
    let bench = std::env::current_exe()?;
    let folder = bench.parent().ok_or("the bench has no folder")?;
    Ok(folder.join("mailbridge"))
}
