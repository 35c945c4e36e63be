//! The file as users write it. Its doc comments are the descriptions in `mailbridge schema config`.
//!
//! Sections of buses are plain values here: only their plugin knows their types.

pub mod events;
pub mod guard;
pub mod telemetry;

use std::{collections::BTreeMap, time::Duration};

use mailbridge_core::{Guarantee, Mailbox, Span};
use mailbridge_engine::{InDoubt, Policy, Settings};
use mailbridge_graph::Connection;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use self::{events::EventsSection, telemetry::Telemetry};
use super::{
    expectation::Entry,
    text::{self, Text},
};

/// A mailbridge configuration.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mailbridge configuration")]
pub struct File {
    /// Connections to Microsoft 365, by names of your choice.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Connection>")]
    pub connections: BTreeMap<String, Value>,
    /// Message buses, by names of your choice; each has one key, its plugin's name.
    #[serde(default)]
    pub buses: BTreeMap<String, Value>,
    /// Where state is kept that must outlive the process.
    #[serde(default)]
    pub state: Option<Value>,
    /// What is done, by names of your choice.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Pipeline>")]
    pub pipelines: BTreeMap<String, Value>,
    /// The HTTP side: `/livez`, `/readyz`, `/metrics`.
    #[serde(default)]
    #[schemars(with = "Http")]
    pub http: Option<Value>,
    /// Logs, on standard error.
    #[serde(default)]
    #[schemars(with = "Log")]
    pub log: Option<Value>,
    /// Traces, by OTLP.
    #[serde(default)]
    #[schemars(with = "Telemetry")]
    pub telemetry: Option<Value>,
    /// What is told to a person on standard output.
    #[serde(default)]
    #[schemars(with = "Report")]
    pub report: Option<Value>,
}

impl File {
    /// The keys at the top.
    pub const KEYS: &[&str] =
        &["connections", "buses", "state", "pipelines", "http", "log", "telemetry", "report"];
}

/// One pipeline; has one key, its kind.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used: the kind is read by hand")]
pub enum Pipeline {
    /// Requests from a bus are carried out, and their outcomes published.
    Requests(Box<RequestsSection>),
    /// What happens in mailboxes is published.
    Events(Box<EventsSection>),
}

/// Requests from a bus, carried out through a connection.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the ends on buses are taken from the section as it stands")]
pub struct RequestsSection {
    /// Where requests come from: `bus`, and the keys of its plugin.
    pub from: Value,
    /// The connection that carries them out.
    pub connection: String,
    /// The mailbox of requests that name none.
    #[serde(default)]
    pub mailbox: Option<Mailbox>,
    /// Mailboxes that requests may name, `*` for any run of characters. Without it, only `mailbox`.
    #[serde(default)]
    pub allow_mailboxes: Vec<String>,
    /// Mailboxes that requests may not name, also if they are allowed.
    #[serde(default)]
    pub deny_mailboxes: Vec<String>,
    /// Who may get mail; everybody when absent.
    #[serde(default)]
    pub recipients: guard::Recipients,
    /// How much each mailbox may send; without it, as much as Graph takes.
    #[serde(default)]
    pub budgets: guard::Budgets,
    /// A rehearsal: requests are read and checked, nothing is sent or changed, and outcomes say so.
    #[serde(default)]
    pub dry_run: bool,
    /// What is promised about a send; `once` when absent.
    #[serde(default)]
    pub guarantee: Guarantee,
    /// Where outcomes go: `bus`, and the keys of its plugin. Without it nobody is told.
    #[serde(default)]
    pub outcomes: Option<Value>,
    /// Where requests go that cannot be carried out: `bus`, and the keys of its plugin.
    pub dead_letters: Value,
    /// Against producers that publish a request twice, and workers that hold one at once: who is at
    /// it, and that it was sent, is kept in `state`.
    #[serde(default)]
    pub dedupe: Option<Dedupe>,
    /// Places below which requests may refer to attachments by URL. Without any, none is read.
    #[serde(default)]
    pub attachments: mailbridge_attachments::Config,
    /// How requests are made of events. Without it, messages are requests as they come.
    #[serde(default)]
    pub compose: Option<mailbridge_compose::Config>,
    /// Events and what is to become of them, for `mailbridge test`: tests, or paths of files that
    /// have them under the key `tests`.
    #[serde(default)]
    pub tests: Vec<Entry>,
    /// Deliveries in the worker at once, 1 to 10000; 256 when absent.
    #[serde(default)]
    pub in_flight: Option<usize>,
    /// How long one attempt may take without progress; 30s when absent.
    #[serde(default)]
    pub deadline: Option<Span>,
    /// How long one attempt may take at all, however well it goes on, as with many large
    /// attachments; 1h when absent.
    #[serde(default)]
    pub deadline_max: Option<Span>,
    /// How long a mailbox may take to show what was done in it; 45s when absent. A younger doubt is
    /// not resolved by not finding the mail.
    #[serde(default)]
    pub settle_time: Option<Span>,
    /// How long a soft stop waits for what is in flight; 25s when absent.
    #[serde(default)]
    pub drain: Option<Span>,
    /// Looks for mails that came back, and publishes the outcome `bounced`. Without it nobody looks.
    #[serde(default)]
    pub bounces: Option<Bounces>,
    /// What follows a failed attempt.
    #[serde(default)]
    pub retry: Retry,
}

