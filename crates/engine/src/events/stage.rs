//! What a page comes to before it is out, where events and the record that they move go together.
//!
//! Events wait here until the last page of a turn is told, until they are many bytes, or for a
//! moment: a transaction costs the brokers as much for one page as for ten. Without such a commit
//! nothing waits: each event is published at once, and confirmed before the next.

use std::time::Duration;

use mailbridge_core::{Code, Commit, Deadline, Error, Message, Put, Result};
use tokio::time::Instant;

use super::{
    held::Held,
    line::Line,
    make::Made,
    record::{self, Record},
};
use crate::metric;

/// Events of so many bytes are committed before the page is told.
const BYTES_MAX: usize = 4 << 20;
/// How long what was told waits for the next page at most.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Events that wait, in their order.
#[derive(Default)]
pub(super) struct Stage {
    made: Vec<Made>,
    messages: Vec<Message>,
    bytes: usize,
    /// When the first of them was made.
    since: Option<Instant>,
}

impl Stage {
    pub(super) fn push(&mut self, made: Made, message: Message) {
        self.bytes += message.payload.len();
        self.since.get_or_insert_with(Instant::now);
        self.made.push(made);
        self.messages.push(message);
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether what waits may wait for another page.
    pub(super) fn waits(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() < WAIT_MAX)
    }

    fn remove(&mut self, at: usize) -> Made {
        self.bytes -= self.messages.remove(at).payload.len();
        self.made.remove(at)
    }
}

impl Line {
    /// Commits what waits and the record.
    pub(super) async fn commit_together(&self, held: &mut Held) -> Result<Put> {
        let Record { mailbox, folder, .. } = &held.record;
        let key = record::key(&self.pipeline, mailbox, &folder.id);
        let share = format!("{}/{}", self.pipeline, self.share.slice(mailbox));
        let deadline = self.deadline();
        let put = loop {
            let commit = Commit {
                share: &share,
                messages: &held.stage.messages,
                key: &key,
                value: held.record.to_bytes()?,
                expected: held.revision,
            };
            match self.to.commit(commit).await {
                Err(error) => match at_fault(&error) {
                    Some(at) => self.make_fit(held, at, error, &deadline).await?,
                    None => return Err(error),
                },
                Ok(put) => break put,
            }
        };
        let Stage { made, .. } = std::mem::take(&mut held.stage);
        if put != Put::Conflict {
            for made in &made {
                self.count(made);
            }
        }
        Ok(put)
    }

    pub(super) fn count(&self, made: &Made) {
        metrics::counter!(metric::EVENTS, "pipeline" => self.pipeline.clone(),
            "change" => made.data().change.as_str())
        .increment(1);
    }

    /// Makes an event smaller that the bus does not take, or puts it aside.
    async fn make_fit(
        &self,
        held: &mut Held,
        at: usize,
        error: Error,
        deadline: &Deadline,
    ) -> Result<()> {
        let stage = &mut held.stage;
        let Some(made) = stage.made.get_mut(at) else { return Err(error) };
        if error.code() == Code::BusPayloadTooLarge && self.maker.shrink(made, deadline).await? {
            let message = self.maker.message(made)?;
            stage.bytes = stage.bytes + message.payload.len() - stage.messages[at].payload.len();
            stage.messages[at] = self.to.traced(message);
            return Ok(());
        }
        let made = stage.remove(at);
        let id = &made.data().message_id;
        let Record { mailbox, folder, .. } = &held.record;
        self.quarantine.put(mailbox, &folder.path, Some(id), &error).await
    }
}

/// Which of the messages nobody can publish, if that is what an error says.
fn at_fault(error: &Error) -> Option<usize> {
    error.field("message")?.parse().ok()
}
