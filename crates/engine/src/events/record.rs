//! What is kept of a folder: how far it was read, and what was told. One value in the state store,
//! changed by compare-and-swap, so that of two workers that read one folder only one gets on.
//!
//! JSON, so that a person can look at it; a version, so that an older one is always read.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use mailbridge_core::{
    Code, Error, Mailbox, Result,
    changes::{Cursor, Folder},
};
use serde::{Deserialize, Serialize};

use super::{
    after::Pending,
    content::digest,
    judge::Phase,
    recent::{READING_MAX, Recent, STEADY_MAX},
    settings::Start,
};

/// Graph gives a folder from a time on only for so many messages (learn.microsoft.com,
/// message-delta: 5,000); before that it is read as a whole.
const FILTERED_MAX: u32 = 4_000;
/// How far before now a folder is asked for that is to be read from now on: clocks differ.
const BEFORE_NOW: SignedDuration = SignedDuration::from_mins(10);
const VERSION: u32 = 1;

/// What is kept of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The mailbox, as the pipeline names it.
    pub mailbox: Mailbox,
    /// The folder.
    pub folder: Folder,
    /// Where the next page begins. Without it: at the beginning.
    pub cursor: Option<Cursor>,
    /// Messages that were received earlier do not exist for the pipeline.
    pub since: Option<Timestamp>,
    /// When it was last written.
    pub saved_at: Timestamp,
    /// When it was last known that all was read up to then.
    pub checked_at: Option<Timestamp>,
    /// How many messages were told, in all.
    pub told: u64,
    pub(super) phase: Phase,
    /// How many messages came through a cursor that Graph bounds; nothing, through others.
    pub(super) filtered: Option<u32>,
    pub(super) recent: Recent,
    pub(super) pending: Pending,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    mailbox: Mailbox,
    folder: String,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    saved_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checked_at: Option<Timestamp>,
    told: u64,
    phase: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filtered: Option<u32>,
    recent: String,
    #[serde(default, skip_serializing_if = "Pending::is_empty")]
    pending: Pending,
}

/// A phase as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Skim,
    First,
    Again,
    Steady,
}

impl Record {
    /// The record of a folder that was never read.
    pub(super) fn new(mailbox: &Mailbox, folder: &Folder, start: Start, now: Timestamp) -> Self {
        let (phase, since, filtered) = match start {
            Start::Now => (Phase::Skim, Some(now - BEFORE_NOW), Some(0)),
            Start::All => (Phase::First, None, None),
            Start::At(time) => (Phase::First, Some(time), None),
        };
        Self {
            mailbox: mailbox.clone(),
            folder: folder.clone(),
            cursor: None,
            since,
            saved_at: now,
            checked_at: None,
            told: 0,
            phase,
            filtered,
            recent: Recent::default(),
            pending: Pending::default(),
        }
    }

    /// From which time on Graph is to give messages, in a first page.
    pub(super) fn asks_since(&self) -> Option<Timestamp> {
        self.since.filter(|_| self.filtered.is_some())
    }

    /// A page of so many messages, which was asked for at this time, was told.
    pub(super) fn advance(&mut self, next: Cursor, more: bool, messages: usize, asked: Timestamp) {
        self.cursor = Some(next);
        if !more {
            self.phase = Phase::Steady;
            self.checked_at = Some(asked);
        }
        if let Some(count) = &mut self.filtered {
            *count = count.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
            if *count >= FILTERED_MAX {
                self.begin_again();
                // as a whole this time
                self.filtered = None;
            }
        }
        let ended = !more && self.is_steady();
        self.recent.trim(if ended { STEADY_MAX } else { READING_MAX }, ended);
    }

    /// The folder is read from its beginning; what was told stays known.
    pub fn begin_again(&mut self) {
        self.cursor = None;
        match self.phase {
            Phase::Steady | Phase::Again => (self.phase, self.filtered) = (Phase::Again, None),
            Phase::First => self.filtered = None,
            // what is there was not told and will not be, but little of it need be read to know that
            Phase::Skim => self.filtered = self.filtered.map(|_| 0),
        }
    }

    /// Of a folder that is read from now on: when now was. What was received since then is told.
    ///
    /// Graph tells when a mail was received to the second (learn.microsoft.com, message), so what came in
    /// the same second counts as having come since.
    pub(super) fn begun(&self) -> Option<Timestamp> {
        let begun = self.since?.checked_add(BEFORE_NOW).ok()?;
        Timestamp::from_second(begun.as_second()).ok()
    }

