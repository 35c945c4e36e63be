//! One step for one mailbox: look what is kept, and ask Graph where that is not enough.

use std::time::Duration;

use mailbridge_core::{
    Code, Deadline, Error, Mailbox, Put, Result, Revision, Secret, Subscriptions, changes::Callback,
};
use uuid::Uuid;

use super::{
    Keeper, Watch,
    record::{self, Record},
};
use crate::events::content::digest;

/// How long Graph has for an answer; it calls both URLs before it gives one.
const DEADLINE: Duration = Duration::from_mins(1);

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) watch: Watch,
    /// The mailbox is not watched any more.
    pub(super) leaving: bool,
    /// It is this mailbox's turn to ask Graph.
    pub(super) may_ask: bool,
    /// Graph wants this one to be renewed now.
    pub(super) renew: Option<String>,
    /// Graph has said that this one is gone.
    pub(super) lost: Option<String>,
    /// The one whose calls are known.
    pub(super) known: Option<String>,
    /// Failures in a row before this.
    pub(super) failures: u32,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) job: Job,
    pub(super) result: Result<Step>,
}

pub(super) enum Step {
    /// It is as it should be, until it is to be renewed.
    Kept(Box<Record>),
    /// Graph has to be asked.
    Ask,
    /// Somebody else was there first; what they did is to be seen. Graph may have ended this one of
    /// theirs in favour of ours, where it takes one for each resource only.
    Again(Option<String>),
    /// Nothing is left of it.
    Left,
}

impl Job {
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.watch.mailbox
    }
}

/// What the state store has.
struct Kept {
    record: Option<Record>,
    revision: Option<Revision>,
}

impl Keeper {
    pub(super) async fn step(&self, job: &Job) -> Result<Step> {
        let key = self.key(job.mailbox());
        let kept = self.kept(&key).await?;
        let now = (self.clock)();
        if job.leaving {
            return self.leave(&key, job, kept).await;
        }
        let Some(record) = kept.record else {
            if !job.may_ask {
                return Ok(Step::Ask);
            }
            return self.subscribe(&key, job, kept.revision).await;
        };
        let lost = job.lost.as_ref() == Some(&record.id);
        if lost || !record.serves(&job.watch, &self.webhook, now) {
            if !job.may_ask {
                return Ok(Step::Ask);
            }
            let step = self.subscribe(&key, job, kept.revision).await?;
            if !lost && record.lives(now) {
                self.end(job.mailbox(), &record.id).await;
            }
            return Ok(step);
        }
        self.adopt(job, &record);
        let renew = job.renew.as_ref() == Some(&record.id) || record.renew_at() <= now;
        match (renew, job.may_ask) {
            (false, _) => Ok(Step::Kept(Box::new(record))),
            (true, false) => Ok(Step::Ask),
            (true, true) => self.renew(&key, job, record, kept.revision).await,
        }
    }

    async fn subscribe(&self, key: &str, job: &Job, expected: Option<Revision>) -> Result<Step> {
        let Watch { mailbox, folder } = &job.watch;
        let secret = Secret::new(random());
        let now = (self.clock)();
        let callback = Callback {
            url: self.webhook.notifications.clone(),
            lifecycle_url: self.webhook.lifecycle.clone(),
            client_state: secret.clone(),
            until: record::until(now),
            only_new: self.webhook.only_new,
        };
        let deadline = Deadline::fixed(DEADLINE);
        let service = self.service()?;
        let granted = service.subscribe(mailbox, folder.as_deref(), &callback, &deadline).await?;
        let record = Record::new(&job.watch, &self.webhook, &secret, granted, now);
        let put = match record.write() {
            Ok(written) => self.store.put(key, written, expected).await,
            Err(error) => Err(error),
        };
        if !matches!(put, Ok(Put::Stored(_))) {
            // nobody would know its calls after a restart; another worker has one, or soon will
            self.end(mailbox, &record.id).await;
            put?;
            return Ok(Step::Again(self.kept(key).await?.record.map(|theirs| theirs.id)));
        }
        self.adopt(job, &record);
        // what came before it could be known by its calls
        self.inbox.wake(mailbox);
        Ok(Step::Kept(Box::new(record)))
    }

    async fn renew(
        &self,
        key: &str,
        job: &Job,
        mut record: Record,
        revision: Option<Revision>,
    ) -> Result<Step> {
        let mailbox = job.mailbox();
        let now = (self.clock)();
        let deadline = Deadline::fixed(DEADLINE);
        let renewed =
            self.service()?.renew(mailbox, &record.id, record::until(now), &deadline).await;
        match renewed {
            Ok(granted) => (record.since, record.until) = (now, granted.until),
            Err(error) if error.code() == Code::GraphSubscriptionGone => {
                return self.subscribe(key, job, revision).await;
            }
            Err(error) => return Err(error),
        }
        match self.store.put(key, record.write()?, revision).await? {
            Put::Stored(_) => Ok(Step::Kept(Box::new(record))),
            Put::Conflict => Ok(Step::Again(None)),
        }
    }

    async fn leave(&self, key: &str, job: &Job, kept: Kept) -> Result<Step> {
        if let Some(known) = &job.known {
            self.callbacks.remove(known);
        }
        // at the latest when it has ended by itself, nothing is left to do
        if let Some(record) = kept.record.filter(|record| record.lives((self.clock)())) {
            let deadline = Deadline::fixed(DEADLINE);
            self.service()?.unsubscribe(job.mailbox(), &record.id, &deadline).await?;
        }
        if let Some(revision) = kept.revision
            && self.store.delete(key, revision).await? == Put::Conflict
        {
            return Ok(Step::Again(None));
        }
        Ok(Step::Left)
    }

    /// Ends one that is not needed. If that fails it ends by itself, and calls in vain until then.
    async fn end(&self, mailbox: &Mailbox, id: &str) {
        let Ok(service) = self.service() else { return };
        if let Err(error) = service.unsubscribe(mailbox, id, &Deadline::fixed(DEADLINE)).await {
            let (pipeline, code) = (&self.pipeline, error.code());
            tracing::debug!(%pipeline, %mailbox, %code, %error, "a subscription is left to end");
        }
    }

    /// From now on its calls are known, and those of the one before are not.
    fn adopt(&self, job: &Job, record: &Record) {
        if let Some(known) = job.known.as_ref().filter(|known| **known != record.id) {
            self.callbacks.remove(known);
        }
        let secret = Secret::new(record.client_state.clone());
        self.callbacks.add(&record.id, secret, record.mailbox.clone(), &self.inbox);
    }

    fn service(&self) -> Result<&dyn Subscriptions> {
        self.changes.subscriptions().ok_or_else(|| {
            let detail = "this connection's service does not call";
            Error::permanent(Code::GraphSubscriptionRefused, detail)
        })
    }

    async fn kept(&self, key: &str) -> Result<Kept> {
        Ok(match self.store.get(key).await? {
            Some((bytes, revision)) => {
                Kept { record: Record::read(&bytes), revision: Some(revision) }
            }
            None => Kept { record: None, revision: None },
        })
    }

    fn key(&self, mailbox: &Mailbox) -> String {
        let mailbox = mailbox.as_str().to_lowercase();
        format!("subscription/{}/{}", digest(&self.pipeline), digest(&mailbox))
    }
}

/// 64 characters that nobody guesses.
fn random() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
