//! From what was found in a mailbox to an event: what a page did not give is fetched, what the
//! pipeline does not want is passed by, what is too large is put aside.
//!
//! Whether something is told at all, and as which change, was decided before. Nothing here is
//! repeated after a failure: an error that passes ends the round, which begins again.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use mailbridge_core::{
    Changes, Deadline, FileStore, Filter, Mailbox, Message, Result,
    changes::{Bodies, Found, Select},
    contract::{Change, LeftOut, MailCloudEvent, MailContent, MailEvent, MessageId},
};
use serde_json::value::RawValue;

use super::{
    content::{Carrier, Missing},
    encode::{self, Format},
};
use crate::metric;

mod include;
mod shrink;

pub use include::{Attachments, Include, Mime};
use shrink::Size;

/// Makes the events of one pipeline.
pub struct Maker {
    /// The pipeline's name.
    pub pipeline: String,
    /// What its events hold.
    pub include: Include,
    /// Where mails are read.
    pub changes: Arc<dyn Changes>,
    /// Where large content is put, if anywhere.
    pub store: Option<Arc<dyn FileStore>>,
    /// Which events are wanted; all, without it.
    pub filter: Option<Arc<dyn Filter>>,
}

/// Something to be told.
pub struct News<'a> {
    /// The mailbox, as the pipeline names it.
    pub mailbox: &'a Mailbox,
    /// The folder's path.
    pub folder: &'a str,
    /// What happened.
    pub change: Change,
    /// The message's immutable id.
    pub id: MessageId,
    /// The message as far as it is there. Nothing, of one that was deleted.
    pub found: Option<Found>,
}

/// What came of it.
#[derive(Debug)]
pub enum Making {
    /// An event.
    Event(Box<Made>),
    /// The pipeline's filter does not want it.
    PassedBy,
    /// The message is not in the mailbox any more. The removal is told by itself.
    Gone,
}

/// An event, ready to be published.
pub struct Made {
    event: MailCloudEvent,
    raw: Option<Box<RawValue>>,
    size: Size,
    /// The version of the message that it tells, where there is one.
    pub version: Option<String>,
}

impl Made {
    /// The event's id.
    pub fn id(&self) -> &str {
        &self.event.event.id
    }

    /// What it tells.
    pub fn data(&self) -> &MailEvent {
        &self.event.event.data
    }
}

