//! Mailboxes to read from, as Graph shows them: folders, a log of what happens in each, and cursors,
//! which are forgotten now and then.
//!
//! It keeps the truth: which messages are where, and of every cursor which messages it has passed.
//! Mail that is *sent* is the [`Mailroom`](super::Mailroom)'s; here it only arrives.

mod page;
mod port;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use mailbridge_core::{
    Code, Error, Mailbox, Result, Scope, Verdict, changes::Cursor, contract::MessageId,
};
use tokio::time::Instant;

use self::page::Place;
use super::Dice;

/// Mailboxes. Clones are one; each worker takes its ports with its own power.
#[derive(Clone)]
pub struct Office(Arc<Inner>);

struct Inner {
    begun: Instant,
    state: Mutex<State>,
}

/// How often, in percent of all calls or items, it does what Graph may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// It does not answer.
    pub unavailable: u64,
    /// It asks for a pause.
    pub throttled: u64,
    /// It has forgotten a cursor.
    pub expired: u64,
    /// It gives a page without anything.
    pub empty: u64,
    /// It gives a page's messages once more with the next page.
    pub repeated: u64,
    /// It gives a change in part.
    pub partial: u64,
    /// It gives a page in another order.
    pub shuffled: bool,
}

/// A message, wherever it is.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its mailbox.
    pub mailbox: Mailbox,
    /// Its folder; none, of one that was deleted.
    pub folder: Option<String>,
    /// When it came.
    pub received: Timestamp,
    /// When something of it changed.
    pub modified: Timestamp,
    /// How often something of it changed.
    pub version: u64,
    /// Whether it was read.
    pub is_read: bool,
    /// Its categories.
    pub categories: Vec<String>,
    /// Graph does not show it yet.
    late: bool,
}

struct State {
    dice: Dice,
    manners: Manners,
    letters: BTreeMap<String, Letter>,
    /// By mailbox and folder.
    logs: HashMap<(Mailbox, String), Vec<Entry>>,
    late: Vec<(Instant, String)>,
    places: Vec<Place>,
    blocked: bool,
    denied: HashSet<Mailbox>,
    throttled: HashMap<Mailbox, Instant>,
    /// How often pages of each mailbox were asked for.
    asked: HashMap<Mailbox, usize>,
    staff: Vec<Mailbox>,
    /// How long the directory takes to answer.
    directory_takes: Duration,
}

/// What happened in a folder.
struct Entry {
    id: String,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// It came, or was moved here.
    New,
    Touched,
    Gone,
}

