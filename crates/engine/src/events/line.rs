//! The line of one mailbox's turn:
//!
//! ```text
//! record -> page -> judge -> make -> publish, one after the other, confirmed -> COMMIT RECORD -> after
//! ```
//!
//! Where the bus can, a page's events and the record are committed together instead.
//!
//! The record moves last, by compare-and-swap. Whatever fails or breaks off before leaves it where it
//! was, and the page is read again; what was published of it has the same ids then. Whoever loses the
//! swap is not the one who reads this folder, and stops.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailbridge_core::{
    Changes, Code, Deadline, Error, Mailbox, Result, StateStore, Verdict,
    changes::{Ask, Cursor, Folder, Page, Select},
};
use tokio_util::sync::CancellationToken;

use super::{
    after::After,
    board::{Board, State},
    folders::Places,
    held::Held,
    make::Maker,
    quarantine::Quarantine,
    settings::{Settings, Whose},
    share::Share,
};
use crate::{host::OutputHost, ledger::Clock, metric, spans};

/// Pages of one turn, shared by the mailbox's folders, each of which has one; then others have theirs.
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
    pub(super) clock: Clock,
    pub(super) maker: Maker,
    pub(super) to: OutputHost,
    /// Events and the record that they move go together.
    pub(super) commits: bool,
    /// With whom the mailboxes are shared.
    pub(super) share: Share,
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

/// A page, and when it was asked for.
struct Asked {
    page: Page,
    at: Timestamp,
}

impl Line {
    /// Asks the directory who the mailboxes are.
    ///
    /// # Errors
    /// The directory's.
    pub(super) async fn discover(&self) -> Result<Vec<Mailbox>> {
        match &self.settings.mailboxes {
            Whose::Listed(listed) => Ok(listed.clone()),
            Whose::Rule { rule, .. } => {
                self.changes.discover(rule, &Deadline::fixed(self.settings.deadline)).await
            }
        }
    }

    /// One turn: all folders of a mailbox, one after the other. What is wrong with one of them does not
    /// keep the next from being read.
    ///
    /// # Errors
    /// The first failure. One that is the whole mailbox's ends the turn.
    pub(super) async fn turn(&self, mailbox: &Mailbox) -> Result<Turn> {
        let scope = spans::turn(&self.pipeline);
        let turn = scope.run(self.read(mailbox)).await.inspect_err(|error| scope.failed(error))?;
        scope.note(|| {
            let told = i64::try_from(turn.told).unwrap_or(i64::MAX);
            [("mailbridge.events", told.into()), ("mailbridge.more", turn.more.into())]
        });
        Ok(turn)
    }

    async fn read(&self, mailbox: &Mailbox) -> Result<Turn> {
        let places = self.places.of(self, mailbox, &self.deadline()).await?;
        let mut turn = Turn::default();
        let mut failed = None;
        let mut held = Vec::with_capacity(places.folders.len());
        for folder in &places.folders {
            match self.load(mailbox, folder, &places).await {
                Ok(it) => held.push(it),
                Err(error) => pass_by(&mut failed, error)?,
            }
        }
        let pages_max = (PAGES_MAX / held.len().max(1)).max(1);
        for at in 0..held.len() {
            if self.stop.is_cancelled() {
                break;
            }
            self.share.check(mailbox)?;
            if let Err(error) = self.folder(&mut held, at, pages_max, &mut turn).await {
                if error.code() == Code::GraphFolderNotFound {
                    self.places.gone(mailbox);
                }
                pass_by(&mut failed, error)?;
                // what the others are to know of it is what stands
                let folder = held[at].record.folder.clone();
                held[at] = self.load(mailbox, &folder, &places).await?;
            }
        }
        self.note(mailbox, &held, turn, failed.is_some());
        match failed {
            // somebody has deleted it, or it was never there; the others are read all the same
            Some(error) if error.code() == Code::GraphFolderNotFound && held.len() > 1 => {
                let state = if turn.more { State::CatchingUp } else { State::Steady };
                self.board.trouble(mailbox, state, &error, self.now());
                Ok(turn)
            }
            Some(error) => Err(error),
            None => Ok(turn),
        }
    }

