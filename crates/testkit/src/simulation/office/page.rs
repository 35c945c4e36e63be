//! A page of changes, as Graph's delta gives it: first everything that is in the folder, then what
//! happened, as the log has it.

use std::sync::Arc;

use jiff::Timestamp;
use mailbridge_core::{
    Code, Error, Mailbox, Result,
    changes::{Ask, Cursor, Found, Item, Page},
    contract::MailContent,
};

use super::{Letter, State, What, id};
use crate::simulation::Dice;

/// What a cursor stands for.
pub(super) struct Place {
    /// The cursor that it was given for.
    pub(super) parent: Option<usize>,
    /// The messages that were shown on the page that led here.
    pub(super) given: Vec<String>,
    pub(super) forgotten: bool,
    mailbox: Mailbox,
    folder: String,
    since: Option<Timestamp>,
    only_new: bool,
    at: At,
}

#[derive(Clone)]
enum At {
    /// So far in a list of what was there, after which the log goes on at `then`.
    List {
        ids: Arc<Vec<String>>,
        from: usize,
        then: usize,
    },
    Log(usize),
}

pub(super) fn number(cursor: &Cursor) -> Option<usize> {
    cursor.0.parse().ok()
}

impl State {
    pub(super) fn page(&mut self, ask: &Ask<'_>) -> Result<Page> {
        let size = usize::try_from(ask.page_size).unwrap_or(usize::MAX);
        let at = match ask.cursor.map(number) {
            None => self.begin(ask),
            Some(at) => self.resume(at)?,
        };
        let place = &self.places[at];
        let (mailbox, folder, since) = (place.mailbox.clone(), place.folder.clone(), place.since);
        let (only_new, before, from) = (place.only_new, place.given.clone(), place.at.clone());
        if self.dice.chance(self.manners.empty) {
            return Ok(self.turn(at, Vec::new(), from, true));
        }
        let log = self.log(&mailbox, &folder).len();
        let (ids, next) = match from {
            At::List { ids, from, then } => {
                let end = ids.len().min(from.saturating_add(size));
                let shown = ids[from..end].iter().map(|it| (it.clone(), What::New)).collect();
                let next = At::List { ids: Arc::clone(&ids), from: end, then };
                (shown, if end < ids.len() { next } else { At::Log(then) })
            }
            At::Log(from) => {
                let end = log.min(from.saturating_add(size));
                let entries = &self.log(&mailbox, &folder)[from..end];
                let shown = entries.iter().map(|it| (it.id.clone(), it.what)).collect();
                (self.shuffled(shown, from), At::Log(end))
            }
        };
        let more = !matches!(next, At::Log(end) if end == log);
        let mut items = Vec::new();
        for (id, what) in ids {
            items.extend(self.item(&id, what, &folder, since, only_new));
        }
        if self.dice.chance(self.manners.repeated) {
            for id in before {
                items.extend(self.item(&id, What::New, &folder, since, only_new));
            }
        }
        Ok(self.turn(at, items, next, more))
    }

    /// Everything that is there.
    fn begin(&mut self, ask: &Ask<'_>) -> usize {
        let (mailbox, folder) = (ask.mailbox.clone(), ask.folder.to_owned());
        let then = self.log(&mailbox, &folder).len();
        let here = |letter: &Letter| {
            let since = ask.since.is_none_or(|since| letter.received >= since);
            let there = letter.folder.as_ref() == Some(&folder) && letter.mailbox == mailbox;
            since && there && !letter.late
        };
        let ids = self.letters.iter().filter(|(_, it)| here(it)).map(|(id, _)| id.clone());
        let ids = self.shuffled(ids.collect(), 0);
        let at = At::List { ids: Arc::new(ids), from: 0, then };
        let only_new = ask.select.only_new;
        let (parent, given, forgotten, since) = (None, Vec::new(), false, ask.since);
        self.places.push(Place { parent, given, forgotten, mailbox, folder, since, only_new, at });
        self.places.len() - 1
    }

    fn resume(&mut self, at: Option<usize>) -> Result<usize> {
        let expired = self.dice.chance(self.manners.expired);
        let place = at.and_then(|at| self.places.get_mut(at));
        match (at, place) {
            (Some(at), Some(place)) if !place.forgotten && !expired => Ok(at),
            (_, place) => {
                if let Some(place) = place {
                    place.forgotten = true;
                }
                Err(Error::transient(Code::GraphCursorExpired, "syncStateNotFound"))
            }
        }
    }

    /// The page, and a cursor for the next one.
    fn turn(&mut self, parent: usize, items: Vec<Item>, at: At, more: bool) -> Page {
        let shown = |item: &Item| match item {
            Item::Present(found) => Some(found.id.0.clone()),
            Item::Removed(_) | Item::Unreadable { .. } => None,
        };
        let before = &self.places[parent];
        let place = Place {
            parent: Some(parent),
            given: items.iter().filter_map(shown).collect(),
            forgotten: false,
            mailbox: before.mailbox.clone(),
            folder: before.folder.clone(),
            since: before.since,
            only_new: before.only_new,
            at,
        };
        self.places.push(place);
        let next = Cursor((self.places.len() - 1).to_string());
        Page { items, next, more }
    }

    /// The same order each time, so that a page that is asked for again is as it was.
    fn shuffled<T>(&self, mut all: Vec<T>, seed: usize) -> Vec<T> {
        if self.manners.shuffled {
            let mut dice = Dice::new(seed as u64);
            for at in 1..all.len() {
                let other = usize::try_from(dice.below(at as u64 + 1)).unwrap_or_default();
                all.swap(at, other);
            }
        }
        all
    }

    /// What is said of a message now, whatever happened when.
    fn item(
        &mut self,
        id: &str,
        what: What,
        folder: &str,
        since: Option<Timestamp>,
        only_new: bool,
    ) -> Option<Item> {
        let letter = self.letters.get(id)?;
        if since.is_some_and(|since| letter.received < since) || (only_new && what != What::New) {
            return None;
        }
        if letter.folder.as_deref() != Some(folder) {
            let removed = Item::Removed(super::id(id));
            return (what == What::Gone).then_some(removed);
        }
        let mut found = found(id, letter);
        if what == What::Touched && self.dice.chance(self.manners.partial) {
            found.complete = false;
            found.properties = vec!["isRead".to_owned()];
            found.content = Box::default();
            if self.dice.chance(50) {
                found.received = None;
            }
        }
        Some(Item::Present(Box::new(found)))
    }
}

/// All that is known of a message.
pub(super) fn found(it: &str, letter: &Letter) -> Found {
    let content = MailContent {
        subject: Some(it.to_owned()),
        is_read: Some(letter.is_read),
        categories: letter.categories.clone(),
        received_at: Some(letter.received),
        ..MailContent::default()
    };
    Found {
        id: id(it),
        complete: true,
        version: Some(format!("v{}", letter.version)),
        received: Some(letter.received),
        folder: letter.folder.clone(),
        modified: Some(letter.modified),
        properties: Vec::new(),
        content: Box::new(content),
        raw: None,
    }
}
