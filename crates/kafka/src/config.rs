//! What a user writes about Kafka, and what can be said about it without a connection.
//!
//! Reads no secret and opens nothing. Every refusal carries the key it is about in the field `key`.

mod create;

use std::{collections::BTreeMap, path::PathBuf};

use mailbridge_core::{
    Code, Error, Labels, Needs, Result, SecretSource, Span, Template, plugin::WantsTokens,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use create::{Create, TopicSettings};

/// How to reach a Kafka cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses, such as `kafka-1.example:9092`. More of the same cluster are learnt from the
    /// first that answers.
    #[schemars(length(min = 1))]
    pub brokers: Vec<String>,
    /// Speaks TLS. `tls: {}` trusts the system's certificates.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who we are. Without it, whoever the certificate names, or nobody.
    #[serde(default)]
    pub sasl: Option<Sasl>,
    /// What the brokers call this client in their logs and quotas.
    #[serde(default = "client_id")]
    pub client_id: String,
    /// Properties of librdkafka, by its own names, such as `socket.timeout.ms`. What mailbridge's
    /// promises rest on cannot be set here.
    #[serde(default)]
    pub options: BTreeMap<String, Scalar>,
}

fn client_id() -> String {
    "mailbridge".to_owned()
}

/// How the connection is protected.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificates (PEM) that brokers are checked against, in place of the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Our own certificate (PEM), with `key`.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The key (PEM) of our certificate.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// What the key's file is encrypted with.
    #[serde(default)]
    pub key_password: Option<SecretSource>,
}

/// Who we are, to the brokers: a user with a password, or with `oauthbearer` a token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How it is proved.
    pub mechanism: Mechanism,
    /// The user's name; Azure Event Hubs asks for `$ConnectionString`.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password, read again when a client is made.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// The token. A file is read again each time the brokers want another.
    #[serde(default)]
    pub token: Option<SecretSource>,
    /// In place of `token`: the connection by whose credentials tokens are got from Microsoft Entra,
    /// as Azure Event Hubs takes them.
    #[serde(default)]
    pub connection: Option<String>,
    /// With `connection`: what tokens are asked for; `https://HOST/.default` of the first broker when
    /// absent, which is right for Azure Event Hubs only.
    #[serde(default)]
    pub scope: Option<String>,
}

impl Sasl {
    /// `hubs`: the brokers are of Azure Event Hubs.
    fn check(&self, hubs: bool) -> Result<()> {
        let Self { user, password, token, connection, scope, .. } = self;
        if !self.is_token() {
            let only = "given with `oauthbearer` only";
            return match (user, password, token, connection, scope) {
                (_, _, Some(_), ..) => Err(wrong("sasl.token", only)),
                (_, _, _, Some(_), _) => Err(wrong("sasl.connection", only)),
                (.., Some(_)) => Err(wrong("sasl.scope", only)),
                (Some(_), Some(_), ..) => Ok(()),
                (None, ..) => Err(wrong("sasl.user", "given with this mechanism")),
                (_, None, ..) => Err(wrong("sasl.password", "given with this mechanism")),
            };
        }
        let resource = scope.as_ref().map(|it| it.strip_suffix("/.default").unwrap_or_default());
        match (user, password, token, connection, resource) {
            (Some(_), ..) => Err(wrong("sasl.user", "left out with `oauthbearer`")),
            (_, Some(_), ..) => Err(wrong("sasl.password", "left out with `oauthbearer`")),
            (.., Some(_), Some(_), _) => Err(wrong("sasl.token", "left out with `connection`")),
            (.., None, None, _) => {
                Err(wrong("sasl.connection", "given, or `sasl.token` in its place"))
            }
            (.., None, Some(_)) => Err(wrong("sasl.scope", "given with `connection` only")),
            (.., Some("")) => Err(wrong("sasl.scope", "a resource followed by `/.default`")),
            (.., Some(_), None) if !hubs => Err(wrong(
                "sasl.scope",
                "given, such as `api://ID/.default`: the brokers are not Azure Event Hubs",
            )),
            _ => Ok(()),
        }
    }

