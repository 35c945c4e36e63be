//! A worker's way to the mailboxes, as long as it has power: what it reads, and what it does to mails.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mailbridge_core::{
    Attempt, Changes, Code, Completion, Deadline, Error, Mail, Mailbox, Result,
    changes::{Ask, Content, Cursor, Folder, Folders, Found, Page, Rule, Select, What},
    contract::{Categories, EventAttachment, MessageId, Operation},
};
use tokio::time::Instant;

use super::{Office, State, page::found};
use crate::simulation::Power;

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(20);

impl Office {
    /// Where a worker reads.
    pub fn changes(&self, power: &Power) -> Arc<dyn Changes> {
        Arc::new(Port { office: self.clone(), power: power.clone() })
    }

    /// Where a worker does something to mails that came.
    pub fn mail(&self, power: &Power) -> Arc<dyn Mail> {
        Arc::new(Port { office: self.clone(), power: power.clone() })
    }
}

struct Port {
    office: Office,
    power: Power,
}

impl Port {
    async fn call<T>(
        &self,
        mailbox: &Mailbox,
        act: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        self.power.step().await;
        tokio::time::sleep(LATENCY).await;
        let result = {
            let mut state = self.office.state();
            state.show_late(Some(Instant::now()));
            state.answers(mailbox).and_then(|()| act(&mut state))
        };
        self.power.step().await;
        result
    }
}

#[async_trait]
impl Changes for Port {
    async fn folders(
        &self,
        mailbox: &Mailbox,
        patterns: &[String],
        cursor: Option<&Cursor>,
        _: &Deadline,
    ) -> Result<Folders> {
        if !patterns.iter().any(|it| it.contains(['/', '*'])) {
            let folder = |it: &String| Folder { id: it.clone(), path: it.clone() };
            return Ok(Folders::All(patterns.iter().map(folder).collect(), None));
        }
        self.call(mailbox, |state| {
            let all = state.logs.keys().filter(|(whose, _)| whose == mailbox);
            let mut all: Vec<_> = all.map(|(_, path)| path.clone()).collect();
            all.sort();
            let now = Cursor(all.len().to_string());
            if cursor == Some(&now) {
                return Ok(Folders::Same(now));
            }
            all.retain(|path| patterns.iter().any(|pattern| names(pattern, path)));
            let folder = |path: String| Folder { id: path.clone(), path };
            Ok(Folders::All(all.into_iter().map(folder).collect(), Some(now)))
        })
        .await
    }

    async fn page(&self, ask: &Ask<'_>) -> Result<Page> {
        *self.office.state().asked.entry(ask.mailbox.clone()).or_default() += 1;
        self.call(ask.mailbox, |state| state.page(ask)).await
    }

    async fn message(
        &self,
        mailbox: &Mailbox,
        id: &MessageId,
        _: &Select,
        _: &Deadline,
    ) -> Result<Option<Found>> {
        self.call(mailbox, |state| {
            let letter = state.letters.get(&id.0).filter(|letter| letter.folder.is_some());
            Ok(letter.map(|letter| found(&id.0, letter)))
        })
        .await
    }

    async fn attachments(
        &self,
        mailbox: &Mailbox,
        _: &MessageId,
        _: &Deadline,
    ) -> Result<Vec<EventAttachment>> {
        self.call(mailbox, |_| Ok(Vec::new())).await
    }

    async fn content<'a>(
        &'a self,
        _: &Mailbox,
        _: What<'_>,
        _: &'a Deadline,
    ) -> Result<Box<dyn Content + 'a>> {
        Err(Error::permanent(Code::GraphAttachmentUnreadable, "nothing has content here"))
    }

    async fn discover(&self, _: &Rule, _: &Deadline) -> Result<Vec<Mailbox>> {
        self.power.step().await;
        let takes = self.office.state().directory_takes;
        tokio::time::sleep(takes).await;
        Ok(self.office.state().staff.clone())
    }
}

/// Whether a pattern, of which only the last name may be `**`, names a folder.
fn names(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/**") {
        Some(top) => {
            path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        None => pattern == path,
    }
}

#[async_trait]
impl Mail for Port {
    async fn ready(&self) -> Result<()> {
        self.power.step().await;
        if self.office.state().blocked {
            return Err(Error::blocked(Code::CredentialSecretExpired, "expired"));
        }
        Ok(())
    }

    async fn perform(&self, attempt: Attempt<'_>) -> Result<Completion> {
        self.call(attempt.mailbox, |_| Ok(())).await?;
        match &attempt.request.operation {
            Operation::MarkRead { message, is_read } => self.office.read(&message.0, *is_read),
            Operation::Categorize { message, categories: Categories::Change { add, .. } } => {
                self.office.touch(&message.0, |letter| {
                    letter.categories.extend(add.clone());
                    letter.categories.sort();
                    letter.categories.dedup();
                });
            }
            Operation::Move { message, folder } => self.office.put(&message.0, Some(folder)),
            Operation::Delete { message } => self.office.put(&message.0, None),
            _ => return Err(Error::permanent(Code::GraphRefused, "nobody sends from here")),
        }
        // done, whether or not anybody hears of it
        self.call(attempt.mailbox, |_| Ok(())).await?;
        Ok(Completion::Done)
    }
}
