//! What is done to a mail once its event is out: marked read, categorised, moved, deleted. Nothing
//! that changes what was received.
//!
//! The record of a folder keeps who is [`Pending`] from the commit that follows the publishing, so
//! a crash between the two loses nothing. All of it may be done again: each operation done twice is
//! the same as done once. A person who marks such a mail unread just when a worker has crashed may
//! find it read again.
//!
//! Only mails that were told as `received` are touched. What is done here is a change of the mail,
//! so a pipeline that tells `updated`, `moved` or `deleted` tells of it too: Graph does not say who
//! has changed something, and to keep quiet about it could keep quiet about a person's change.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mailbridge_core::{
    Attempt, Code, Deadline, Doubt, Error, Guarantee, Mail, Mailbox, NoFiles, Result, Verdict,
    contract::{Categories, Key, MessageId, Operation, Request},
};
use serde::{Deserialize, Serialize};

use crate::metric;

/// How long one operation may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often it is tried with one mail while nothing is known to be wrong but that it fails.
const FAILURES_MAX: u32 = 10;

/// What is done to a mail once its event is out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Mark it read.
    pub mark_read: bool,
    /// Add these categories.
    pub categorize: Vec<String>,
    /// Move it to this folder: a well-known name or an id.
    pub move_to: Option<String>,
    /// Delete it.
    pub delete: bool,
}

impl Steps {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// In the order in which they are done: what takes the mail away comes last.
    fn of(&self, message: &MessageId) -> Vec<Operation> {
        let message = || message.clone();
        let mut steps = Vec::new();
        if self.mark_read {
            steps.push(Operation::MarkRead { message: message(), is_read: true });
        }
        if !self.categorize.is_empty() {
            let categories =
                Categories::Change { add: self.categorize.clone(), remove: Vec::new() };
            steps.push(Operation::Categorize { message: message(), categories });
        }
        if let Some(folder) = self.move_to.clone() {
            steps.push(Operation::Move { message: message(), folder });
        }
        if self.delete {
            steps.push(Operation::Delete { message: message() });
        }
        steps
    }
}

/// Mails whose events are out and to which something is still to be done. Part of a folder's
/// record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pending(VecDeque<Due>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Due {
    id: MessageId,
    #[serde(default, skip_serializing_if = "is_zero")]
    failures: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over like this")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Pending {
    /// How many may wait before another page is read. So the record is bounded by these and a page.
    pub const MAX: usize = 256;

    /// Adds a mail whose event is out.
    pub fn add(&mut self, id: MessageId) {
        if !self.0.iter().any(|due| due.id == id) {
            self.0.push_back(Due { id, failures: 0 });
        }
    }

    /// Whether another page may be read. If not, those who wait come first: where they cannot be
    /// served the mailbox can hardly be read either.
    pub fn has_room(&self) -> bool {
        self.0.len() < Self::MAX
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Does what is to be done after a pipeline's events.
pub struct After {
    /// The pipeline's name.
    pub pipeline: String,
    /// What is to be done.
    pub steps: Steps,
    /// Who does it.
    pub mail: Arc<dyn Mail>,
}

impl After {
    /// Serves those who wait, in their order. To be called when the record that holds them is
    /// committed; what is left is right at every moment, also when the call is dropped.
    ///
    /// # Errors
    /// The first failure that passes. The mail it met goes to the end, and is dropped, with a word
    /// in the log, after some such failures; one that a blocked path met stays where it is.
    pub async fn run(&self, mailbox: &Mailbox, pending: &mut Pending) -> Result<()> {
        while let Some(due) = pending.0.front_mut() {
            let done = self.serve(mailbox, &due.id).await;
            let Err(error) = done else {
                pending.0.pop_front();
                continue;
            };
            if matches!(error.verdict(), Verdict::Blocked { .. }) {
                return Err(error);
            }
            due.failures += 1;
            let given_up = due.failures >= FAILURES_MAX;
            if let Some(due) = pending.0.pop_front() {
                if given_up {
                    self.given_up(mailbox, &due.id, &error);
                } else {
                    pending.0.push_back(due);
                }
            }
            return Err(error);
        }
        Ok(())
    }

    /// All steps for one mail. One that will never succeed does not keep the next from its turn.
    async fn serve(&self, mailbox: &Mailbox, id: &MessageId) -> Result<()> {
        for operation in self.steps.of(id) {
            let name = operation.name();
            let Err(error) = self.perform(mailbox, id, operation).await else {
                self.count(name, "");
                continue;
            };
            if error.verdict() != Verdict::Permanent {
                return Err(error);
            }
            if error.code() == Code::GraphMessageGone {
                // somebody has deleted it, perhaps this very pipeline before a crash
                return Ok(());
            }
            let (pipeline, code, cure) = (&self.pipeline, error.code(), error.code().cure());
            tracing::warn!(%pipeline, %mailbox, message_id = %id.0, operation = name, %code, %error,
                cure, "not done to a mail whose event is out; its event stays as it is");
            self.count(name, code.as_str());
        }
        Ok(())
    }

    async fn perform(&self, mailbox: &Mailbox, id: &MessageId, what: Operation) -> Result<()> {
        let request = Request { id: None, mailbox: None, not_after: None, operation: what };
        let attempt = Attempt {
            request: &request,
            mailbox,
            mark: &Key::of_id(&id.0).mark(&self.pipeline),
            origin: None,
            guarantee: Guarantee::Once,
            doubt: Doubt::None,
            deadline: &Deadline::fixed(DEADLINE),
            files: &NoFiles,
        };
        self.mail.perform(attempt).await.map(drop)
    }

    fn given_up(&self, mailbox: &Mailbox, id: &MessageId, error: &Error) {
        let (pipeline, code) = (&self.pipeline, error.code());
        tracing::error!(%pipeline, %mailbox, message_id = %id.0, %code, %error, cure = code.cure(),
            tries = FAILURES_MAX, "given up what was to be done to a mail whose event is out");
        self.count("given_up", code.as_str());
    }

    fn count(&self, operation: &'static str, code: &'static str) {
        let labels = [
            ("pipeline", self.pipeline.clone()),
            ("operation", operation.to_owned()),
            ("code", code.to_owned()),
        ];
        metrics::counter!(metric::AFTER, &labels).increment(1);
    }
}

#[cfg(test)]
mod tests;
