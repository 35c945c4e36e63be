//! A folder's record as a turn has it in hand: read from the store, and put back by compare-and-swap.

use mailbridge_core::{Code, Error, Mailbox, Put, Result, Revision, changes::Folder};

use super::{
    folders::Place,
    judge::View,
    line::Line,
    record::{self, Record},
    stage::Stage,
};

/// A record as it stands in the store.
pub(super) struct Held {
    pub(super) record: Record,
    pub(super) revision: Option<Revision>,
    /// What goes out with the record.
    pub(super) stage: Stage,
    /// It differs from what is stored.
    pub(super) changed: bool,
}

impl Held {
    pub(super) fn view(&self, only_new: bool) -> View {
        let Record { phase, since, checked_at, .. } = &self.record;
        let (phase, since, checked) = (*phase, *since, *checked_at);
        View { phase, since, begun: self.record.begun(), checked, only_new }
    }
}

impl Line {
    /// The record of a folder. One that is new is stored before anything is read, so that what comes
    /// from then on is told, also after a crash.
    pub(super) async fn load(
        &self,
        mailbox: &Mailbox,
        folder: &Folder,
        places: &Place,
    ) -> Result<Held> {
        let key = record::key(&self.pipeline, mailbox, &folder.id);
        if let Some((bytes, revision)) = self.store.get(&key).await? {
            let mut record =
                Record::from_bytes(&bytes).map_err(|error| error.with("folder", &folder.path))?;
            // it may have been renamed since
            record.folder = folder.clone();
            let stage = Stage::default();
            return Ok(Held { record, revision: Some(revision), stage, changed: false });
        }
        let (start, now) = places.start(folder, self.known_since(mailbox));
        let record = Record::new(mailbox, folder, start, now);
        let stage = Stage::default();
        let mut held = Held { record, revision: None, stage, changed: true };
        self.commit(&mut held).await?;
        Ok(held)
    }

    /// Moves the record. Everything before it is out then.
    pub(super) async fn commit(&self, held: &mut Held) -> Result<()> {
        self.share.check(&held.record.mailbox)?;
        held.record.saved_at = self.now();
        let put = if self.commits {
            self.commit_together(held).await?
        } else {
            let Record { mailbox, folder, .. } = &held.record;
            let key = record::key(&self.pipeline, mailbox, &folder.id);
            self.store.put(&key, held.record.to_bytes()?, held.revision).await?
        };
        let Record { mailbox, folder, .. } = &held.record;
        match put {
            Put::Stored(revision) => {
                (held.revision, held.changed) = (Some(revision), false);
                let saved_at = held.record.saved_at;
                self.board.note(mailbox, |status| status.cursor_at = Some(saved_at));
                Ok(())
            }
            Put::Conflict => {
                let detail = "another worker has read this folder meanwhile";
                Err(Error::transient(Code::CursorTaken, detail).with("folder", &folder.path))
            }
        }
    }
}
