//! Who the mailboxes are of a pipeline that finds them by a rule.
//!
//! Among workers that share the mailboxes, one asks the directory: the one whose slice that is. It
//! writes the answer into the state store, for the others to read, and tells them. Whoever takes the
//! slice over asks at once, so no two clocks are compared. A worker alone asks for itself; also one of
//! a pool that is the first to be there again reads no list of former times.
//!
//! The answer is in parts by hash, so a mailbox is always in the same part: who reads while another
//! writes finds each mailbox as it was or as it is. It is not fenced: what an old asker writes late is
//! what the directory said a while ago, until the next asks.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mailbridge_core::{Code, Error, Mailbox, Put, Result, Signals, StateStore};
use tokio::time::Instant;

use super::{
    settings::Whose,
    share::{Share, heard},
    turns::sleep_until,
};
use crate::{backoff, pool::slice_of};

/// The pauses after a directory that could not be asked, or an answer that could not be kept.
const FAILING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(10));
/// How often an answer is read that another has written, where nothing tells of it: a signal may be
/// lost, and some stores have none.
const READ: Duration = Duration::from_mins(1);
/// Until it is read again where nobody has written one yet.
const UNREAD: Duration = Duration::from_secs(2);
/// Mailboxes in a part: with addresses of any length it is far below what a bus takes as a message.
const PART: usize = 1_000;
/// Parts that are read, or written, at the same time.
const AT_ONCE: usize = 32;

/// Who the mailboxes are, as a worker finds out.
pub(super) struct Roster {
    pipeline: String,
    whose: Whose,
    share: Share,
    /// Whether it was this worker that had to ask.
    asks: bool,
    /// When it is to ask, or to read, next. Never, once a list was told.
    due: Option<Instant>,
    failures: u32,
    signals: Option<Box<dyn Signals>>,
    /// What it said last.
    told: Option<Vec<Mailbox>>,
}

impl Roster {
    pub(super) fn new(pipeline: &str, whose: Whose, share: Share) -> Self {
        let due = Some(Instant::now());
        let (pipeline, signals, told) = (pipeline.to_owned(), None, None);
        Self { pipeline, whose, share, asks: false, due, failures: 0, signals, told }
    }

    /// Who they are now, when that is another answer than the last. `ask` asks the directory.
    pub(super) async fn next<F>(&mut self, ask: impl Fn() -> F) -> Vec<Mailbox>
    where
        F: Future<Output = Result<Vec<Mailbox>>>,
    {
        loop {
            let all = match (&self.whose, self.share.store()) {
                (Whose::Listed(listed), _) => {
                    let listed = unique(listed);
                    sleep_until(self.due).await;
                    self.due = None;
                    return listed;
                }
                (Whose::Rule { every, .. }, None) => {
                    let every = *every;
                    sleep_until(self.due).await;
                    self.asked(ask().await, every)
                }
                (Whose::Rule { every, .. }, Some(store)) => {
                    let every = *every;
                    self.shared(&store, every, &ask).await
                }
            };
            if let Some(all) = all.filter(|all| self.told.as_ref() != Some(all)) {
                self.told = Some(all.clone());
                return all;
            }
        }
    }

    /// Waits until something is to be done, and does it: asks or reads.
    async fn shared<F>(
        &mut self,
        store: &Arc<dyn StateStore>,
        every: Duration,
        ask: impl Fn() -> F,
    ) -> Option<Vec<Mailbox>>
    where
        F: Future<Output = Result<Vec<Mailbox>>>,
    {
        let topic = format!("mailboxes/{}", self.pipeline);
        if self.signals.is_none() {
            self.signals = store.signals(&topic).await.ok().flatten();
        }
        // whoever has no mailboxes need not know who they all are, and may be the one to ask as soon
        // as it has: one alone that starts reads nobody of whom the directory says no more
        if !self.share.has_some() {
            (self.asks, self.due) = (false, Some(Instant::now()));
            self.share.asker_changed().await;
            return None;
        }
        let asks = self.share.asks();
        if asks != self.asks {
            (self.asks, self.due, self.failures) = (asks, Some(Instant::now()), 0);
        }
        tokio::select! {
            () = self.share.asker_changed() => return None,
            // the asker's own signal, too; who reads, reads
            () = heard(&mut self.signals), if !asks => {}
            () = sleep_until(self.due) => {}
        }
        if !asks {
            let read = read(store.as_ref(), &self.pipeline).await;
            let again = if matches!(read, Ok(Some(_))) { READ } else { UNREAD };
            self.due = Some(Instant::now() + again);
            let (pipeline, code) = (&self.pipeline, read.as_ref().err().map(Error::code));
            tracing::debug!(%pipeline, ?code, "who the mailboxes are is read");
            return read.ok().flatten();
        }
        // the lease may be late by now
        if !self.share.asks() {
            return None;
        }
        let asked = ask().await;
        let kept = match &asked {
            Ok(all) => write(store.as_ref(), &self.pipeline, all).await,
            Err(_) => Ok(()),
        };
        if asked.is_ok() && kept.is_ok() {
            // whoever misses it reads a little later
            store.signal(&topic, Bytes::new()).await.ok();
        }
        let all = self.asked(asked, every);
        if let Err(error) = kept {
            self.failed(&error, "the others are not told who the mailboxes are");
        }
        all
    }

