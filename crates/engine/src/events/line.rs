//! The line of one mailbox's turn:
//!
//! ```text
//! record -> page -> judge -> make -> publish, one after the other, confirmed -> COMMIT RECORD -> after
//! ```
//!
//! The record moves last, by compare-and-swap. Whatever fails or breaks off before leaves it where it
//! was, and the page is read again; what was published of it has the same ids then. Whoever loses the
//! swap is not the one who reads this folder, and stops.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailbridge_core::{
    Changes, Code, Deadline, Error, Mailbox, Put, Result, Revision, StateStore, Verdict,
    changes::{Ask, Folder, Found, Item, Page, Select},
    contract::{Change, MessageId},
};
use tokio_util::sync::CancellationToken;

use super::{
    after::After,
    board::{Board, State},
    folders::Places,
    judge::{Judgement, Known, Phase, View},
    make::{Maker, Making, News},
    quarantine::Quarantine,
    recent,
    record::{self, Record},
    settings::{Settings, Start},
};
use crate::{host::OutputHost, metric};

/// Pages of one turn; then others have theirs.
const PAGES_MAX: usize = 20;
/// How often one folder is begun again in one turn.
const RESYNCS_MAX: usize = 2;
/// Where nothing has happened, the cursor is written down all the same when it is so old: Graph
/// forgets old ones first.
const CURSOR_AGE_MAX: SignedDuration = SignedDuration::from_mins(30);

/// What every turn of a pipeline shares.
pub(super) struct Line {
    pub(super) pipeline: String,
    pub(super) settings: Settings,
    pub(super) select: Select,
    pub(super) changes: Arc<dyn Changes>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) maker: Maker,
    pub(super) to: OutputHost,
    pub(super) quarantine: Quarantine,
    pub(super) after: After,
    pub(super) places: Places,
    pub(super) board: Board,
    pub(super) stop: CancellationToken,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Events that are out.
    pub(super) told: u64,
    /// There is more to be read at once.
    pub(super) more: bool,
}

/// A record as it stands in the store.
struct Held {
    record: Record,
    revision: Option<Revision>,
    /// It differs from what is stored.
    changed: bool,
}

impl Line {
    /// One turn: all folders of a mailbox, one after the other.
    pub(super) async fn turn(&self, mailbox: &Mailbox) -> Result<Turn> {
        let deadline = self.deadline();
        let places = self.places.of(self, mailbox, &deadline).await?;
        let mut held = Vec::with_capacity(places.folders.len());
        for folder in &places.folders {
            held.push(self.load(mailbox, folder, places.start(folder)).await?);
        }
        let mut turn = Turn::default();
        let mut gone = false;
        for at in 0..held.len() {
            if self.stop.is_cancelled() {
                break;
            }
            match self.folder(&mut held, at, &mut turn).await {
                // somebody has deleted it, or it was never there
                Err(error) if error.code() == Code::GraphFolderNotFound => {
                    gone = true;
                    self.places.gone(mailbox);
                    if places.are_fixed() {
                        return Err(error);
                    }
                }
                other => other?,
            }
        }
        if !turn.more && !gone && !self.stop.is_cancelled() {
            self.board.note(mailbox, |status| status.up_to_date_at = Some(Timestamp::now()));
        }
        let steady = held.iter().all(|it| it.record.is_steady());
        self.board.note(mailbox, |status| {
            status.state = if steady { State::Steady } else { State::CatchingUp };
            status.error = None;
        });
        Ok(turn)
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::new(self.settings.deadline, self.settings.deadline_max)
    }

    /// The record of a folder. One that is new is stored before anything is read, so that what comes
    /// from then on is told, also after a crash.
    async fn load(&self, mailbox: &Mailbox, folder: &Folder, start: Start) -> Result<Held> {
        let key = record::key(&self.pipeline, mailbox, &folder.id);
        if let Some((bytes, revision)) = self.store.get(&key).await? {
            let mut record =
                Record::from_bytes(&bytes).map_err(|error| error.with("folder", &folder.path))?;
            // it may have been renamed since
            record.folder = folder.clone();
            return Ok(Held { record, revision: Some(revision), changed: false });
        }
        let record = Record::new(mailbox, folder, start, Timestamp::now());
        let mut held = Held { record, revision: None, changed: true };
        self.commit(&mut held).await?;
        Ok(held)
    }

