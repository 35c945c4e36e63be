//! What every part has: a sandbox with mail in it, a bus, and a mailbridge that reads the one and
//! writes to the other.

use std::{
    fmt::Write as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream::stream;
use mailbridge_sandbox::DEMO_DOMAIN;
use serde_json::Value;

use crate::{
    Failure,
    rig::{Rig, end},
};

/// How long anything here may take before it is given up.
const PATIENCE: Duration = Duration::from_mins(10);

pub struct World {
    pub rig: Rig,
    pub http: reqwest::Client,
    folder: tempfile::TempDir,
    runs: u32,
}

/// What differs from run to run.
pub struct Plan {
    /// Whose mail.
    pub mailboxes: Vec<String>,
    /// Lines of the pipeline, six spaces deep.
    pub pipeline: String,
}

/// A mailbridge at work, until it is dropped.
pub struct Run {
    child: Child,
    /// Where its events are.
    pub stream: String,
    /// When it was started, in nanoseconds since 1970.
    pub began: i128,
}

impl World {
    pub async fn new(sandbox: &[&str]) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().tcp_nodelay(true).build()?;
        let rig = Rig::start_with(sandbox).await?;
        Ok(Self { rig, http, folder: tempfile::tempdir()?, runs: 0 })
    }

    /// Asks the sandbox's admin side.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        let url = format!("{}/_sandbox/{path}", self.rig.sandbox.url);
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<(), Failure> {
        let url = format!("{}/_sandbox/{path}", self.rig.sandbox.url);
        self.http.post(url).json(body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Puts mails of about 2 KB into an inbox, a second after each other.
    pub async fn fill(&self, mailbox: &str, count: usize) -> Result<(), Failure> {
        let bulk = serde_json::json!({
            "mailbox": mailbox, "count": count, "seed": count, "body_bytes": [500, 3_500],
            "received": "2026-01-01T00:00:00Z", "step_seconds": 1,
        });
        self.post("messages/bulk", &bulk).await
    }

    /// How many requests to Graph were answered so far, but for tokens.
    pub async fn requests(&self) -> Result<u64, Failure> {
        let all = self.get("requests").await?;
        let all = all["requests"].as_object().ok_or("no requests")?;
        let of = |counts: &Value| -> u64 {
            counts.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
        };
        Ok(all.iter().filter(|(name, _)| !name.contains("token")).map(|(_, it)| of(it)).sum())
    }

    /// A fresh stream, bucket and mailbridge.
    pub async fn start(&mut self, plan: &Plan) -> Result<Run, Failure> {
        self.runs += 1;
        let stream = format!("EVENTS{}", self.runs);
        let config = stream::Config {
            name: stream.clone(),
            subjects: vec![format!("{stream}.>")],
            ..stream::Config::default()
        };
        self.rig.jetstream.create_stream(config).await?;
        let file = self.folder.path().join(format!("{stream}.yaml"));
        std::fs::write(&file, self.config(&stream, plan)?)?;
        let began = crate::rig::now();
        let mut command = Command::new(&self.rig.program);
        command.args(["--log", "error", "run"]).arg(&file);
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        Ok(Run { child, stream, began })
    }

    fn config(&self, stream: &str, plan: &Plan) -> Result<String, Failure> {
        let mut text = format!(
            "{connection}buses:
  events: {{ nats: {{ servers: ['{nats}'] }} }}
state: {{ bus: events, bucket: state-{stream}, create: true }}
{pipeline}
      to: {{ bus: events, subject: '{stream}.mail' }}
      connection: bench
      mailboxes:
",
            connection = self.rig.connection(),
            nats = self.rig.nats.url(),
            pipeline = plan.pipeline,
        );
        for mailbox in &plan.mailboxes {
            writeln!(text, "        - {mailbox}")?;
        }
        Ok(text)
    }

    /// How many events are out.
    pub async fn stored(&self, run: &Run) -> Result<usize, Failure> {
        let mut stream = self.rig.jetstream.get_stream(&run.stream).await?;
        Ok(usize::try_from(stream.info().await?.state.messages)?)
    }

    /// Waits for so many events.
    pub async fn wait_for(&self, run: &Run, count: usize) -> Result<(), Failure> {
        let all = async {
            while self.stored(run).await? < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await?
    }

    /// From the start of the program to the last event in the stream, by the server's clock.
    pub async fn took(&self, run: &Run) -> Result<Duration, Failure> {
        let mut stream = self.rig.jetstream.get_stream(&run.stream).await?;
        let last = stream.info().await?.state.last_sequence;
        let last = stream.get_raw_message(last).await?.time.unix_timestamp_nanos();
        Ok(crate::rig::nanos(last - run.began))
    }

    /// Ends a run and forgets all of it.
    pub async fn end(&self, run: Run) -> Result<(), Failure> {
        let stream = run.stream.clone();
        drop(run);
        self.rig.jetstream.delete_stream(&stream).await?;
        self.rig.jetstream.delete_key_value(format!("state-{stream}")).await?;
        Ok(())
    }
}

impl Run {
    /// Resident memory in KiB: `VmRSS` now, `VmHWM` at most so far.
    pub fn kib(&self, name: &str) -> Result<u64, Failure> {
        crate::rig::status_kib(self.child.id(), name)
    }
}

impl Run {
    /// Processor time so far.
    pub fn processor(&self) -> Result<Duration, Failure> {
        /// Of a second: `USER_HZ`, the same on every Linux that matters.
        const TICK: Duration = Duration::from_millis(10);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        Ok(TICK * ticks.sum::<Result<u32, _>>()?)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The mailboxes of a part.
pub fn mailboxes(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number}@{DEMO_DOMAIN}")).collect()
}
