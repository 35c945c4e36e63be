//! What is told of one item of a page: judged, made, published and confirmed, or put aside.

use jiff::Timestamp;
use mailbridge_core::{
    Code, Deadline, Result, Verdict,
    changes::{Found, Item},
    contract::{Change, MessageId},
};

use super::{
    held::Held,
    judge::{Judgement, Known, Phase, View},
    line::Line,
    make::{Making, News},
    recent,
};

impl Line {
    /// Tells one item, and says whether an event is out.
    pub(super) async fn item(
        &self,
        held: &mut [Held],
        at: usize,
        view: &View,
        item: Item,
        deadline: &Deadline,
    ) -> Result<bool> {
        let mailbox = held[at].record.mailbox.clone();
        match item {
            Item::Present(found) => self.present(held, at, view, *found, deadline).await,
            Item::Removed(id) => self.removed(&mut held[at], id, deadline).await,
            Item::Unreadable { id, error } => {
                let folder = &held[at].record.folder.path;
                self.quarantine.put(&mailbox, folder, id.as_ref(), &error).await?;
                Ok(false)
            }
        }
    }

    async fn present(
        &self,
        held: &mut [Held],
        at: usize,
        view: &View,
        mut found: Found,
        deadline: &Deadline,
    ) -> Result<bool> {
        let elsewhere = |id: &MessageId| {
            let others = held.iter().enumerate().filter(|(other, _)| *other != at);
            let mut others = others.map(|(_, other)| &other.record.recent);
            others.any(|recent| recent.stamp(id).is_some())
        };
        let mut known = Known::of(&found, &held[at].record.recent, elsewhere(&found.id));
        let mut stamp = recent::stamp(found.version.as_deref(), found.modified);
        let mut judged = view.judge(&found, known, stamp);
        if judged == Judgement::Fetch {
            let mailbox = &held[at].record.mailbox;
            let whole = self.changes.message(mailbox, &found.id, &self.select, deadline).await?;
            // gone meanwhile: its removal is told by itself
            let Some(mut whole) = whole else { return Ok(false) };
            known = Known::of(&whole, &held[at].record.recent, elsewhere(&whole.id));
            stamp = recent::stamp(whole.version.as_deref(), whole.modified);
            // what came in part is not new in the folder, though all of it is here now; and what is
            // without its times also now is not fetched once more
            let untimed = whole.received.is_none();
            let complete = std::mem::replace(&mut whole.complete, untimed);
            judged = view.judge(&whole, known, stamp);
            whole.complete = complete;
            found = whole;
        }
        let (id, received) = (found.id.clone(), found.received);
        let told = match judged {
            Judgement::Ignore | Judgement::Fetch => return Ok(false),
            Judgement::Note => false,
            Judgement::Tell(change) => {
                let version =
                    self.publish(&mut held[at], change, id.clone(), Some(found), deadline).await?;
                match version {
                    Some(version) => {
                        stamp = version.unwrap_or(stamp);
                        true
                    }
                    None => false,
                }
            }
        };
        let record = &mut held[at].record;
        record.recent.add(&id, received, stamp);
        if told && judged == Judgement::Tell(Change::Received) && !self.after.steps.is_empty() {
            record.pending.add(id);
        }
        Ok(told)
    }

    /// It is not in the folder any more: where it is now says what happened.
    async fn removed(&self, held: &mut Held, id: MessageId, deadline: &Deadline) -> Result<bool> {
        let settings = &self.settings;
        let record = &held.record;
        let (moves, deletes) = (settings.tells(Change::Moved), settings.tells(Change::Deleted));
        if (!moves && !deletes) || record.phase == Phase::Skim {
            return Ok(false);
        }
        let found = self.changes.message(&record.mailbox, &id, &self.select, deadline).await?;
        let (change, found) = match found {
            None => (Change::Deleted, None),
            Some(found) => {
                let before = |since: Timestamp| found.received.is_some_and(|it| it < since);
                if record.since.is_some_and(before) {
                    return Ok(false);
                }
                (Change::Moved, Some(found))
            }
        };
        if !settings.tells(change) {
            return Ok(false);
        }
        self.publish(held, change, id, found, deadline).await.map(|told| told.is_some())
    }

    /// Makes an event and publishes it, if it is wanted. Says whether it is out, or goes out with the
    /// record, with the stamp of the version that it tells where that is known.
    async fn publish(
        &self,
        held: &mut Held,
        change: Change,
        id: MessageId,
        found: Option<Found>,
        deadline: &Deadline,
    ) -> Result<Option<Option<u32>>> {
        if !self.settings.tells(change) {
            return Ok(None);
        }
        let Held { record, stage, .. } = held;
        let (mailbox, folder) = (&record.mailbox, record.folder.path.as_str());
        let news = News { mailbox, folder, change, id: id.clone(), found };
        let published = async {
            let made = match self.maker.make(news, deadline).await? {
                Making::Event(made) => made,
                Making::PassedBy | Making::Gone => return Ok(None),
            };
            let mut made = made;
            let stamp = made.version.as_deref().map(|version| recent::stamp(Some(version), None));
            loop {
                let message = self.maker.message(&made)?;
                if self.commits {
                    stage.push(*made, self.to.traced(message));
                    return Ok(Some(stamp));
                }
                self.share.check(mailbox)?;
                match self.to.publish(message).await {
                    Ok(()) => {
                        self.count(&made);
                        return Ok(Some(stamp));
                    }
                    Err(error)
                        if error.code() == Code::BusPayloadTooLarge
                            && self.maker.shrink(&mut made, deadline).await? => {}
                    Err(error) => return Err(error),
                }
            }
        };
        match published.await {
            Err(error) if error.verdict() == Verdict::Permanent => {
                self.quarantine.put(mailbox, folder, Some(&id), &error).await?;
                Ok(None)
            }
            other => other,
        }
    }
}
