//! What a user writes about NATS, and what can be said about it without a connection.
//!
//! Reads no secret and opens nothing. Every refusal carries the key it is about in the field `key`.

use std::{fmt, path::PathBuf, time::Duration};

use mailbridge_core::{Code, Error, Needs, Result, SecretSource, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, value::MapAccessDeserializer},
};

mod target;

pub use target::Target;

/// How to reach a NATS account.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses, such as `nats://127.0.0.1:4222` or `tls://nats.example:4222`. More of the same
    /// cluster are learnt from the first that answers.
    #[schemars(length(min = 1))]
    pub servers: Vec<String>,
    /// Who we are. Without it, an anonymous client.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How the connection is protected. Without it, as the server asks for.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// How long one attempt to connect may take.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// What the server calls this connection in its reports.
    #[serde(default = "connection_name")]
    pub name: String,
    /// The JetStream domain, where it is not the server's own.
    #[serde(default)]
    pub domain: Option<String>,
    /// The prefix of the JetStream API, where it was imported under another than `$JS.API`.
    #[serde(default)]
    pub api_prefix: Option<String>,
}

const fn connect_timeout() -> Span {
    Span::from_secs(5)
}

fn connection_name() -> String {
    "mailbridge".to_owned()
}

/// Who we are: exactly one of user with password, token, nkey, credentials. Read again at each
/// connection, so a rotated file is taken up without a restart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The user's name, with `password`.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// A token.
    #[serde(default)]
    pub token: Option<SecretSource>,
    /// The seed of a user's nkey (`SU…`).
    #[serde(default)]
    pub nkey: Option<SecretSource>,
    /// The content of a `.creds` file (a JWT and its seed); give it as `{ file: … }`.
    #[serde(default)]
    pub credentials: Option<SecretSource>,
}

/// How the connection is protected.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificates (PEM) that servers are checked against, in place of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Our own certificate (PEM), with `key`.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The key (PEM) of our certificate.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Refuse a server that does not speak TLS. On by default, since the section is there.
    #[serde(default = "yes")]
    pub require: bool,
    /// Speak TLS before the server's greeting, for servers with `handshake_first`.
    #[serde(default)]
    pub first: bool,
}

const fn yes() -> bool {
    true
}

/// Which messages to read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The stream.
    pub stream: String,
    /// The durable pull consumer. Workers that share it share the work.
    pub consumer: String,
    /// The subjects to take from the stream; none means all.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Whether to make what is missing: `false`, `true`, or the limits to make a stream with.
    #[serde(default)]
    pub create: Create,
    /// How long the server waits for an acknowledgement before it hands a message out again. Where
    /// it is not given: 60s or twice the deadline of one attempt, and anything longer than that
    /// deadline is taken.
    #[serde(default)]
    pub ack_wait: Option<Span>,
    /// How many messages may be waiting for an acknowledgement, over all workers; a consumer that
    /// is made gets 100,000 where it is not given. All that is in flight counts, and all that was
    /// sent back to wait: for a throttled mailbox, for a back-off, for a doubt to settle (the
    /// metric `mailbridge_requests_waiting`). At this number the server hands out nothing new, for
    /// whichever mailbox, until something of that is done.
    #[serde(default)]
    pub max_ack_pending: Option<u32>,
}

/// Where to keep state.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The KV bucket. What is not kept forever, as the ledger of `dedupe` is not, goes to one beside
    /// it, whose name ends in `_ageing`.
    pub bucket: String,
    /// Whether to make the bucket if it is missing.
    #[serde(default)]
    pub create: Create,
}

/// Whether to make what is missing, and with what limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create(Option<Limits>);

impl Create {
    /// Making, with these limits.
    pub const fn with(limits: Limits) -> Self {
        Self(Some(limits))
    }

    /// Whether something may be made or repaired.
    pub const fn asked(&self) -> bool {
        self.0.is_some()
    }

    /// The limits, where something may be made.
    pub const fn limits(&self) -> Option<&Limits> {
        self.0.as_ref()
    }
}

