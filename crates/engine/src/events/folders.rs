//! Which folders of a mailbox are read.
//!
//! Well-known names are as they are. Other patterns are resolved by asking, and asked about again, so
//! that a folder that is made below one of them is followed. When the mailbox was first looked at is
//! kept in the state store: what comes into a folder that was made since then is told, also where
//! the pipeline starts from now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use mailbridge_core::{
    Code, Deadline, Error, Mailbox, Put, Result, Revision,
    changes::{Cursor, Folder, Folders},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{line::Line, record, settings::Start};

/// How often it is asked whether there are other folders now, at least.
const ASK: Duration = Duration::from_mins(1);
/// And after how many looks at a mailbox.
const LOOKS: u32 = 4;

/// The folders of all mailboxes of a pipeline.
pub(super) struct Places {
    patterns: Vec<String>,
    start: Start,
    /// Where the patterns name the same folders of every mailbox, for good.
    fixed: OnceLock<Arc<Place>>,
    others: Mutex<HashMap<Mailbox, Arc<Place>>>,
}

/// The folders of a mailbox.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folders: Vec<Folder>,
    start: Start,
    kept: Option<Kept>,
    revision: Option<Revision>,
    asked: Instant,
}

/// What is kept about a mailbox's folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    mailbox: Mailbox,
    /// When it was first looked at.
    since: Timestamp,
    /// The ids of those that were there then.
    first: Vec<String>,
    folders: Vec<Folder>,
    cursor: Cursor,
    /// What was asked for. Other patterns are other folders, with another beginning.
    #[serde(default)]
    patterns: Vec<String>,
}

impl Place {
    /// From where a folder that was never read is to be read, and when that begins. What came since
    /// the mailbox was first looked at is told, however late the folder's own turn is.
    pub(super) fn start(&self, folder: &Folder, now: Timestamp) -> (Start, Timestamp) {
        match (&self.kept, self.start) {
            (Some(kept), Start::Now) if kept.first.contains(&folder.id) => (Start::Now, kept.since),
            (Some(kept), Start::Now) => (Start::At(kept.since), now),
            (_, start) => (start, now),
        }
    }
}

impl Places {
    pub(super) fn new(patterns: Vec<String>, start: Start) -> Self {
        Self { patterns, start, fixed: OnceLock::new(), others: Mutex::default() }
    }

    fn others(&self) -> MutexGuard<'_, HashMap<Mailbox, Arc<Place>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A folder of it is not there: ask at the next turn.
    pub(super) fn gone(&self, mailbox: &Mailbox) {
        self.others().remove(mailbox);
    }

    /// The folders of a mailbox as they are now, or were a moment ago.
    pub(super) async fn of(
        &self,
        line: &Line,
        mailbox: &Mailbox,
        deadline: &Deadline,
    ) -> Result<Arc<Place>> {
        if let Some(place) = self.fixed.get() {
            return Ok(Arc::clone(place));
        }
        let known = self.others().get(mailbox).cloned();
        if let Some(place) = &known
            && place.asked.elapsed() < ASK.min(line.settings.every * LOOKS)
        {
            return Ok(Arc::clone(place));
        }
        let key = record::folders_key(&line.pipeline, mailbox);
        let (kept, revision) = match known {
            Some(place) => (place.kept.clone(), place.revision),
            None => match line.store.get(&key).await? {
                Some((bytes, revision)) => {
                    let kept = serde_json::from_slice(&bytes).ok();
                    (kept.filter(|kept: &Kept| kept.patterns == self.patterns), Some(revision))
                }
                None => (None, None),
            },
        };
        let cursor = kept.as_ref().map(|kept| &kept.cursor);
        let asked = line.changes.folders(mailbox, &self.patterns, cursor, deadline).await;
        let answer = match asked {
            Err(error) if cursor.is_some() && error.code() == Code::GraphCursorExpired => {
                line.changes.folders(mailbox, &self.patterns, None, deadline).await?
            }
            other => other?,
        };
        let place = match (answer, kept) {
            (Folders::All(folders, None), _) => {
                let place = Arc::new(self.place(folders, None, None));
                return Ok(Arc::clone(self.fixed.get_or_init(|| place)));
            }
            // the folders are as they were, and so is what is kept of them
            (Folders::Same(_), Some(kept)) => {
                self.place(kept.folders.clone(), Some(kept), revision)
            }
            (Folders::Same(_), None) => return Err(nothing()),
            (Folders::All(folders, Some(cursor)), kept) => {
                let kept = self.kept(kept, mailbox, folders, cursor, line.known_since(mailbox));
                self.keep(line, &key, kept, revision).await?
            }
        };
        if place.folders.is_empty() {
            self.gone(mailbox);
            return Err(nothing());
        }
        let place = Arc::new(place);
        self.others().insert(mailbox.clone(), Arc::clone(&place));
        Ok(place)
    }

    fn kept(
        &self,
        before: Option<Kept>,
        mailbox: &Mailbox,
        folders: Vec<Folder>,
        cursor: Cursor,
        now: Timestamp,
    ) -> Kept {
        match before {
            Some(kept) => Kept { folders, cursor, ..kept },
            None => Kept {
                mailbox: mailbox.clone(),
                since: now,
                first: folders.iter().map(|folder| folder.id.clone()).collect(),
                folders,
                cursor,
                patterns: self.patterns.clone(),
            },
        }
    }

    async fn keep(
        &self,
        line: &Line,
        key: &str,
        kept: Kept,
        revision: Option<Revision>,
    ) -> Result<Place> {
        let bytes = serde_json::to_vec(&kept)
            .map_err(|_| Error::permanent(Code::Internal, "folders cannot be written down"))?;
        match line.store.put(key, bytes.into(), revision).await? {
            Put::Stored(revision) => {
                Ok(self.place(kept.folders.clone(), Some(kept), Some(revision)))
            }
            Put::Conflict => {
                self.gone(&kept.mailbox);
                let detail = "another worker has looked at these folders meanwhile";
                Err(Error::transient(Code::CursorTaken, detail))
            }
        }
    }

    fn place(&self, folders: Vec<Folder>, kept: Option<Kept>, revision: Option<Revision>) -> Place {
        Place { folders, start: self.start, kept, revision, asked: Instant::now() }
    }
}

fn nothing() -> Error {
    Error::permanent(Code::GraphFolderNotFound, "no folder of the mailbox is one of `folders`")
}
