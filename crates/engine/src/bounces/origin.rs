//! What a mail carries of its request, so that the mailbox alone tells whose it was: also after a
//! restart, also to another worker.
//!
//! Nothing of it is a secret of the mail. But whoever reads the mailbox with the right tool can read
//! it, so it holds what an outcome says anyway, and no more.

use mailbridge_core::{
    Code, Error, Guarantee, Mailbox, Position, Result,
    contract::{Bounce, Key, Mark, Outcome, OutcomeData, Status},
};
use serde::{Deserialize, Serialize};

/// A request, as its mail remembers it.
#[derive(Serialize, Deserialize)]
pub struct Origin {
    pub pipeline: String,
    pub key: String,
    pub position: String,
    pub mark: String,
    pub guarantee: Guarantee,
    /// Which try made the mail.
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Origin {
    /// One line of JSON.
    pub fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// Nothing, if it is no such text: somebody else may use the property.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The outcome of this request's mail having come back.
    pub fn bounced(
        self,
        mailbox: &Mailbox,
        internet_message_id: String,
        bounce: Bounce,
    ) -> Result<Outcome> {
        let mark = Mark::read(&self.mark).ok_or_else(|| {
            Error::permanent(Code::Internal, "a sent mail's origin has a mark that is none")
        })?;
        let (key, position) = (Key::of_id(&self.key), Position::new(self.position));
        let status = bounce.recipients.iter().find_map(|it| it.status.clone());
        let error = Error::permanent(Code::MailBounced, "a report says that it was not delivered")
            .with("recipients", bounce.recipients.len());
        let error = match status {
            Some(status) => error.with("status", status),
            None => error,
        };
        let time = bounce.received;
        let mut data =
            OutcomeData::new(Status::Bounced, &self.pipeline, self.guarantee, &key, &position);
        data.mailbox = Some(mailbox.clone());
        data.internet_message_id = Some(internet_message_id);
        data.attempts = self.attempts;
        data.bounce = Some(bounce);
        Ok(Outcome::of(data.because(&error), &mark, self.traceparent, time))
    }
}