/// What a stream or bucket is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Where messages are kept.
    pub storage: Storage,
    /// How many servers of a cluster keep a copy; one where it is not given.
    pub replicas: Option<u8>,
    /// When a message goes. Where it is not given, a source's stream forgets what is done
    /// (`work_queue`), and a target's keeps everything (`limits`).
    pub retention: Option<Retention>,
    /// The age at which messages go; never where it is not given.
    pub max_age: Option<Span>,
    /// The bytes above which the oldest messages go; none where it is not given.
    pub max_bytes: Option<u64>,
    /// For how long repeated ids are dropped; two minutes where it is not given.
    pub duplicate_window: Option<Span>,
}

/// Where messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory: gone with the server.
    Memory,
}

/// When a stream lets a message go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// When it is acknowledged. One consumer for each subject.
    WorkQueue,
    /// When every consumer has acknowledged it.
    Interest,
    /// When a limit is reached.
    Limits,
}

impl<'de> Deserialize<'de> for Create {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Create;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false`, or the limits to make it with")
            }

            fn visit_bool<E>(self, asked: bool) -> Result<Create, E> {
                Ok(Create(asked.then(Limits::default)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Create, A::Error> {
                Limits::deserialize(MapAccessDeserializer::new(map)).map(Create::with)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Create {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Create".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "whether to make what is missing, and with what limits",
            "default": false,
            "oneOf": [{ "type": "boolean" }, generator.subschema_for::<Limits>()]
        })
    }
}

impl Source {
    /// How long the server must wait for an acknowledgement at least: one attempt and a quarter, so
    /// that a mail that was just sent is acknowledged before it is handed out again.
    pub(crate) fn ack_wait_min(needs: &Needs) -> Duration {
        needs.deadline + needs.deadline / 4
    }

    /// What can be said offline.
    pub(crate) fn check(&self, needs: &Needs) -> Result<()> {
        name_fits("stream", &self.stream)?;
        name_fits("consumer", &self.consumer)?;
        for subject in &self.subjects {
            subject_fits("subjects", subject)?;
        }
        let least = Self::ack_wait_min(needs);
        if self.ack_wait.is_some_and(|wait| wait.get() < least) {
            let error = wrong(
                "ack_wait",
                "longer than one attempt and a quarter, or the server hands the request out again \
                 while it is being sent",
            );
            return Err(error
                .with("attempt", Span::from(needs.deadline))
                .with("at_least", Span::from(least)));
        }
        if self.max_ack_pending.is_some_and(|max| (max as usize) < needs.in_flight) {
            let error = wrong("max_ack_pending", "at least what may be in flight");
            return Err(error.with("in_flight", needs.in_flight));
        }
        Ok(())
    }
}

/// A name of a stream or consumer. Rules: docs.nats.io, JetStream naming.
fn name_fits(key: &'static str, name: &str) -> Result<()> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "./\\*>".contains(c);
    if name.is_empty() || name.contains(forbidden) {
        return Err(wrong(key, "a name without spaces and without `.`, `*`, `>`, `/` and `\\`"));
    }
    Ok(())
}

/// A subject, wildcards allowed. Rules: docs.nats.io, subject-based messaging.
fn subject_fits(key: &'static str, subject: &str) -> Result<()> {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        let last = tokens.peek().is_none();
        let wild = token.contains(['*', '>']);
        let good_wildcard = token == "*" || (token == ">" && last);
        if token.is_empty() || token.contains(char::is_whitespace) || (wild && !good_wildcard) {
            return Err(wrong(
                key,
                "words joined by dots; `*` stands for one, a last `>` for many",
            ));
        }
    }
    Ok(())
}

/// A wrong value under a key: what was expected there.
pub(crate) fn wrong(key: &'static str, expected: &str) -> Error {
    Error::permanent(Code::ConfigInvalid, format!("`{key}` must be {expected}")).with("key", key)
}

#[cfg(test)]
mod tests;
