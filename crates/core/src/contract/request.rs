//! A send request: the model that the rest of the code works on, and the JSON that producers write.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Address;
use crate::Mailbox;

/// What a producer asks for, decoded and checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The producer's own id.
    pub id: Option<String>,
    /// The mailbox to do it in; the pipeline's when absent.
    pub mailbox: Option<Mailbox>,
    /// Do not do it after this.
    pub not_after: Option<Timestamp>,
    /// What to do.
    pub operation: Operation,
}

/// What can be asked for. Adding one makes the compiler name every place that must know it.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Send a mail.
    Send(OutgoingMail),
}

/// A mail to send.
#[derive(Clone, Debug)]
pub enum OutgoingMail {
    /// From parts.
    Composed(Box<Composed>),
    /// Ready made.
    Mime(MimeMail),
}

impl OutgoingMail {
    /// Whether the sent copy stays in Sent Items.
    pub fn save_to_sent_items(&self) -> bool {
        match self {
            Self::Composed(mail) => mail.save_to_sent_items,
            Self::Mime(_) => true,
        }
    }
}

/// An RFC 5322 message.
#[derive(Clone)]
pub struct MimeMail {
    /// The message as it was given.
    pub raw: Bytes,
}

impl fmt::Debug for MimeMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MimeMail").field("bytes", &self.raw.len()).finish()
    }
}

/// A mail from parts.
#[derive(Clone)]
pub struct Composed {
    /// Recipients.
    pub to: Vec<Address>,
    /// Recipients of a copy.
    pub cc: Vec<Address>,
    /// Recipients that the others do not see.
    pub bcc: Vec<Address>,
    /// Where answers go.
    pub reply_to: Vec<Address>,
    /// Send in this name; the mailbox needs Send As or Send on Behalf.
    pub from: Option<Address>,
    /// The subject; may be empty.
    pub subject: String,
    /// The text.
    pub body: Body,
    /// Low, normal or high.
    pub importance: Option<Importance>,
    /// Outlook categories of the sent copy.
    pub categories: Vec<String>,
    /// Custom headers, `x-…`.
    pub headers: BTreeMap<String, String>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// Ask the reader's program for a receipt.
    pub read_receipt: bool,
    /// Ask the recipient's server for a receipt.
    pub delivery_receipt: bool,
    /// Whether the sent copy stays in Sent Items.
    pub save_to_sent_items: bool,
}

impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composed")
            .field("recipients", &(self.to.len() + self.cc.len() + self.bcc.len()))
            .field("attachments", &self.attachments.len())
            .finish_non_exhaustive()
    }
}

/// The text of a mail.
#[derive(Clone)]
pub enum Body {
    /// Plain text.
    Text(String),
    /// HTML.
    Html(String),
    /// Both; goes as `multipart/alternative`.
    Both {
        /// The plain text.
        text: String,
        /// The HTML.
        html: String,
    },
}

/// How important a mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// Low.
    Low,
    /// Normal.
    Normal,
    /// High.
    High,
}

/// A file in a request.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// The file's name, as the recipient sees it.
    pub name: String,
    /// Its media type; `application/octet-stream` when absent.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Its bytes in standard base64.
    pub content: String,
    /// The id by which html names it as `cid:…`; makes it an inline image.
    #[serde(default)]
    pub content_id: Option<String>,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("base64_bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// A send request as JSON.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mailbridge send request")]
pub struct SendRequest {
    /// What to do; `send` when absent.
    #[serde(default)]
    pub(crate) operation: Option<SendTag>,
    /// The producer's own id, 1 to 512 characters. Two requests of one pipeline with the same id are
    /// the same mail.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// The mailbox to send from; the pipeline's when absent.
    #[serde(default)]
    pub(crate) mailbox: Option<Mailbox>,
    /// Do not send after this time (RFC 3339).
    #[serde(default, deserialize_with = "time")]
    pub(crate) not_after: Option<Timestamp>,
    /// Recipients. `to`, `cc` and `bcc` together hold 1 to 500.
    #[serde(default)]
    pub(crate) to: Addresses,
    /// Recipients of a copy.
    #[serde(default)]
    pub(crate) cc: Addresses,
    /// Recipients that the others do not see.
    #[serde(default)]
    pub(crate) bcc: Addresses,
    /// Where answers go.
    #[serde(default)]
    pub(crate) reply_to: Addresses,
    /// Send in this name; the mailbox needs Send As or Send on Behalf.
    #[serde(default)]
    pub(crate) from: Option<Address>,
    /// The subject, up to 255 characters.
    #[serde(default)]
    pub(crate) subject: Option<String>,
    /// The plain text. With `html` too, both are sent.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// The HTML text.
    #[serde(default)]
    pub(crate) html: Option<String>,
    /// A whole RFC 5322 message in base64, instead of all the fields of a mail.
    #[serde(default)]
    pub(crate) mime: Option<String>,
    /// How important it is.
    #[serde(default)]
    pub(crate) importance: Option<Importance>,
    /// Outlook categories of the sent copy.
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    /// Up to five custom headers; names start with `x-`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Files, each under 3 MB.
    #[serde(default)]
    pub(crate) attachments: Vec<Attachment>,
    /// Ask the reader's program for a receipt.
    #[serde(default)]
    pub(crate) read_receipt: bool,
    /// Ask the recipient's server for a receipt.
    #[serde(default)]
    pub(crate) delivery_receipt: bool,
    /// Keep a copy in Sent Items; `true` when absent. `false` needs `guarantee: at_least_once`.
    #[serde(default)]
    pub(crate) save_to_sent_items: Option<bool>,
}

/// The `operation` of a [`SendRequest`].
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SendTag {
    /// Send a mail.
    Send,
}

/// One address, or a list of them.
#[derive(Default, JsonSchema)]
#[schemars(with = "OneOrMany")]
pub(crate) struct Addresses(pub(crate) Vec<Address>);

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum OneOrMany {
    One(Address),
    Many(Vec<Address>),
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses(vec![Address::parse(text)]))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<Addresses, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                Ok(Addresses(vec![Address::deserialize(map)?]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                seq: A,
            ) -> Result<Addresses, A::Error> {
                let seq = serde::de::value::SeqAccessDeserializer::new(seq);
                Ok(Addresses(Vec::deserialize(seq)?))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A time, refused in words of our own: the parser's repeat what was given.
fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom("expected an RFC 3339 time such as 2026-01-31T12:00:00Z")
    })
}
