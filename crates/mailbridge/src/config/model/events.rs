//! A pipeline of kind `events` as users write it.

mod settings;

use std::{borrow::Cow, fmt};

use mailbridge_attachments::Place;
use mailbridge_core::{Mailbox, Span, changes::Bodies, contract::Change};
use mailbridge_engine::events::{
    Start,
    encode::{Form, Format},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};
use serde_json::Value;

use crate::config::{
    size::Size,
    text::{self, Text},
};

/// What happens in mailboxes, published as events.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the ends on buses are taken from the section as it stands")]
pub struct EventsSection {
    /// The connection that reads the mailboxes.
    pub connection: String,
    /// Whose mail: a list of mailboxes, or a rule that names them.
    pub mailboxes: Mailboxes,
    /// Folders by well-known names or display names, as paths from the top: `inbox`,
    /// `inbox/Orders`, `inbox/*` for any one folder below, `inbox/**` for it and all below; the inbox
    /// when absent.
    #[serde(default)]
    pub folders: Option<Vec<String>>,
    /// What was there before the first run: `now` leaves it out (when absent), `all` publishes it,
    /// a time such as 2026-01-01T00:00:00Z publishes what was received since then.
    #[serde(default, deserialize_with = "text::optional")]
    #[schemars(with = "Option<String>")]
    pub start: Option<Start>,
    /// What is told: `received`, `updated`, `moved`, `deleted`; only `received` when absent.
    #[serde(default)]
    pub changes: Option<Vec<Change>>,
    /// How often a mailbox is looked at, if nothing wakes; 30s when absent. A busy one is looked at
    /// more often.
    #[serde(default)]
    pub every: Option<Span>,
    /// With `wake`: how often a mailbox is looked at all the same, because notifications get lost;
    /// 10m when absent.
    #[serde(default)]
    pub backstop: Option<Span>,
    /// What makes a mailbox be looked at as soon as something happens there. Without it, `every`.
    #[serde(default)]
    pub wake: Option<Wake>,
    /// An expression over the event, such as `data.importance == "high"`, as in `compose`: events for
    /// which it is false are not published.
    #[serde(default)]
    pub when: Option<String>,
    /// Which forms of the body events hold; `text` when absent. `both` costs a request more for each
    /// mail.
    #[serde(default)]
    pub body: Option<Bodies>,
    /// How large a body may be inside the event; 256KiB when absent. Beyond that it is put into
    /// `store`, or left out, and the event says so.
    #[serde(default)]
    pub body_max: Option<Size>,
    /// Whether events hold the internet headers.
    #[serde(default)]
    pub headers: bool,
    /// The mail as MIME, of `received` only.
    #[serde(default)]
    pub mime: MimeChoice,
    /// What events hold of attachments; their content of `received` only.
    #[serde(default)]
    pub attachments: AttachmentsChoice,
    /// Where large content is put: `s3://bucket/path/`, `az://container/path/`, `gs://bucket/path/`,
    /// `file:///folder/`, or `nats-object://bucket/` with the `bus` that has it.
    #[serde(default)]
    pub store: Option<Place>,
    /// What the data of an event is; `normalised` when absent, as `mailbridge schema event` has it.
    #[serde(default)]
    pub format: Format,
    /// How an event is put into a message; `structured` when absent.
    #[serde(default)]
    pub event: Form,
    /// What is done to a mail once its event is out.
    #[serde(default)]
    pub after: Option<After>,
    /// Where events go: `bus`, and the keys of its plugin. An address may name {mailbox}, {folder},
    /// {change} and {pipeline}.
    pub to: Value,
    /// Where it is told of mails that no event can be made of: `bus`, and the keys of its plugin.
    /// Without it they are in the log only.
    #[serde(default)]
    pub dead_letters: Option<Value>,
    /// Mails in one answer of Graph, 1 to 1000; 100 when absent.
    #[serde(default)]
    pub page_size: Option<u32>,
    /// Mailboxes that are looked at at the same time, 1 to 1000; 16 when absent.
    #[serde(default)]
    pub at_once: Option<usize>,
    /// How long a worker that falls silent keeps its share of the mailboxes, 2s to 5m; 15s when
    /// absent. Workers that run this pipeline with `state` on the same bus share its mailboxes.
    #[serde(default)]
    pub lease: Option<Span>,
    /// How long a soft stop waits for what is being published; 25s when absent.
    #[serde(default)]
    pub drain: Option<Span>,
}