    /// Whether brokers are shown a token.
    pub(crate) fn is_token(&self) -> bool {
        matches!(self.mechanism, Mechanism::OAuthBearer)
    }
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// The password itself goes over the connection: use it with `tls`.
    Plain,
    /// Proved without sending the password.
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// The same, with a longer hash.
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
    /// A token (RFC 7628): from a file that something else keeps fresh, or by a connection.
    #[serde(rename = "oauthbearer")]
    OAuthBearer,
}

/// A property's value: text, number or truth value, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected text, a whole number, or true or false")]
pub enum Scalar {
    /// `true` or `false`.
    Truth(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

impl Scalar {
    /// As librdkafka reads it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Which records to read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The topics.
    #[schemars(length(min = 1))]
    pub topics: Vec<String>,
    /// The consumer group. Workers that share it share the partitions.
    pub group: String,
    /// Where a group begins that has committed nothing yet.
    #[serde(default)]
    pub start: Start,
    /// Whether to make a topic that is missing: `false`, `true`, or the settings to make it with.
    #[serde(default)]
    pub create: Create,
    /// This worker's own name in the group, the same after each start and another for each worker
    /// (Kafka's `group.instance.id`): its partitions wait for it while it restarts.
    #[serde(default)]
    pub instance: Option<String>,
    /// How many records of one partition may be open at once: in flight, or waiting for their next
    /// try. At this number the partition is paused, and the others go on. 1000 where it is not given.
    #[serde(default = "open_max")]
    pub open_max: u32,
    /// How long a partition that goes to another worker may wait for the mails that are just being
    /// sent. What is not done by then is looked for in the mailbox by the other worker.
    #[serde(default = "drain")]
    pub drain: Span,
}

const fn open_max() -> u32 {
    1000
}

const fn drain() -> Span {
    Span::from_secs(2)
}

/// Where a group begins that has committed nothing yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the oldest record that is kept: nothing is left out.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
}

/// Where to publish.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "TargetKeys")]
pub struct Target {
    /// The topic, or a template such as `mail.received.{mailbox}`.
    #[schemars(with = "String")]
    pub topic: Template,
    /// The records' key, such as `{mailbox}`, in place of the message's own, which is what the
    /// message is about.
    #[schemars(with = "Option<String>")]
    pub key: Option<Template>,
    /// Whether to make a topic that is missing.
    pub create: Create,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TargetKeys {
    topic: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    create: Create,
}

impl Target {
    /// One topic, which is not a template.
    pub(crate) fn to(topic: &str, create: Create) -> Result<Self> {
        Self::try_from(TargetKeys { topic: topic.to_owned(), key: None, create })
    }
}

impl TryFrom<TargetKeys> for Target {
    type Error = Error;

    fn try_from(TargetKeys { topic, key, create }: TargetKeys) -> Result<Self> {
        let template = |at, text: &str| Template::new(text).map_err(|error| error.with("key", at));
        let key = key.map(|key| template("key", &key)).transpose()?;
        let topic = template("topic", &topic)?;
        topic_fits("topic", &topic_of(&topic, &Labels::default()))?;
        Ok(Self { topic, key, create })
    }
}

/// Where to keep state.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "StoreKeys")]
pub struct Store {
    /// The topic, of one partition, compacted. What is not kept forever, as the ledger of `dedupe`
    /// is not, goes to one beside it, whose name ends in `.ageing`; the leases of workers that share
    /// mailboxes go to one whose name ends in `.leases`.
    pub topic: String,
    /// Whether to make the topic if it is missing.
    pub create: Create,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StoreKeys {
    topic: String,
    #[serde(default)]
    create: Create,
}

impl TryFrom<StoreKeys> for Store {
    type Error = Error;