    /// The folder is read from its beginning, and from this time on everything is told, also what was
    /// told before.
    pub fn forget(&mut self, start: Start, now: Timestamp) {
        let pending = std::mem::take(&mut self.pending);
        *self = Self { pending, ..Self::new(&self.mailbox, &self.folder, start, now) };
    }

    /// Whether it has been read to its end.
    pub fn is_steady(&self) -> bool {
        self.phase == Phase::Steady
    }

    /// How it is being read, in a word.
    pub fn reading(&self) -> &'static str {
        match self.phase {
            Phase::Skim => "skimming",
            Phase::First => "first",
            Phase::Again => "again",
            Phase::Steady => "steady",
        }
    }

    /// How many messages are known by their ids.
    pub fn known(&self) -> usize {
        self.recent.len()
    }

    /// The record as it is stored.
    pub fn to_bytes(&self) -> Result<Bytes> {
        let written = Written {
            version: VERSION,
            mailbox: self.mailbox.clone(),
            folder: self.folder.id.clone(),
            path: self.folder.path.clone(),
            cursor: self.cursor.clone(),
            since: self.since,
            saved_at: self.saved_at,
            checked_at: self.checked_at,
            told: self.told,
            phase: match self.phase {
                Phase::Skim => Word::Skim,
                Phase::First => Word::First,
                Phase::Again => Word::Again,
                Phase::Steady => Word::Steady,
            },
            filtered: self.filtered,
            recent: BASE64.encode(self.recent.to_bytes()),
            pending: self.pending.clone(),
        };
        let bytes = serde_json::to_vec(&written).map_err(|_| {
            Error::permanent(Code::Internal, "the record of a folder cannot be written")
        })?;
        Ok(bytes.into())
    }

    /// A record that was stored.
    ///
    /// # Errors
    /// `state_failed`, when it is none, or one of a newer mailbridge: nothing is guessed, since a wrong
    /// guess would tell everything again.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let unreadable = |detail: &'static str| {
            Error::permanent(Code::StateFailed, detail)
                .with("cure", "`mailbridge cursor reset` begins the folder anew")
        };
        let written: Written = serde_json::from_slice(bytes)
            .map_err(|_| unreadable("the record of a folder cannot be read"))?;
        if written.version > VERSION {
            return Err(unreadable("the record of a folder is of a newer mailbridge"));
        }
        let recent = BASE64.decode(&written.recent).ok().and_then(|it| Recent::from_bytes(&it));
        Ok(Self {
            mailbox: written.mailbox,
            folder: Folder { id: written.folder, path: written.path },
            cursor: written.cursor,
            since: written.since,
            saved_at: written.saved_at,
            checked_at: written.checked_at,
            told: written.told,
            phase: match written.phase {
                Word::Skim => Phase::Skim,
                Word::First => Phase::First,
                Word::Again => Phase::Again,
                Word::Steady => Phase::Steady,
            },
            filtered: written.filtered,
            recent: recent.ok_or_else(|| unreadable("the record of a folder is damaged"))?,
            pending: written.pending,
        })
    }
}

/// What the keys of a pipeline's records begin with.
pub fn prefix(pipeline: &str) -> String {
    format!("cursor/{pipeline}/")
}

/// The key of a folder's record. State keys take no `@`, and ids are long and told apart by case.
pub fn key(pipeline: &str, mailbox: &Mailbox, folder: &str) -> String {
    let mailbox = digest(&mailbox.as_str().to_lowercase());
    format!("{}{mailbox}/{}", prefix(pipeline), digest(folder))
}

