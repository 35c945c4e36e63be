//! Mails that no event can be made of: told by their ids, so that somebody looks, and never in the way
//! of the others.

use jiff::Timestamp;
use mailbridge_core::{
    Error, Mailbox, Result,
    contract::{CloudEvent, MessageId},
};
use serde::Serialize;

use super::content::digest;
use crate::{host::OutputHost, metric};

/// Where such mails are told.
pub(super) struct Quarantine {
    pub(super) pipeline: String,
    pub(super) dead_letters: Option<OutputHost>,
}

/// The data of an event of type `mailbridge.mail.quarantined`.
#[derive(Serialize)]
struct Quarantined<'a> {
    mailbox: &'a Mailbox,
    folder: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a MessageId>,
    code: &'static str,
    reason: String,
    cure: &'static str,
}

impl Quarantine {
    /// Tells of one. Durable when it returns, where there is a place for it.
    ///
    /// # Errors
    /// The place cannot be published to for now.
    pub(super) async fn put(
        &self,
        mailbox: &Mailbox,
        folder: &str,
        id: Option<&MessageId>,
        error: &Error,
    ) -> Result<()> {
        let (pipeline, code, cure) = (&self.pipeline, error.code(), error.code().cure());
        if let Some(dead_letters) = &self.dead_letters {
            let reason = error.to_string();
            let message_id = id;
            let code = code.as_str();
            let data = Quarantined { mailbox, folder, message_id, code, reason, cure };
            let kind = "mailbridge.mail.quarantined".to_owned();
            let key = event_key(mailbox, folder, id, code);
            let subject = id.map_or_else(|| mailbox.to_string(), |id| id.0.clone());
            let now = Timestamp::now();
            let event = CloudEvent::new(key, pipeline, kind, subject, now, data);
            dead_letters.publish(event.to_message()?).await?;
        }
        let message_id = id.map(|id| id.0.as_str());
        tracing::error!(%pipeline, %mailbox, folder, message_id, %code, %error, cure,
            "no event can be made of a mail; the others go on");
        metrics::counter!(metric::QUARANTINED, "pipeline" => pipeline.clone(),
            "code" => code.as_str())
        .increment(1);
        Ok(())
    }
}

/// The same again when the same mail is met again.
fn event_key(mailbox: &Mailbox, folder: &str, id: Option<&MessageId>, code: &str) -> String {
    let mailbox = mailbox.as_str().to_lowercase();
    let parts = [mailbox.as_str(), folder, id.map_or("", |id| id.0.as_str()), code];
    digest(&parts.map(|part| format!("{}:{part}", part.len())).concat())
}
