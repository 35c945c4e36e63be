//! Who is compared, and how each is told what to do.

use std::{path::Path, process::Command};

use mailbridge_sandbox::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT_ID};
use serde::Serialize;

use super::{
    fetch::{SOURCES, Tools},
    process::Process,
};
use crate::{
    Failure,
    floor::Mode,
    kafka::{broker::Broker, requests},
    rig::{Rig, Streams},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    MailbridgeOnce,
    MailbridgeAtLeastOnce,
    Connect,
    Python,
}

/// Where the requests of a run are.
pub enum Work<'a> {
    Nats(&'a Streams),
    /// By the name that its topics begin with.
    Kafka(&'a Broker, &'a str),
}

impl Who {
    pub const ALL: [Self; 4] =
        [Self::MailbridgeOnce, Self::MailbridgeAtLeastOnce, Self::Connect, Self::Python];

    pub const fn title(self) -> &'static str {
        match self {
            Self::MailbridgeOnce => "mailbridge, `once`",
            Self::MailbridgeAtLeastOnce => "mailbridge, `at_least_once`",
            Self::Connect => "Redpanda Connect (Benthos)",
            Self::Python => "Python worker",
        }
    }

    /// What it guarantees, if it is mailbridge.
    pub const fn mode(self) -> Option<Mode> {
        match self {
            Self::MailbridgeOnce => Some(Mode::Once),
            Self::MailbridgeAtLeastOnce => Some(Mode::AtLeastOnce),
            Self::Connect | Self::Python => None,
        }
    }

    /// Starts it for a run, with so many mails at once.
    pub fn start(
        self,
        (rig, tools, folder): (&Rig, &Tools, &Path),
        work: &Work<'_>,
        at_once: usize,
    ) -> Result<Process, Failure> {
        let bus = work.bus();
        let mut command = match self {
            Self::MailbridgeOnce | Self::MailbridgeAtLeastOnce => {
                let file = folder.join("mailbridge.yaml");
                std::fs::write(&file, self.config(rig, work, at_once))?;
                let mut command = Command::new(&rig.program);
                command.args(["--log", "error", "run"]).arg(file);
                command
            }
            Self::Connect => {
                let mut command = Command::new(&tools.connect);
                let file = |name: &str| format!("{SOURCES}/connect/{name}.yaml");
                command.args(["-r", &file("mail"), "-c", &file(bus)]);
                command
            }
            Self::Python => {
                let mut command = Command::new(&tools.python);
                command.arg(format!("{SOURCES}/python/worker_{bus}.py"));
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
        };
        Process::start(command.envs(environment(rig, work, at_once)))
    }

    /// Its file, if it is mailbridge.
    pub fn config(self, rig: &Rig, work: &Work<'_>, at_once: usize) -> String {
        let mode = self.mode().unwrap_or(Mode::Once);
        match work {
            Work::Nats(streams) => rig.config(streams, mode, at_once),
            Work::Kafka(broker, name) => requests::config(rig, broker, name, mode, at_once),
        }
    }

    /// Lines of configuration or code for the bus that most begin with, without blank lines and
    /// comments.
    pub fn lines(self, rig: &Rig, streams: &Streams) -> Result<usize, Failure> {
        let read = |name: &str| std::fs::read_to_string(format!("{SOURCES}/{name}"));
        let text = match self {
            Self::Connect => read("connect/mail.yaml")? + &read("connect/nats.yaml")?,
            Self::Python => read("python/worker.py")? + &read("python/worker_nats.py")?,
            mailbridge => mailbridge.config(rig, &Work::Nats(streams), 64),
        };
        let counts = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
        Ok(text.lines().filter(counts).count())
    }
}

impl Work<'_> {
    pub const fn bus(&self) -> &'static str {
        match self {
            Self::Nats(_) => "nats",
            Self::Kafka(..) => "kafka",
        }
    }
}

/// What the peers' files read from the environment.
fn environment(rig: &Rig, work: &Work<'_>, at_once: usize) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("GRAPH", rig.sandbox.url.clone()),
        ("LOGIN", rig.sandbox.url.clone()),
        ("TENANT", DEMO_TENANT_ID.to_owned()),
        ("CLIENT_ID", DEMO_CLIENT_ID.to_owned()),
        ("CLIENT_SECRET", DEMO_CLIENT_SECRET.to_owned()),
        ("CONCURRENCY", at_once.to_string()),
    ];
    match work {
        Work::Nats(streams) => all.extend([
            ("NATS", rig.nats.url().to_owned()),
            ("REQUESTS", streams.requests.clone()),
            ("OUTCOMES", streams.outcomes.clone()),
        ]),
        Work::Kafka(broker, name) => {
            all.extend([("KAFKA", broker.address()), ("TOPIC", (*name).to_owned())]);
        }
    }
    all
}
