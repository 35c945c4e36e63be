//! The messages of one mailbox: what is true, and what a client can see of it yet.
//!
//! A sent draft is gone at once for anyone who writes, and still there for a while for anyone who
//! reads: Exchange moves it after its answer
//! (learn.microsoft.com/graph/outlook-things-to-know-about-send-mail). So a message has a place,
//! and until a given time the place that reads still show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::editing::Editing;
use super::folder::Folder;
use super::journal::{Event, Journal, Kind, Lateness};
use super::log::{Known, Log};
use crate::clock;
use crate::config::IdsOnSend;
use crate::message::{Attachment, Attachments, Content};

/// Where a message lies and under which ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    pub folder: Folder,
    pub is_draft: bool,
    /// Generation of the default id
    pub default_id: u32,
    /// Generation of the immutable id
    pub immutable_id: u32,
}

/// One message. Cheap to copy: its content is shared.
#[derive(Clone, Debug)]
pub struct Message {
    pub key: u64,
    pub place: Place,
    /// Until then reads show the older place, or nothing
    lag: Option<(Timestamp, Option<Place>)>,
    pub content: Arc<Content>,
    pub attachments: Attachments,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub sent: Timestamp,
    pub change: u32,
    /// Goes up with every arrival in any folder of the mailbox
    pub arrival: u64,
    next_attachment: u32,
}

impl Message {
    /// The place that a reader sees now.
    pub fn seen(&self, now: Timestamp) -> Option<Place> {
        match &self.lag {
            Some((until, older)) if now < *until => *older,
            _ => Some(self.place),
        }
    }

    /// Changes the content, on its own copy when the truth holds it too.
    pub fn content_mut(&mut self, now: Timestamp) -> &mut Content {
        self.touch(now);
        Arc::make_mut(&mut self.content)
    }

    /// Forgets what is large, and keeps its size.
    pub fn drop_bodies(&mut self) {
        Arc::make_mut(&mut self.content).drop_bodies();
        for attachment in &mut self.attachments {
            Arc::make_mut(attachment).data.forget();
        }
    }

    pub fn touch(&mut self, now: Timestamp) {
        self.modified = now;
        self.change += 1;
    }

    /// Adds an attachment to a message that was there before: MIME that it came as is no longer all
    /// of it.
    pub fn add(&mut self, attachment: Attachment, now: Timestamp) -> Arc<Attachment> {
        self.forget_mime();
        self.attach(attachment, now)
    }

    /// From now on the MIME form is written anew.
    pub fn forget_mime(&mut self) {
        if self.content.mime.is_some() {
            Arc::make_mut(&mut self.content).mime = None;
        }
    }

    pub fn attach(&mut self, mut attachment: Attachment, now: Timestamp) -> Arc<Attachment> {
        self.next_attachment += 1;
        attachment.key = self.next_attachment;
        let attachment = Arc::new(attachment);
        self.attachments.push(attachment.clone());
        self.touch(now);
        attachment
    }
}

impl Message {
    fn known(&self) -> Known {
        Known {
            key: self.key,
            default_id: self.place.default_id,
            immutable_id: self.place.immutable_id,
            change: self.change,
            received: self.sent,
            unread: !self.content.is_read,
        }
    }

    /// Something that happened to it, where it is.
    pub fn event(&self, kind: Kind) -> Event {
        Event { folder: self.place.folder, known: self.known(), kind }
    }

    /// It has come to where it is.
    fn arrive(&mut self, arrival: u64, journal: &mut Journal) {
        self.arrival = arrival;
        journal.push(self.event(Kind::Arrived));
    }

    fn leaving(&self) -> Event {
        self.event(Kind::Left)
    }
}

/// All messages of a mailbox.
#[derive(Debug, Default)]
pub struct Store {
    messages: BTreeMap<u64, Message>,
    last_key: u64,
    last_arrival: u64,
    /// What delta queries tell of them
    pub journal: Journal,
}

impl Store {
    pub fn create(
        &mut self,
        folder: Folder,
        is_draft: bool,
        content: Arc<Content>,
        attachments: Vec<Attachment>,
        now: Timestamp,
    ) -> &mut Message {
        self.last_key += 1;
        let key = self.last_key;
        let place = Place { folder, is_draft, default_id: 0, immutable_id: 0 };
        let mut message = Message {
            key,
            place,
            lag: None,
            content,
            attachments: Vec::new(),
            created: now,
            modified: now,
            sent: now,
            change: 0,
            arrival: 0,
            next_attachment: 0,
        };
        for attachment in attachments {
            message.attach(attachment, now);
        }
        self.last_arrival += 1;
        message.arrive(self.last_arrival, &mut self.journal);
        self.messages.entry(key).or_insert(message)
    }

    /// Hides a message that has just been created from readers for a while.
    pub fn hide(&mut self, key: u64, now: Timestamp, delay: Duration) {
        if let Some(message) = self.messages.get_mut(&key).filter(|_| !delay.is_zero()) {
            let until = clock::after(now, delay);
            message.lag = Some((until, None));
            self.journal.hold(key, until);
        }
    }

    /// Turns a draft into a sent message; readers see it happen after `delay`.
    pub fn mark_sent(&mut self, key: u64, ids: IdsOnSend, now: Timestamp, delay: Duration) {
        let Some(message) = self.messages.get_mut(&key) else { return };
        let older = message.place;
        self.journal.push(message.leaving());
        message.place.folder = Folder::SENT_ITEMS;
        message.place.is_draft = false;
        if ids != IdsOnSend::Same {
            message.place.default_id += 1;
        }
        if ids == IdsOnSend::New {
            message.place.immutable_id += 1;
        }
        message.lag = (!delay.is_zero()).then(|| (clock::after(now, delay), Some(older)));
        message.sent = now;
        message.touch(now);
        self.last_arrival += 1;
        message.arrive(self.last_arrival, &mut self.journal);
        if !delay.is_zero() {
            self.journal.hold(key, clock::after(now, delay));
        }
    }