    /// Notes what the directory has said.
    fn asked(&mut self, asked: Result<Vec<Mailbox>>, every: Duration) -> Option<Vec<Mailbox>> {
        match asked {
            Ok(all) => {
                (self.due, self.failures) = (Some(Instant::now() + every), 0);
                Some(all)
            }
            Err(error) => {
                let what = "the directory does not say who the mailboxes are; those that are \
                            known go on";
                self.failed(&error, what);
                None
            }
        }
    }

    fn failed(&mut self, error: &Error, what: &str) {
        self.failures += 1;
        let pause = backoff::pause(self.failures, FAILING.0, FAILING.1);
        self.due = Some(Instant::now() + pause);
        let (pipeline, code, cure) = (&self.pipeline, error.code(), error.code().cure());
        tracing::warn!(%pipeline, %code, %error, cure, "{what}");
    }
}

/// What was written last; none, where nobody has written yet.
async fn read(store: &dyn StateStore, pipeline: &str) -> Result<Option<Vec<Mailbox>>> {
    let Some((count, _)) = store.get(&head_key(pipeline)).await? else { return Ok(None) };
    // one of another version of the program may write it in another way
    let Ok(parts) = String::from_utf8_lossy(&count).parse() else { return Ok(None) };
    let read = stream::iter(0..parts).map(|part| async move {
        let value = store.get(&part_key(pipeline, parts, part)).await?;
        Ok::<_, Error>(value.map(|(value, _)| value).unwrap_or_default())
    });
    let read: Vec<Bytes> = read.buffered(AT_ONCE).try_collect().await?;
    let lines = read.iter().flat_map(|part| part.split(|byte| *byte == b'\n'));
    let lines = lines.filter(|line| !line.is_empty());
    Ok(Some(lines.map(|line| Mailbox::new(String::from_utf8_lossy(line))).collect()))
}

/// Writes what is not as it stands there.
async fn write(store: &dyn StateStore, pipeline: &str, all: &[Mailbox]) -> Result<()> {
    let wanted = all.len().div_ceil(PART).next_power_of_two();
    let count = u16::try_from(wanted).unwrap_or(u16::MAX);
    let mut lines = vec![String::new(); usize::from(count)];
    for mailbox in all {
        let part = usize::from(slice_of(mailbox.as_str(), count));
        if let Some(part) = lines.get_mut(part) {
            part.push_str(mailbox.as_str());
            part.push('\n');
        }
    }
    let written = stream::iter((0..count).zip(lines)).map(|(part, lines)| async move {
        put(store, &part_key(pipeline, count, part), lines).await
    });
    written.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    // last: who finds it finds all parts
    put(store, &head_key(pipeline), count.to_string()).await
}

async fn put(store: &dyn StateStore, key: &str, value: String) -> Result<()> {
    let before = store.get(key).await?;
    if before.as_ref().is_some_and(|(before, _)| before == value.as_bytes()) {
        return Ok(());
    }
    let revision = before.map(|(_, revision)| revision);
    match store.put(key, value.into(), revision).await? {
        Put::Stored(_) => Ok(()),
        Put::Conflict => {
            let detail = "another worker writes who the mailboxes are, too";
            Err(Error::transient(Code::StateFailed, detail))
        }
    }
}

fn head_key(pipeline: &str) -> String {
    format!("pool/{pipeline}/mailboxes")
}

fn part_key(pipeline: &str, parts: u16, part: u16) -> String {
    format!("pool/{pipeline}/mailboxes/{parts}/{part}")
}

/// Each once, however often it is listed.
fn unique(listed: &[Mailbox]) -> Vec<Mailbox> {
    let mut seen = std::collections::HashSet::new();
    listed.iter().filter(|mailbox| seen.insert((*mailbox).clone())).cloned().collect()
}

#[cfg(test)]
mod tests;