/// Whose mail.
pub enum Mailboxes {
    /// These.
    Listed(Vec<Mailbox>),
    /// Those that a rule names.
    Rule(MailboxRule),
}

/// A rule that names mailboxes: `users` or `group`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailboxRule {
    /// Users that a filter of the directory (OData) lets through, such as
    /// `department eq 'Support'`. Needs the permission User.Read.All.
    #[serde(default)]
    pub users: Option<String>,
    /// The object id of a group, whose members are meant, also indirect ones. Needs the permission
    /// GroupMember.Read.All.
    #[serde(default)]
    pub group: Option<String>,
    /// How often the directory is asked again; 1h when absent.
    #[serde(default)]
    pub rediscover: Option<Span>,
}

impl<'de> Deserialize<'de> for Mailboxes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Mailboxes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of mailboxes, or { users: FILTER } or { group: ID }")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Mailboxes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Mailboxes::Listed)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, keys: A) -> Result<Mailboxes, A::Error> {
                MailboxRule::deserialize(MapAccessDeserializer::new(keys)).map(Mailboxes::Rule)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Mailboxes {
    fn schema_name() -> Cow<'static, str> {
        "Mailboxes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let listed = generator.subschema_for::<Vec<Mailbox>>();
        let rule = generator.subschema_for::<MailboxRule>();
        json_schema!({ "anyOf": [listed, rule] })
    }
}

impl Text for Start {
    const EXPECTED: &str = "now, all, or a time such as 2026-01-01T00:00:00Z";

    fn read(text: &str) -> Option<Self> {
        match text {
            "now" => Some(Self::Now),
            "all" => Some(Self::All),
            _ => text.parse().ok().map(Self::At),
        }
    }
}

/// What wakes.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wake {
    /// Graph calls this program when something happens: change notifications.
    Webhook(Webhook),
    /// Graph puts the same into an event hub of Azure, which is read as a topic: nothing of this
    /// program is reached from the internet.
    EventHub(EventHub),
}

/// Where Graph reaches the HTTP side of this program.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The URL that leads, from the internet, to `http.listen`; `/notifications/PIPELINE` follows.
    /// https, with a certificate that Microsoft trusts.
    pub public_url: String,
}

/// The event hub that Graph fills.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventHub {
    /// The hub as Graph is told of it:
    /// `EventHub:https://NAMESPACE.servicebus.windows.net/eventhubname/HUB?tenantId=DOMAIN`.
    pub url: String,
    /// Where the hub is read: `bus`, and the keys of its plugin. Pipelines of other programs that
    /// read the same hub need a consumer group of their own.
    #[expect(dead_code, reason = "taken from the section as it stands")]
    pub from: Value,
}

/// Whether events hold the mail as MIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MimeChoice {
    /// No.
    #[default]
    No,
    /// Inside the event up to `body_max`, else in the store, if there is one.
    Inline,
    /// In the store.
    Store,
}

impl<'de> Deserialize<'de> for MimeChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = MimeChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false, inline or store")
            }

            fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<MimeChoice, E> {
                let other = de::Unexpected::Other("true");
                if wanted { Err(E::invalid_value(other, &self)) } else { Ok(MimeChoice::No) }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MimeChoice, E> {
                match text {
                    "inline" => Ok(MimeChoice::Inline),
                    "store" => Ok(MimeChoice::Store),
                    _ => Err(E::invalid_value(de::Unexpected::Other("another text"), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for MimeChoice {
    fn schema_name() -> Cow<'static, str> {
        "Mime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`inline` is inside the event up to `body_max`, else in `store`",
            "enum": [false, "inline", "store"]
        })
    }
}

/// What events hold of attachments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentsChoice {
    /// Nothing.
    #[default]
    None,
    /// What they are: name, type, size.
    Metadata,
    /// Their content too, each inside the event up to this size, else in `store`, if there is one.
    Inline(Size),
    /// Their content too, in `store`.
    Store,
}

/// What is done to a mail once its event is out. Doing it again changes nothing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Marks it read.
    #[serde(default)]
    pub mark_read: bool,
    /// Adds these categories.
    #[serde(default)]
    pub categorize: Vec<String>,
    /// Moves it to a folder: a well-known name such as `archive`, or a folder's id.
    #[serde(default, rename = "move")]
    pub move_to: Option<String>,
    /// Deletes it: it goes to Deleted Items.
    #[serde(default)]
    pub delete: bool,
}
