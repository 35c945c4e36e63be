//! Reports of mails that came back, as Exchange puts them into the sender's inbox.
//!
//! - [`find`] lists them; what a list shows is enough to see which mail each may be about.
//! - [`original`] finds that mail, and in it the origin that it was given when it was sent.
//! - [`status`] reads who did not get it, out of the report as MIME.
//!
//! Nothing is done to a report but a note on it, in an extended property of ours. It is not moved, not
//! marked as read, not deleted: people may want to see it.

mod find;
mod original;
pub(crate) mod status;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mailbridge_core::{
    Code, Deadline, Mailbox, Original, Report, Reports, Result,
    contract::{MessageId, Undelivered},
};
use serde::Deserialize;
use serde_json::json;

use super::{Session, edit};
use crate::{
    graph::Graph,
    http::{Body, Operation},
};

/// What one call may take.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The extended property that says that a report was read. One name, as for the mark.
const NOTE_PROPERTY: &str = "String {6f1d0f3e-4b5c-4d0a-9a5e-2f6f0f3b7c11} Name mailbridge-noted";

#[async_trait]
impl Reports for Graph {
    async fn arrived(&self, mailbox: &Mailbox, since: Timestamp) -> Result<Vec<Report>> {
        let deadline = Deadline::new(TIME_MAX, TIME_MAX * 6);
        let session = Session::open(self, mailbox, &deadline).await?;
        find::arrived(&session, since).await
    }

    async fn original(&self, mailbox: &Mailbox, report: &Report) -> Result<Option<Original>> {
        let deadline = Deadline::new(TIME_MAX, TIME_MAX * 6);
        let session = Session::open(self, mailbox, &deadline).await?;
        for message_id in &report.about {
            if let Some(found) = original::find(&session, message_id).await? {
                return Ok(Some(found));
            }
            deadline.progress();
        }
        match status::read(&value(&session, report).await?).original {
            Some(message_id) if !report.about.contains(&message_id) => {
                original::find(&session, &message_id).await
            }
            _ => Ok(None),
        }
    }

    async fn undelivered(
        &self,
        mailbox: &Mailbox,
        report: &Report,
    ) -> Result<Option<Vec<Undelivered>>> {
        let deadline = Deadline::fixed(TIME_MAX);
        let session = Session::open(self, mailbox, &deadline).await?;
        Ok(status::read(&value(&session, report).await?).undelivered)
    }

    async fn note(&self, mailbox: &Mailbox, report: &Report) -> Result<()> {
        let deadline = Deadline::fixed(TIME_MAX);
        let session = Session::open(self, mailbox, &deadline).await?;
        let note = json!({
            "singleValueExtendedProperties": [{ "id": NOTE_PROPERTY, "value": "1" }],
        });
        let body = Body::Json(note.to_string().into());
        match session.call(Operation::NoteReport, &path(report, "")?, body).await {
            Err(error) if error.code() != Code::GraphMessageGone => Err(error),
            _ => Ok(()),
        }
    }
}

/// The report as MIME; nothing of one that is gone, or longer than anybody reads.
async fn value(session: &Session<'_>, report: &Report) -> Result<bytes::Bytes> {
    match session.call(Operation::ReadReport, &path(report, "/$value")?, Body::Empty).await {
        Err(error) if error.code() == Code::GraphMessageGone => Ok(bytes::Bytes::new()),
        other => other,
    }
}

fn path(report: &Report, tail: &str) -> Result<String> {
    edit::path(&MessageId(report.id.clone()), tail)
}

/// An extended property of a message in an answer.
#[derive(Deserialize)]
struct Property {
    id: String,
    value: String,
}

impl Property {
    /// Whether it is this one. Graph writes an id in its own way: `String 0x001A` comes back as
    /// `String 0x1a`, a GUID in lower case.
    fn is(&self, id: &str) -> bool {
        let plain = |id: &str| id.to_ascii_lowercase().replace("0x00", "0x");
        plain(&self.id) == plain(id)
    }
}

fn value_of<'a>(properties: &'a [Property], id: &str) -> Option<&'a str> {
    properties.iter().find(|property| property.is(id)).map(|property| property.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_known_by_its_id_however_graph_writes_it() {
        let property = |id: &str| Property { id: id.to_owned(), value: String::new() };
        for id in ["String 0x001A", "String 0x1a", "string 0x001a"] {
            assert!(property(id).is("String 0x001A"), "{id}");
        }
        assert!(property(&NOTE_PROPERTY.to_lowercase()).is(NOTE_PROPERTY));
        assert!(!property("String 0x1042").is("String 0x001A"));
    }
}
