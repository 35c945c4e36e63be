//! What a pipeline says about the requests that it makes of events. Keys are those of a request,
//! each with a template in the place of its value.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// How requests are made of events. Templates are those of MiniJinja (Jinja2); they see `event`, the
/// event's attributes and headers, and `data`, its payload.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Compose")]
pub struct Config {
    /// The folder of the template files. All of its files that end in `.txt`, `.html`, `.htm`,
    /// `.md`, `.csv`, `.j2` or `.jinja` are read at the start; templates include and extend each
    /// other by their paths in it.
    #[serde(default)]
    pub templates: Option<PathBuf>,
    /// An expression such as `event.type == "order.created" and data.total > 0`. An event for which
    /// it is false is no mail: it is settled, and nobody is told. Without it, every event is one.
    #[serde(default)]
    pub when: Option<String>,
    /// What to do with the mail; `send` when absent.
    #[serde(default)]
    pub operation: Operation,
    /// The request's id; the event's own identity when absent.
    #[serde(default)]
    pub id: Option<String>,
    /// The mailbox to send from; the pipeline's when absent or empty.
    #[serde(default)]
    pub mailbox: Option<String>,
    /// Do not send after this time (RFC 3339), such as `{{ event.time | plus("2h") }}`; no limit
    /// when absent or empty.
    #[serde(default)]
    pub not_after: Option<String>,
    /// With an answer: the id of the mail that is answered, such as `{{ data.message_id }}`.
    #[serde(default)]
    pub message: Option<String>,
    /// With an answer: whether the answered mail stands below the text; `true` when absent.
    #[serde(default)]
    pub quote: Option<bool>,
    /// Recipients: a template that gives addresses with commas between them, or a list of templates
    /// that give one each. An empty one gives none.
    #[serde(default)]
    pub to: Option<OneOrMany>,
    /// Recipients of a copy.
    #[serde(default)]
    pub cc: Option<OneOrMany>,
    /// Recipients that the others do not see.
    #[serde(default)]
    pub bcc: Option<OneOrMany>,
    /// Where answers go.
    #[serde(default)]
    pub reply_to: Option<OneOrMany>,
    /// Send in this name; the mailbox needs Send As or Send on Behalf.
    #[serde(default)]
    pub from: Option<String>,
    /// The subject. Line breaks of the template itself become blanks.
    #[serde(default)]
    pub subject: Option<String>,
    /// The plain text. With `html` too, both are sent.
    #[serde(default)]
    pub text: Option<Body>,
    /// The HTML text. What it takes from the event is escaped.
    #[serde(default)]
    pub html: Option<Body>,
    /// `low`, `normal` or `high`, or a template that gives one of them.
    #[serde(default)]
    pub importance: Option<String>,
    /// Outlook categories of the sent copy. An empty one is left out.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Up to five custom headers; names start with `x-`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// TemplateFiles.
    #[serde(default)]
    pub attachments: Vec<AttachmentTemplate>,
    /// Ask the reader's program for a receipt.
    #[serde(default)]
    pub read_receipt: bool,
    /// Ask the recipient's server for a receipt.
    #[serde(default)]
    pub delivery_receipt: bool,
    /// Keep a copy in Sent Items; `true` when absent. `false` needs `guarantee: at_least_once`.
    #[serde(default)]
    pub save_to_sent_items: Option<bool>,
}

/// What a composed request does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ComposeOperation")]
pub enum Operation {
    /// Sends a new mail.
    #[default]
    Send,
    /// Answers whoever wrote `message`.
    Reply,
    /// Answers whoever wrote it, and all its recipients.
    ReplyAll,
    /// Hands it on.
    Forward,
}

impl Operation {
    /// Its name in a request.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Reply => "reply",
            Self::ReplyAll => "reply_all",
            Self::Forward => "forward",
        }
    }
}

/// One template, or a list of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a template, or a list of templates")]
#[schemars(rename = "TemplateOrTemplates")]
pub enum OneOrMany {
    /// One that may give several.
    One(String),
    /// Each gives one.
    Many(Vec<String>),
}

/// A text: a template here, or in a file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a template, or `file` with its path below `templates`")]
#[schemars(rename = "TextTemplate")]
pub enum Body {
    /// Here.
    Inline(String),
    /// In a file.
    File(FileBody),
}

/// A template in a file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateFile")]
pub struct FileBody {
    /// Its path below the folder `templates`.
    pub file: String,
}

/// A file of a mail. One of `url`, `content` and `text` says what is in it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentTemplate {
    /// An expression that gives a list, such as `data.files`: one attachment for each, which
    /// templates see as `item`.
    #[serde(default)]
    pub for_each: Option<String>,
    /// An expression: whether there is this attachment. With `for_each` it sees `item`.
    #[serde(default)]
    pub when: Option<String>,
    /// The file's name, as the recipient sees it. With `url`, its last part when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Its media type.
    #[serde(default)]
    pub content_type: Option<String>,
    /// The id by which html names it as `cid:…`; makes it an inline image.
    #[serde(default)]
    pub content_id: Option<String>,
    /// Where its bytes are, below a place that the pipeline's `attachments` allow.
    #[serde(default)]
    pub url: Option<String>,
    /// With `url`: the SHA-256 of its bytes. Nothing is compared when it is empty.
    #[serde(default)]
    pub sha256: Option<String>,
    /// With `url`: how many bytes there are. Nothing is compared when it is empty.
    #[serde(default)]
    pub size: Option<String>,
    /// Its bytes in standard base64, such as `{{ data.pdf }}`.
    #[serde(default)]
    pub content: Option<String>,
    /// Its text, made by a template, in UTF-8.
    #[serde(default)]
    pub text: Option<Body>,
}