    fn try_from(StoreKeys { topic, create }: StoreKeys) -> Result<Self> {
        topic_fits("topic", &topic)?;
        if create.settings().is_some_and(|settings| settings.partitions.is_some_and(|n| n != 1)) {
            return Err(wrong("create.partitions", "left out: a topic of state has one"));
        }
        Ok(Self { topic, create })
    }
}

impl Config {
    /// Which of a connection's tokens let us in, if they do.
    pub(crate) fn wants_tokens(&self) -> Option<WantsTokens> {
        let Sasl { connection, scope, .. } = self.sasl.as_ref()?;
        let resource = match scope {
            Some(scope) => scope.strip_suffix("/.default")?.to_owned(),
            None => format!("https://{}", self.brokers.first()?.rsplit_once(':')?.0),
        };
        Some(WantsTokens { connection: connection.clone()?, resource })
    }

    /// What can be said offline.
    pub(crate) fn check(&self) -> Result<()> {
        if self.brokers.is_empty() {
            return Err(wrong("brokers", "a list of one or more addresses"));
        }
        self.brokers.iter().try_for_each(|broker| address_fits(broker))?;
        if let Some(tls) = &self.tls
            && tls.cert.is_some() != tls.key.is_some()
        {
            return Err(wrong("tls.key", "given together with `tls.cert`, or neither"));
        }
        let hubs = self.brokers.iter().any(|broker| is_event_hubs(broker));
        if hubs && self.tls.is_none() {
            return Err(wrong("tls", "given: Azure Event Hubs speaks nothing else"));
        }
        self.sasl.as_ref().map_or(Ok(()), |sasl| sasl.check(hubs))
    }
}

/// Whether a broker is a namespace of Azure Event Hubs, in whatever cloud.
fn is_event_hubs(broker: &str) -> bool {
    broker.contains(".servicebus.")
}

impl Source {
    /// What can be said offline.
    pub(crate) fn check(&self, needs: &Needs) -> Result<()> {
        if self.topics.is_empty() {
            return Err(wrong("topics", "a list of one or more topics"));
        }
        self.topics.iter().try_for_each(|topic| topic_fits("topics", topic))?;
        if self.group.trim().is_empty() {
            return Err(wrong("group", "the consumer group's name"));
        }
        if (self.open_max as usize) < needs.in_flight {
            let error = wrong("open_max", "at least what may be in flight");
            return Err(error.with("in_flight", needs.in_flight));
        }
        Ok(())
    }
}

/// `host:port`, as librdkafka reads it, without a scheme and without credentials.
fn address_fits(broker: &str) -> Result<()> {
    let expected = "addresses such as `kafka-1.example:9092`, without a scheme and credentials";
    let port = broker.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/@,".contains(c);
    if port.is_none_or(|port| port == 0) || broker.starts_with(':') || broker.contains(strange) {
        return Err(wrong("brokers", expected));
    }
    Ok(())
}

/// The topic for a message: what a topic cannot be called becomes `_`, such as the `@` of a mailbox.
pub(crate) fn topic_of(template: &Template, labels: &Labels) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let write = |value: &str| value.chars().map(|c| if legal(c) { c } else { '_' }).collect();
    template.fill(labels, "none", write)
}

/// A topic's name. Rules: Kafka's `Topic.validate`.
fn topic_fits(key: &'static str, topic: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let dots = topic == "." || topic == "..";
    if topic.is_empty() || topic.len() > 249 || dots || !topic.chars().all(legal) {
        return Err(wrong(key, "1 to 249 characters of `[A-Za-z0-9._-]`"));
    }
    Ok(())
}

/// A wrong value under a key: what was expected there.
pub(crate) fn wrong(key: impl std::fmt::Display, expected: &str) -> Error {
    Error::permanent(Code::ConfigInvalid, format!("`{key}` must be {expected}")).with("key", key)
}

#[cfg(test)]
mod tests;