impl Office {
    /// Mailboxes with nothing in them.
    pub fn new(seed: u64, manners: Manners) -> Self {
        let state = State {
            dice: Dice::new(seed),
            manners,
            letters: BTreeMap::new(),
            logs: HashMap::new(),
            late: Vec::new(),
            places: Vec::new(),
            blocked: false,
            denied: HashSet::new(),
            throttled: HashMap::new(),
            asked: HashMap::new(),
            staff: Vec::new(),
            directory_takes: Duration::ZERO,
        };
        Self(Arc::new(Inner { begun: Instant::now(), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What time it is in this world: virtual, and far from 1970.
    pub fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_hours(500_000) + self.0.begun.elapsed()
    }

    /// From now on it behaves like this.
    pub fn behave(&self, manners: Manners) {
        self.state().manners = manners;
    }

    /// There is such a folder. One that a message was put into is there anyway.
    pub fn make_folder(&self, mailbox: &str, folder: &str) {
        self.state().log(&Mailbox::new(mailbox), folder);
    }

    /// A message comes. Returns its id.
    pub fn deliver(&self, mailbox: &str, folder: &str) -> String {
        self.deliver_of(mailbox, folder, self.now())
    }

    /// A message comes, with this time as the one when it was received.
    pub fn deliver_of(&self, mailbox: &str, folder: &str, received: Timestamp) -> String {
        let now = self.now();
        let mut state = self.state();
        let id = format!("{folder}-{:05}", state.letters.len());
        let mailbox = Mailbox::new(mailbox);
        let letter = Letter {
            mailbox: mailbox.clone(),
            folder: Some(folder.to_owned()),
            received,
            modified: now,
            version: 0,
            is_read: false,
            categories: Vec::new(),
            late: false,
        };
        state.letters.insert(id.clone(), letter);
        state.log(&mailbox, folder).push(Entry { id: id.clone(), what: What::New });
        id
    }

    /// A message comes that Graph shows only after a while.
    pub fn deliver_late(&self, mailbox: &str, folder: &str, after: Duration) -> String {
        let id = self.deliver(mailbox, folder);
        let mut state = self.state();
        state.log(&Mailbox::new(mailbox), folder).retain(|entry| entry.id != id);
        if let Some(letter) = state.letters.get_mut(&id) {
            letter.late = true;
        }
        state.late.push((Instant::now() + after, id.clone()));
        id
    }

    /// Somebody reads a message, or marks it unread.
    pub fn read(&self, id: &str, is_read: bool) {
        self.touch(id, |letter| letter.is_read = is_read);
    }

    fn touch(&self, id: &str, change: impl FnOnce(&mut Letter)) {
        let now = self.now();
        let mut state = self.state();
        let Some(letter) = state.letters.get_mut(id) else { return };
        change(letter);
        (letter.modified, letter.version) = (now, letter.version + 1);
        if let (Some(folder), mailbox, false) =
            (letter.folder.clone(), letter.mailbox.clone(), letter.late)
        {
            state.log(&mailbox, &folder).push(Entry { id: id.to_owned(), what: What::Touched });
        }
    }

    /// Somebody moves a message, or deletes it.
    pub fn put(&self, id: &str, to: Option<&str>) {
        let now = self.now();
        let mut state = self.state();
        state.show_late(None);
        let Some(letter) = state.letters.get_mut(id) else { return };
        if letter.folder.as_deref() == to {
            return;
        }
        let mailbox = letter.mailbox.clone();
        let from = std::mem::replace(&mut letter.folder, to.map(str::to_owned));
        (letter.modified, letter.version) = (now, letter.version + 1);
        for (folder, what) in [(from.as_deref(), What::Gone), (to, What::New)] {
            if let Some(folder) = folder {
                state.log(&mailbox, folder).push(Entry { id: id.to_owned(), what });
            }
        }
    }

    /// It forgets all cursors that it has given so far.
    pub fn forget_cursors(&self) {
        for place in &mut self.state().places {
            place.forgotten = true;
        }
    }

    /// The connection is blocked for all, or is not any more.
    pub fn block(&self, blocked: bool) {
        self.state().blocked = blocked;
    }

    /// A mailbox denies access, or does not any more.
    pub fn deny(&self, mailbox: &str, denied: bool) {
        let mut state = self.state();
        let mailbox = Mailbox::new(mailbox);
        if denied {
            state.denied.insert(mailbox);
        } else {
            state.denied.remove(&mailbox);
        }
    }

    /// A mailbox asks to be left alone for so long.
    pub fn throttle(&self, mailbox: &str, pause: Duration) {
        self.state().throttled.insert(Mailbox::new(mailbox), Instant::now() + pause);
    }

    /// What the directory answers, and how long that takes.
    pub fn staff(&self, mailboxes: &[&str], takes: Duration) {
        let mut state = self.state();
        state.staff = mailboxes.iter().map(|it| Mailbox::new(*it)).collect();
        state.directory_takes = takes;
    }

    /// A message as it is now.
    pub fn letter(&self, id: &str) -> Option<Letter> {
        self.state().letters.get(id).cloned()
    }

    /// The ids of all messages in folders that a pattern names.
    pub fn ids(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let state = self.state();
        let here = |letter: &Letter| letter.folder.as_deref().is_some_and(&wanted);
        state.letters.iter().filter(|(_, it)| here(it)).map(|(id, _)| id.clone()).collect()
    }

    /// The messages that whoever holds this cursor has been shown, in their order, repeats and all.
    pub fn passed(&self, cursor: &Cursor) -> Vec<String> {
        let state = self.state();
        let mut pages = Vec::new();
        let mut at = page::number(cursor);
        while let Some(place) = at.and_then(|at| state.places.get(at)) {
            pages.push(place.given.clone());
            at = place.parent;
        }
        pages.into_iter().rev().flatten().collect()
    }

    /// How often pages of a mailbox were asked for.
    pub fn asked(&self, mailbox: &str) -> usize {
        self.state().asked.get(&Mailbox::new(mailbox)).copied().unwrap_or_default()
    }
}

impl State {
    fn log(&mut self, mailbox: &Mailbox, folder: &str) -> &mut Vec<Entry> {
        self.logs.entry((mailbox.clone(), folder.to_owned())).or_default()
    }

    /// Shows what is due by now, or everything.
    fn show_late(&mut self, now: Option<Instant>) {
        let (due, late): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(due, _)| now.is_none_or(|now| *due <= now));
        self.late = late;
        for (_, id) in due {
            let Some(letter) = self.letters.get_mut(&id) else { continue };
            letter.late = false;
            if let (Some(folder), mailbox) = (letter.folder.clone(), letter.mailbox.clone()) {
                self.log(&mailbox, &folder).push(Entry { id, what: What::New });
            }
        }
    }

    /// What every call may meet.
    fn answers(&mut self, mailbox: &Mailbox) -> Result<()> {
        if self.blocked {
            return Err(Error::blocked(Code::CredentialSecretExpired, "expired"));
        }
        let closed = |code, after| {
            let verdict = Verdict::Blocked { scope: Scope::Mailbox, after };
            Err(Error::new(code, verdict, "not now"))
        };
        if self.denied.contains(mailbox) {
            return closed(Code::MailboxDenied, None);
        }
        let now = Instant::now();
        if self.dice.chance(self.manners.throttled) {
            let pause = Duration::from_secs(1 + self.dice.below(60));
            self.throttled.insert(mailbox.clone(), now + pause);
        }
        if let Some(until) = self.throttled.get(mailbox).filter(|until| **until > now) {
            return closed(Code::GraphThrottled, Some(*until - now));
        }
        if self.dice.chance(self.manners.unavailable) {
            return Err(Error::transient(Code::GraphUnavailable, "busy"));
        }
        Ok(())
    }
}

fn id(id: &str) -> MessageId {
    MessageId(id.to_owned())
}