/// Shows no mail.
impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Maker {
    /// Makes an event.
    ///
    /// # Errors
    /// *Permanent*: nobody can make an event of this, and the others go on. All else is passing.
    pub async fn make(&self, news: News<'_>, deadline: &Deadline) -> Result<Making> {
        let News { mailbox, folder, change, id, found } = news;
        let Some(found) = self.whole(mailbox, &id, change, found, deadline).await? else {
            return Ok(Making::Gone);
        };
        let which = match change {
            Change::Updated => found.version.as_deref(),
            Change::Moved => found.folder.as_deref(),
            Change::Received | Change::Deleted => None,
        };
        let event_id = encode::event_id(mailbox, &id, change, which);
        let carrier = self.carrier(mailbox, &id, deadline);
        let Found { version, properties, received, modified, content, mut raw, .. } = found;
        let time = if change == Change::Received { received } else { modified.or(received) };
        let mut data = MailEvent {
            change,
            mailbox: mailbox.clone(),
            folder: folder.to_owned(),
            message_id: id.clone(),
            changed: if change == Change::Updated { properties } else { Vec::new() },
            moved_to: if change == Change::Moved { found.folder } else { None },
            content: *content,
            attachments: None,
            mime: None,
            left_out: Vec::new(),
        };
        self.list(&mut data, carrier).await?;
        let time = time.unwrap_or_else(Timestamp::now);
        let mut event = encode::envelope(&self.pipeline, event_id, time, data);
        if let Some(filter) = &self.filter
            && !filter.wants(&event)?
        {
            return Ok(Making::PassedBy);
        }
        let data = &mut event.event.data;
        if self.include.bodies(data, carrier).await?
            && let Some(whole) = &raw
        {
            raw = Some(encode::raw_without(whole, &[], true)?);
        }
        if change == Change::Received {
            self.include.files(data, carrier).await?;
        }
        if self.include.format == Format::Graph && raw.is_none() {
            raw = Some(encode::raw_of_nothing(&id)?);
        }
        self.count(&data.left_out);
        Ok(Making::Event(Box::new(Made { event, raw, size: Size::Whole, version })))
    }

    /// The message to publish.
    pub fn message(&self, made: &Made) -> Result<Message> {
        encode::message(&self.pipeline, self.include.form, &made.event, made.raw())
    }

    /// Makes an event smaller that the bus does not take (`bus_payload_too_large`): first what is
    /// inside it goes to the store, or is left out; then long lists go; at last only what the mail
    /// is known by is left. Says whether there was anything to be had, so that it is worth another
    /// try.
    pub async fn shrink(&self, made: &mut Made, deadline: &Deadline) -> Result<bool> {
        let Some(next) = made.size.next() else { return Ok(false) };
        let before = made.data().left_out.len();
        let (mailbox, id) = (made.data().mailbox.clone(), made.data().message_id.clone());
        shrink::shrink(made, next, self.carrier(&mailbox, &id, deadline)).await?;
        made.size = next;
        self.count(made.data().left_out.get(before..).unwrap_or_default());
        Ok(true)
    }

    fn carrier<'a>(
        &'a self,
        mailbox: &'a Mailbox,
        id: &'a MessageId,
        deadline: &'a Deadline,
    ) -> Carrier<'a> {
        let (changes, store) = (self.changes.as_ref(), self.store.as_deref());
        Carrier { changes, store, pipeline: &self.pipeline, mailbox, id, deadline }
    }

    /// The message with all that was selected, if it is still there.
    async fn whole(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        change: Change,
        found: Option<Found>,
        deadline: &Deadline,
    ) -> Result<Option<Found>> {
        if change == Change::Deleted {
            return Ok(Some(found.unwrap_or_else(|| nothing(id))));
        }
        let part = match found {
            Some(found) if !self.include.lacks(&found) => return Ok(Some(found)),
            part => part,
        };
        let select = self.include.select(&[change]);
        let Some(mut whole) = self.changes.message(mailbox, id, &select, deadline).await? else {
            return Ok(None);
        };
        // what changed is what the page said: of the whole message, everything came
        whole.properties = part.map(|part| part.properties).unwrap_or_default();
        Ok(Some(whole))
    }

    /// What is attached, where the pipeline asks for it and there may be something.
    async fn list(&self, data: &mut MailEvent, carrier: Carrier<'_>) -> Result<()> {
        if self.include.attachments == Attachments::None || data.change == Change::Deleted {
            return Ok(());
        }
        data.attachments = Some(Vec::new());
        if !may_have_attachments(&data.content) {
            return Ok(());
        }
        let Carrier { changes, mailbox, id, deadline, .. } = carrier;
        match changes.attachments(mailbox, id, deadline).await {
            Ok(attachments) => data.attachments = Some(attachments),
            Err(error) => {
                let code = Missing::of(error)?.code.as_str().to_owned();
                let what = "attachments".to_owned();
                data.left_out.push(LeftOut { what, code, bytes: None, stored: None });
            }
        }
        Ok(())
    }

    fn count(&self, left_out: &[LeftOut]) {
        for LeftOut { what, code, .. } in left_out {
            // without the attachment's id
            let what = what.split('/').next().unwrap_or_default().to_owned();
            let labels =
                [("pipeline", self.pipeline.clone()), ("what", what), ("code", code.clone())];
            metrics::counter!(metric::LEFT_OUT, &labels).increment(1);
        }
    }
}

impl Made {
    fn raw(&self) -> Option<&RawValue> {
        self.raw.as_deref()
    }
}

/// Graph's flag leaves inline images out (learn.microsoft.com, message: hasAttachments); the body
/// names them as `cid:…`, also as text.
fn may_have_attachments(content: &MailContent) -> bool {
    let shows = |body: &Option<String>| body.as_ref().is_some_and(|body| body.contains("cid:"));
    content.has_attachments.unwrap_or(true) || shows(&content.html) || shows(&content.text)
}

/// Of a message that is gone.
fn nothing(id: &MessageId) -> Found {
    Found {
        id: id.clone(),
        complete: true,
        version: None,
        received: None,
        folder: None,
        modified: None,
        properties: Vec::new(),
        content: Box::default(),
        raw: None,
    }
}

impl Include {
    /// What to ask of pages, for a pipeline that tells these changes.
    pub fn select(&self, changes: &[Change]) -> Select {
        Select {
            bodies: self.bodies,
            headers: self.headers,
            raw: self.format == Format::Graph,
            only_new: changes.iter().all(|change| *change == Change::Received),
        }
    }

    /// Whether more of a message is wanted than a page gave.
    fn lacks(&self, found: &Found) -> bool {
        let both = found.content.text.is_some() && found.content.html.is_some();
        !found.complete || (self.bodies == Bodies::Both && !both)
    }
}

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;