/// The key of what is known of a mailbox's folders.
pub(super) fn folders_key(pipeline: &str, mailbox: &Mailbox) -> String {
    format!("folders/{pipeline}/{}", digest(&mailbox.as_str().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use mailbridge_core::contract::MessageId;

    use super::*;

    fn record(start: Start) -> Record {
        let folder = Folder { id: "inbox".to_owned(), path: "inbox".to_owned() };
        let now = Timestamp::from_second(1_000_000).unwrap();
        Record::new(&Mailbox::new("a@x.org"), &folder, start, now)
    }

    fn next(text: &str) -> Cursor {
        Cursor(text.to_owned())
    }

    #[test]
    fn is_read_as_it_was_written_and_small_enough_for_every_store() {
        let mut record = record(Start::All);
        for number in 0..READING_MAX + 10 {
            let received = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
            record.recent.add(&MessageId(format!("id{number}")), Some(received), 7);
        }
        for number in 0..Pending::MAX {
            record.pending.add(MessageId(format!("{number}{}", "x".repeat(150))));
        }
        record.advance(next(&"c".repeat(4_000)), true, 100, Timestamp::UNIX_EPOCH);
        let bytes = record.to_bytes().unwrap();
        assert!(bytes.len() < 900_000, "{}", bytes.len());
        assert_eq!(Record::from_bytes(&bytes).unwrap(), record);
        record.advance(next("d"), false, 100, Timestamp::UNIX_EPOCH);
        assert!(record.to_bytes().unwrap().len() < 100_000);
    }

    #[test]
    fn a_record_of_the_first_version_is_read() {
        let text = r#"{"version":1,"mailbox":"a@x.org","folder":"inbox","path":"inbox",
            "cursor":"https://g.example/d?t=1","saved_at":"2026-11-01T10:00:00Z","told":5,
            "phase":"steady","recent":"AAAAAAAAAAA"}"#;
        let record = Record::from_bytes(text.as_bytes()).unwrap();
        assert!(record.is_steady() && record.told == 5 && record.recent == Recent::default());
        for bad in
            ["", "{}", &text.replace("\"version\":1", "\"version\":2"), &text.replace("AAA", "")]
        {
            assert_eq!(Record::from_bytes(bad.as_bytes()).unwrap_err().code(), Code::StateFailed);
        }
    }

    #[test]
    fn a_bounded_cursor_is_left_before_its_bound() {
        let mut record = record(Start::Now);
        assert!(record.asks_since().is_some_and(|since| since < record.saved_at));
        record.advance(next("a"), false, 0, Timestamp::UNIX_EPOCH);
        for _ in 0..39 {
            record.advance(next("b"), false, 100, Timestamp::UNIX_EPOCH);
        }
        assert!(record.cursor.is_some() && record.is_steady());
        record.advance(next("c"), false, 100, Timestamp::UNIX_EPOCH);
        assert_eq!((record.cursor.as_ref(), record.phase), (None, Phase::Again));
        assert_eq!(record.asks_since(), None, "the whole folder this time");
        assert!(record.since.is_some(), "and what is older does still not exist");
    }

    #[test]
    fn a_bounded_cursor_that_is_too_small_from_the_beginning_is_left_too() {
        let mut record = record(Start::Now);
        for _ in 0..40 {
            record.advance(next("a"), true, 100, Timestamp::UNIX_EPOCH);
        }
        assert_eq!((record.cursor.as_ref(), record.phase), (None, Phase::Skim));
        assert_eq!(record.asks_since(), None, "the whole folder this time");
        record.begin_again();
        assert_eq!(record.asks_since(), None, "also when Graph has forgotten that cursor");
    }

    #[test]
    fn what_comes_in_many_pages_in_any_order_is_as_new_as_it_was() {
        let mut record = record(Start::All);
        let second = |second: usize| Timestamp::from_second(i64::try_from(second).unwrap()).ok();
        let tell = |record: &mut Record, from: usize, more| {
            for number in from..from + 2_000 {
                record.recent.add(&MessageId(format!("id{number}")), second(number), 7);
            }
            record.advance(next("a"), more, 2_000, Timestamp::UNIX_EPOCH);
        };
        tell(&mut record, 0, false);
        tell(&mut record, 40_000, true);
        assert!(record.recent.is_past_edge(second(2_001)), "the next page may be older");
        tell(&mut record, 30_000, false);
        assert!(!record.recent.is_past_edge(second(40_000)));
    }

    #[test]
    fn a_folder_that_was_never_read_to_its_end_is_not_taken_for_one_that_was() {
        for (start, phase) in [(Start::All, Phase::First), (Start::Now, Phase::Skim)] {
            let mut record = record(start);
            record.advance(next("a"), true, 10, Timestamp::UNIX_EPOCH);
            record.begin_again();
            assert_eq!((record.cursor.as_ref(), record.phase), (None, phase));
        }
    }

    #[test]
    fn keys_fit_every_store() {
        let key = key("orders", &Mailbox::new("A@x.org"), "AAMk/+==");
        assert_eq!(key, super::key("orders", &Mailbox::new("a@X.org"), "AAMk/+=="));
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "._/=-".contains(c)));
        assert_ne!(key, super::key("orders", &Mailbox::new("a@x.org"), "aamk/+=="));
    }
}