    fn note(&self, mailbox: &Mailbox, held: &[Held], turn: Turn, failed: bool) {
        let steady = held.iter().all(|it| it.record.is_steady());
        let all = !turn.more && !failed && !self.stop.is_cancelled();
        self.board.note(mailbox, |status| {
            status.state = if steady { State::Steady } else { State::CatchingUp };
            if all {
                status.up_to_date_at = Some(self.now());
            }
            if !failed {
                status.error = None;
            }
        });
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// When *now* was for a mailbox that is read from now on: not when its turn came, which may be
    /// late, but when the pipeline began, or found it.
    pub(super) fn known_since(&self, mailbox: &Mailbox) -> Timestamp {
        self.board.get(mailbox).and_then(|status| status.known_since).unwrap_or_else(|| self.now())
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::new(self.settings.deadline, self.settings.deadline_max)
    }

    /// One folder, up to its end or to the turn's.
    async fn folder(
        &self,
        held: &mut [Held],
        at: usize,
        pages_max: usize,
        turn: &mut Turn,
    ) -> Result<()> {
        let (mut resyncs, mut ahead) = (0, None);
        for pages in 1.. {
            self.serve_pending(&mut held[at]).await?;
            let record = &held[at].record;
            let asked = match ahead.take() {
                Some(asked) => asked,
                None => {
                    self.ask(
                        (&record.mailbox, &record.folder),
                        record.cursor.as_ref(),
                        record.asks_since(),
                    )
                    .await
                }
            };
            let asked = match asked {
                Ok(asked) => asked,
                Err(error) if error.code() == Code::GraphCursorExpired && resyncs < RESYNCS_MAX => {
                    resyncs += 1;
                    self.begin_again(&mut held[at], &error);
                    continue;
                }
                Err(error) => {
                    self.keep_told(&mut held[at], 0).await;
                    return Err(error);
                }
            };
            let (more, next) = (asked.page.more, asked.page.next.clone());
            let goes_on = pages < pages_max && self.goes_on(&record.mailbox);
            let place = (record.mailbox.clone(), record.folder.clone());
            let following = async {
                if more && goes_on {
                    return Ok(Some(self.ask((&place.0, &place.1), Some(&next), None).await));
                }
                Ok(None)
            };
            // Graph answers while this page is told; what it answers is dropped where telling fails
            let (told, following) = tokio::try_join!(self.tell(held, at, asked), following)?;
            turn.told += told;
            let held = &mut held[at];
            if held.record.cursor.as_ref() == Some(&next) {
                ahead = following;
            }
            let old = self.now().duration_since(held.record.saved_at) > CURSOR_AGE_MAX;
            let ends = pages >= pages_max || !self.goes_on(&held.record.mailbox);
            let waits = more && !ends && held.stage.waits() && held.record.pending.is_empty();
            if (held.changed || old) && !waits {
                self.commit(held).await?;
            }
            self.serve_pending(held).await?;
            if !more && held.record.cursor.is_some() {
                return Ok(());
            }
            if ends {
                turn.more = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether another page of a mailbox may be begun.
    fn goes_on(&self, mailbox: &Mailbox) -> bool {
        !self.stop.is_cancelled() && self.share.keeps(mailbox)
    }

    async fn ask(
        &self,
        (mailbox, folder): (&Mailbox, &Folder),
        cursor: Option<&Cursor>,
        since: Option<Timestamp>,
    ) -> Result<Asked> {
        let (at, deadline) = (self.now(), self.deadline());
        let ask = Ask {
            mailbox,
            folder: &folder.id,
            cursor,
            select: &self.select,
            since,
            page_size: self.settings.page_size,
            deadline: &deadline,
        };
        Ok(Asked { page: self.changes.page(&ask).await?, at })
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
    async fn tell(&self, held: &mut [Held], at: usize, asked: Asked) -> Result<u64> {
        let (Page { items, next, more }, deadline) = (asked.page, self.deadline());
        let (mut told, read) = (0, items.len());
        let view = held[at].view(self.select.only_new);
        for item in items {
            match self.item(held, at, &view, item, &deadline).await {
                Ok(out) => {
                    told += u64::from(out);
                    held[at].record.told += u64::from(out);
                }
                Err(error) => {
                    self.keep_told(&mut held[at], told).await;
                    return Err(error);
                }
            }
            if held[at].stage.is_full() {
                // what is in memory is bounded; the rest of the page follows from the same cursor
                self.commit(&mut held[at]).await?;
            }
            // what was made stays made: the time without progress begins anew
            deadline.progress();
        }
        let Held { record, changed, .. } = &mut held[at];
        let steady = record.is_steady();
        record.advance(next, more, read, asked.at);
        // an idle folder's cursor need not be written down each time: the one that stands is good
        *changed |= read > 0 || more || !steady || record.cursor.is_none();
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        self.board.note(&record.mailbox, |status| {
            status.published += told;
            status.read += read;
        });
        metrics::counter!(metric::MESSAGES_READ, "pipeline" => self.pipeline.clone())
            .increment(read);
        Ok(told)
    }

    /// A page broke off, or is not to be had. What of it is out is kept, and what waits is committed,
    /// with the cursor where it was, so that it is not told again however long the failure lasts.
    /// Where that fails too, the bus drops the repeats.
    async fn keep_told(&self, held: &mut Held, told: u64) {
        if told == 0 && held.stage.is_empty() {
            return;
        }
        if let Err(error) = self.commit(held).await {
            let (pipeline, code) = (&self.pipeline, error.code());
            tracing::debug!(%pipeline, %code, %error, "what was told of a page is not kept");
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
}

/// Goes on with the next folder after a failure of one, unless it is that of all.
fn pass_by(failed: &mut Option<Error>, error: Error) -> Result<()> {
    let of_all = matches!(error.verdict(), Verdict::Blocked { .. });
    if of_all || error.code() == Code::CursorTaken {
        return Err(error);
    }
    // a folder that is not there is the least of troubles
    match failed {
        Some(before) if before.code() != Code::GraphFolderNotFound => {}
        _ => *failed = Some(error),
    }
    Ok(())
}