/// The watch for mails that come back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounces {
    /// Time between two looks at the inbox of each mailbox that was sent from lately, 5s to 6h.
    pub every: Span,
}

/// A ledger of requests.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// For how long after it was sent a copy of a request is known as one, such as 24h.
    pub window: Span,
    /// How long a worker's claim on a request lasts unless it is renewed: longer than `deadline`,
    /// and no longer than the bus waits for an acknowledgement; one and a half times `deadline`
    /// when absent.
    #[serde(default)]
    pub lease: Option<Span>,
}

/// What follows a failed attempt.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Failed attempts before a request is given up, 1 or more; 20 when absent. Throttling and a
    /// held stream charge none.
    #[serde(default)]
    pub attempts_max: Option<u32>,
    /// The pause after the first failed attempt, which doubles; 1s when absent.
    #[serde(default)]
    pub backoff_min: Option<Span>,
    /// The longest pause between attempts; 5m when absent.
    #[serde(default)]
    pub backoff_max: Option<Span>,
    /// With `at_least_once`, what follows a send that may have happened; `retry` when absent.
    #[serde(default)]
    pub in_doubt: Option<InDoubtChoice>,
}

/// What follows a send that may have happened.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InDoubtChoice {
    /// Send again: it may arrive twice.
    Retry,
    /// Give it up as `unknown`: it may not have arrived. What a worker was sending when it crashed is
    /// sent again by the next one all the same.
    DeadLetter,
}

impl Dedupe {
    /// How long a claim lasts.
    pub fn lease(&self, deadline: Duration) -> Duration {
        self.lease.map_or(deadline + deadline / 2, Span::get)
    }
}

impl RequestsSection {
    /// The engine's settings; what is not given is the engine's own default.
    pub fn settings(&self) -> Settings {
        let default = Settings::default();
        let retry = &self.retry;
        let span = |given: Option<Span>, default| given.map_or(default, Span::get);
        Settings {
            mailbox: self.mailbox.clone(),
            allow_mailboxes: self.allow_mailboxes.clone(),
            deny_mailboxes: self.deny_mailboxes.clone(),
            recipients: self.recipients.rules(),
            budgets: self.budgets.limits(),
            dry_run: self.dry_run,
            guarantee: self.guarantee,
            in_flight: self.in_flight.unwrap_or(default.in_flight),
            deadline: span(self.deadline, default.deadline),
            deadline_max: span(self.deadline_max, default.deadline_max),
            settle_time: span(self.settle_time, default.settle_time),
            drain: span(self.drain, default.drain),
            bounces: self.bounces.as_ref().map(|bounces| bounces.every.get()),
            policy: Policy {
                attempts_max: retry.attempts_max.unwrap_or(default.policy.attempts_max),
                backoff_min: span(retry.backoff_min, default.policy.backoff_min),
                backoff_max: span(retry.backoff_max, default.policy.backoff_max),
                in_doubt: match retry.in_doubt {
                    None => default.policy.in_doubt,
                    Some(InDoubtChoice::Retry) => InDoubt::Retry,
                    Some(InDoubtChoice::DeadLetter) => InDoubt::DeadLetter,
                },
            },
        }
    }
}

/// The HTTP side.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to listen, such as `127.0.0.1:8080`. Without it there is no HTTP side.
    #[serde(default, deserialize_with = "text::optional")]
    pub listen: Option<Listen>,
}

/// An address to listen on: a host or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Listen(pub String);

impl Text for Listen {
    const EXPECTED: &str = "an address with a port, such as 127.0.0.1:8080";

    fn read(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let fits = !host.is_empty() && port.parse::<u16>().is_ok();
        fits.then(|| Self(text.to_owned()))
    }
}

/// Logs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How lines look; when absent, `pretty` on a terminal and `json` elsewhere.
    #[serde(default)]
    pub format: Option<LogFormat>,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,mailbridge_graph=debug`; `info` when absent.
    #[serde(default, deserialize_with = "text::optional")]
    pub level: Option<Level>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For programs: one JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// What is logged, in the syntax of tracing's filters.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Level(pub String);

impl Text for Level {
    const EXPECTED: &str =
        "error, warn, info, debug, trace, or directives such as info,mailbridge_graph=debug";

    fn read(text: &str) -> Option<Self> {
        let filter = tracing_subscriber::EnvFilter::try_new(text);
        (!text.is_empty() && filter.is_ok()).then(|| Self(text.to_owned()))
    }
}

/// What is told to a person on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Nothing; for services. Outcomes are on their bus, failures in the log.
    #[default]
    None,
    /// A summary when the run ends.
    Summary,
    /// A line for each request that has ended and each event that is out, and the summary. Leave it
    /// off where a pipeline writes to standard output.
    Outcomes,
}
