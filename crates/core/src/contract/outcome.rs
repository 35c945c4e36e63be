//! What became of a request, as users receive it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bounce, CloudEvent, Key, Mark};
use crate::{Error, Mailbox, Position, port::Guarantee};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Graph has accepted the mail. A later refusal comes as a report to the sender's inbox.
    Accepted,
    /// It was not sent and will not be; a dead letter holds the original.
    Rejected,
    /// Its `not_after` had passed: it was not sent because it was too late; a dead letter holds the
    /// original.
    Expired,
    /// It may have been sent, and nobody can know; a dead letter holds the original.
    Unknown,
    /// It was sent, and a report in the sender's inbox says that somebody did not get it. Ends nothing:
    /// it comes after the request's own outcome, once for each report.
    Bounced,
}

impl Status {
    /// The text in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Bounced => "bounced",
        }
    }
}

/// The data of an outcome event.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OutcomeData {
    /// How it ended.
    pub status: Status,
    /// The request's key: its `id`, else CloudEvents `source#id`, else the bus's message id, else its
    /// position.
    pub key: String,
    /// The pipeline that handled it.
    pub pipeline: String,
    /// Where the request stood on its bus.
    pub position: String,
    /// The mailbox it was sent from; absent when the request did not get that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<Mailbox>,
    /// What the pipeline promises.
    pub guarantee: Guarantee,
    /// The mail's `Message-ID`, where Graph tells it (`sendMail` does not).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_message_id: Option<String>,
    /// How many tries this worker made.
    pub attempts: u32,
    /// Why it was not accepted: a code with a page in `docs/errors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it was a rehearsal (`dry_run`): nothing was sent or changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Of a mail that came back: who did not get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce: Option<Bounce>,
}

/// A CloudEvent of type `mailbridge.request.accepted`, `….rejected`, `….expired`, `….unknown` or
/// `….bounced`.
pub type Outcome = CloudEvent<OutcomeData>;

impl Outcome {
    /// An outcome's envelope. Its id is derived from the request and its position, and from the report
    /// where there is one, so that a replayed outcome is the same event.
    pub fn of(
        data: OutcomeData,
        mark: &Mark,
        traceparent: Option<String>,
        time: Timestamp,
    ) -> Self {
        let status = data.status.as_str();
        let mut what = format!("outcome:{status}:{}", data.position);
        if let Some(bounce) = &data.bounce {
            what = format!("{what}:{}", bounce.report);
        }
        let id = mark.derive(&what).to_string();
        let kind = format!("mailbridge.request.{status}");
        let (publisher, subject) = (data.pipeline.clone(), data.key.clone());
        Self { traceparent, ..Self::new(id, &publisher, kind, subject, time, data) }
    }
}

impl OutcomeData {
    /// An outcome for a request of this pipeline, with nothing known yet but its key and place.
    pub fn new(
        status: Status,
        pipeline: &str,
        guarantee: Guarantee,
        key: &Key,
        position: &Position,
    ) -> Self {
        Self {
            status,
            key: key.as_str().to_owned(),
            pipeline: pipeline.to_owned(),
            position: position.as_str().to_owned(),
            mailbox: None,
            guarantee,
            internet_message_id: None,
            attempts: 0,
            code: None,
            reason: None,
            dry_run: false,
            bounce: None,
        }
    }

    /// The same with the failure that ended it.
    #[must_use]
    pub fn because(mut self, error: &Error) -> Self {
        self.code = Some(error.code().as_str().to_owned());
        self.reason = Some(error.to_string());
        self
    }
}