    /// Out of the store: a sent mail of which no copy is kept.
    pub fn remove(&mut self, key: u64) {
        if let Some(message) = self.messages.remove(&key) {
            self.journal.push(message.leaving());
        }
    }

    /// To Deleted Items; from there to the recoverable items, and from those out of the store.
    pub fn delete(&mut self, key: u64, now: Timestamp) {
        match self.messages.get(&key).map(|message| message.place.folder) {
            Some(Folder::RECOVERABLE) => self.remove(key),
            Some(Folder::DELETED_ITEMS) => self.relocate(key, Folder::RECOVERABLE, now),
            _ => self.relocate(key, Folder::DELETED_ITEMS, now),
        }
    }

    /// To another folder, under another default id.
    pub fn relocate(&mut self, key: u64, folder: Folder, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&key) else { return };
        self.journal.push(message.leaving());
        message.place.folder = folder;
        message.place.default_id += 1;
        message.lag = None;
        message.touch(now);
        self.last_arrival += 1;
        message.arrive(self.last_arrival, &mut self.journal);
    }

    /// A second message of the same content in another folder; gives its key.
    pub fn copy(&mut self, key: u64, folder: Folder, now: Timestamp) -> Option<u64> {
        let original = self.messages.get(&key)?.clone();
        self.last_key += 1;
        let place = Place { folder, default_id: 0, immutable_id: 0, ..original.place };
        let mut copy = Message { key: self.last_key, place, lag: None, created: now, ..original };
        self.last_arrival += 1;
        copy.arrive(self.last_arrival, &mut self.journal);
        self.messages.insert(self.last_key, copy);
        Some(self.last_key)
    }

    /// Empties a folder that is being deleted, for good: where it stood, nothing can lie.
    pub fn empty(&mut self, folder: Folder, now: Timestamp) {
        self.journal.settle(now, Lateness::default());
        let keys: Vec<u64> = self.journal.log(folder).into_iter().flat_map(Log::keys).collect();
        for key in keys {
            self.relocate(key, Folder::RECOVERABLE, now);
        }
        self.journal.settle(now, Lateness::default());
        self.journal.forget(folder);
    }

    pub fn get(&self, key: u64) -> Option<&Message> {
        self.messages.get(&key)
    }

    pub fn get_mut(&mut self, key: u64) -> Option<Editing<'_>> {
        let message = self.messages.get_mut(&key)?;
        Some(Editing::new(message, &mut self.journal))
    }

    /// Newest first: keys are given in the order of arrival.
    pub fn newest_first(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().rev()
    }

    /// Drafts that nobody sent or deleted.
    pub fn drafts(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().filter(|message| {
            let deleted = [Folder::DELETED_ITEMS, Folder::RECOVERABLE];
            message.place.is_draft && !deleted.contains(&message.place.folder)
        })
    }

    /// Keeps only the newest `limit` messages that are not drafts.
    pub fn retain(&mut self, limit: usize) {
        // drafts are few and wait for someone; what piles up is Sent Items, and it piles up in key
        // order
        while self.messages.len() > limit {
            let oldest = self.messages.iter().find(|(_, message)| !message.place.is_draft);
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            self.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn draft(store: &mut Store) -> u64 {
        store.create(Folder::DRAFTS, true, Arc::default(), Vec::new(), at(0)).key
    }

    #[test]
    fn a_sent_draft_is_seen_late() {
        let mut store = Store::default();
        let key = draft(&mut store);
        store.mark_sent(key, IdsOnSend::New, at(10), Duration::from_secs(5));
        let message = store.get(key).unwrap();
        assert!(!message.place.is_draft, "the truth is at once");
        let early = message.seen(at(14)).unwrap();
        assert_eq!((early.folder, early.is_draft, early.default_id), (Folder::DRAFTS, true, 0));
        let late = message.seen(at(15)).unwrap();
        assert_eq!((late.folder, late.default_id, late.immutable_id), (Folder::SENT_ITEMS, 1, 1));
    }

    #[test]
    fn ids_change_by_policy() {
        for (policy, default_id, immutable_id) in
            [(IdsOnSend::New, 1, 1), (IdsOnSend::ImmutableStays, 1, 0), (IdsOnSend::Same, 0, 0)]
        {
            let mut store = Store::default();
            let key = draft(&mut store);
            store.mark_sent(key, policy, at(0), Duration::ZERO);
            let place = store.get(key).unwrap().place;
            assert_eq!((place.default_id, place.immutable_id), (default_id, immutable_id));
        }
    }

    #[test]
    fn deleting_goes_through_two_folders() {
        let mut store = Store::default();
        let key = draft(&mut store);
        store.delete(key, at(1));
        assert_eq!(store.get(key).unwrap().place.folder, Folder::DELETED_ITEMS);
        assert_eq!(store.drafts().count(), 0);
        store.delete(key, at(2));
        assert_eq!(store.get(key).unwrap().place.folder, Folder::RECOVERABLE);
        store.delete(key, at(3));
        assert!(store.get(key).is_none());
    }

    #[test]
    fn retention_spares_drafts() {
        let mut store = Store::default();
        let waiting = draft(&mut store);
        for _ in 0..5 {
            let key = draft(&mut store);
            store.mark_sent(key, IdsOnSend::New, at(0), Duration::ZERO);
        }
        store.retain(3);
        assert!(store.get(waiting).is_some());
        assert_eq!(store.newest_first().count(), 3);
    }
}