    /// One folder, up to its end or to the turn's.
    async fn folder(&self, held: &mut [Held], at: usize, turn: &mut Turn) -> Result<()> {
        let mut resyncs = 0;
        for pages in 1.. {
            self.serve_pending(&mut held[at]).await?;
            let deadline = self.deadline();
            let asked = Timestamp::now();
            let page = match self.page(&held[at].record, &deadline).await {
                Ok(page) => page,
                Err(error) if error.code() == Code::GraphCursorExpired && resyncs < RESYNCS_MAX => {
                    resyncs += 1;
                    self.begin_again(&mut held[at], &error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let more = page.more;
            turn.told += self.tell(held, at, (page, asked), &deadline).await?;
            let held = &mut held[at];
            let old = Timestamp::now().duration_since(held.record.saved_at) > CURSOR_AGE_MAX;
            if held.changed || old {
                self.commit(held).await?;
            }
            self.serve_pending(held).await?;
            if !more && held.record.cursor.is_some() {
                return Ok(());
            }
            if pages >= PAGES_MAX || self.stop.is_cancelled() {
                turn.more = true;
                return Ok(());
            }
        }
        Ok(())
    }

    async fn page(&self, record: &Record, deadline: &Deadline) -> Result<Page> {
        let ask = Ask {
            mailbox: &record.mailbox,
            folder: &record.folder.id,
            cursor: record.cursor.as_ref(),
            select: &self.select,
            since: record.asks_since(),
            page_size: self.settings.page_size,
            deadline,
        };
        self.changes.page(&ask).await
    }

    fn begin_again(&self, held: &mut Held, error: &Error) {
        let (pipeline, mailbox) = (&self.pipeline, &held.record.mailbox);
        let (folder, code) = (&held.record.folder.path, error.code());
        tracing::info!(%pipeline, %mailbox, %folder, %code,
            "read from its beginning; what was told is not told again");
        metrics::counter!(metric::RESYNCS, "pipeline" => pipeline.clone()).increment(1);
        held.record.begin_again();
        held.changed = true;
    }

    /// Tells what is on a page, in its order, and moves the record, in memory. Says how many events
    /// are out.
    async fn tell(
        &self,
        held: &mut [Held],
        at: usize,
        (page, asked): (Page, Timestamp),
        deadline: &Deadline,
    ) -> Result<u64> {
        let Page { items, next, more } = page;
        let (mut told, read) = (0, items.len());
        let view = held[at].view(self.select.only_new);
        for item in items {
            match self.item(held, at, &view, item, deadline).await {
                Ok(out) => told += u64::from(out),
                Err(error) => {
                    self.keep_told(&mut held[at], told).await;
                    return Err(error);
                }
            }
            // what was made stays made: the time without progress begins anew
            deadline.progress();
        }
        let Held { record, changed, .. } = &mut held[at];
        let steady = record.is_steady();
        record.advance(next, more, read, asked);
        record.told += told;
        // an idle folder's cursor need not be written down each time: the one that stands is good
        *changed |= read > 0 || !steady || record.cursor.is_none();
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        self.board.note(&record.mailbox, |status| {
            status.published += told;
            status.read += read;
        });
        metrics::counter!(metric::MESSAGES_READ, "pipeline" => self.pipeline.clone())
            .increment(read);
        Ok(told)
    }

    /// A page broke off. What of it is out is kept, with the cursor where it was, so that it is not
    /// told again however long the failure lasts. Where that fails too, the bus drops the repeats.
    async fn keep_told(&self, held: &mut Held, told: u64) {
        if told == 0 {
            return;
        }
        held.record.told += told;
        if let Err(error) = self.commit(held).await {
            let (pipeline, code) = (&self.pipeline, error.code());
            tracing::debug!(%pipeline, %code, %error, "what was told of a page is not kept");
        }
    }

    /// Tells one item, and says whether an event is out.
    async fn item(
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
            // what came in part is not new in the folder, though all of it is here now
            let complete = std::mem::replace(&mut whole.complete, false);
            judged = view.judge(&whole, known, stamp);
            whole.complete = complete;
            found = whole;
        }
        let (id, received) = (found.id.clone(), found.received);
        let record = &mut held[at].record;
        let told = match judged {
            Judgement::Ignore | Judgement::Fetch => return Ok(false),
            Judgement::Note => false,
            Judgement::Tell(change) => {
                let version =
                    self.publish(record, change, id.clone(), Some(found), deadline).await?;
                match version {
                    Some(version) => {
                        stamp = version.unwrap_or(stamp);
                        true
                    }
                    None => false,
                }
            }
        };
        record.recent.add(&id, received, stamp);
        if told && judged == Judgement::Tell(Change::Received) && !self.after.steps.is_empty() {
            record.pending.add(id);
        }
        Ok(told)
    }

    /// It is not in the folder any more: where it is now says what happened.
    async fn removed(&self, held: &mut Held, id: MessageId, deadline: &Deadline) -> Result<bool> {
        let settings = &self.settings;
        let record = &mut held.record;
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
        self.publish(record, change, id, found, deadline).await.map(|told| told.is_some())
    }

    /// Makes an event and publishes it, if it is wanted. Says whether it is out, with the stamp of the
    /// version that it tells where that is known.
    async fn publish(
        &self,
        record: &Record,
        change: Change,
        id: MessageId,
        found: Option<Found>,
        deadline: &Deadline,
    ) -> Result<Option<Option<u32>>> {
        if !self.settings.tells(change) {
            return Ok(None);
        }
        let (mailbox, folder) = (&record.mailbox, record.folder.path.as_str());
        let news = News { mailbox, folder, change, id: id.clone(), found };
        let published = async {
            let made = match self.maker.make(news, deadline).await? {
                Making::Event(made) => made,
                Making::PassedBy | Making::Gone => return Ok(None),
            };
            let mut made = made;
            loop {
                let message = self.maker.message(&made)?;
                match self.to.publish(message).await {
                    Ok(()) => break,
                    Err(error)
                        if error.code() == Code::BusPayloadTooLarge
                            && self.maker.shrink(&mut made, deadline).await? => {}
                    Err(error) => return Err(error),
                }
            }
            let stamp = made.version.as_deref().map(|version| recent::stamp(Some(version), None));
            Ok(Some(stamp))
        };
        match published.await {
            Ok(Some(stamp)) => {
                metrics::counter!(metric::EVENTS, "pipeline" => self.pipeline.clone(),
                    "change" => change.as_str())
                .increment(1);
                Ok(Some(stamp))
            }
            Err(error) if error.verdict() == Verdict::Permanent => {
                self.quarantine.put(mailbox, folder, Some(&id), &error).await?;
                Ok(None)
            }
            other => other,
        }
    }

    /// Does what is to be done to mails whose events are out. The record says who they are until it is
    /// done.
    async fn serve_pending(&self, held: &mut Held) -> Result<()> {
        if held.record.pending.is_empty() {
            return Ok(());
        }
        let before = held.record.pending.len();
        let mailbox = held.record.mailbox.clone();
        let served = self.after.run(&mailbox, &mut held.record.pending).await;
        held.changed |= held.record.pending.len() != before || served.is_err();
        if held.record.pending.is_empty() || !held.record.pending.has_room() {
            // what is done is not done again after a crash, and that is cheap to know
            self.commit(held).await?;
        }
        match served {
            Err(error) if !held.record.pending.has_room() => Err(error),
            Err(error) if matches!(error.verdict(), Verdict::Blocked { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves the record. Everything before it is out.
    async fn commit(&self, held: &mut Held) -> Result<()> {
        held.record.saved_at = Timestamp::now();
        let Record { mailbox, folder, .. } = &held.record;
        let key = record::key(&self.pipeline, mailbox, &folder.id);
        match self.store.put(&key, held.record.to_bytes()?, held.revision).await? {
            Put::Stored(revision) => {
                (held.revision, held.changed) = (Some(revision), false);
                let saved_at = held.record.saved_at;
                self.board.note(mailbox, |status| status.cursor_at = Some(saved_at));
                Ok(())
            }
            Put::Conflict => Err(Error::transient(
                Code::CursorTaken,
                "another worker has read this folder meanwhile",
            )
            .with("folder", &folder.path)),
        }
    }
}

impl Held {
    fn view(&self, only_new: bool) -> View {
        let Record { phase, since, checked_at, .. } = &self.record;
        View { phase: *phase, since: *since, checked: *checked_at, only_new }
    }
}
