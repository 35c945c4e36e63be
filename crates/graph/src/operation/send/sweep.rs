//! Drafts of ours that are nobody's any more, and when they may be deleted.
//!
//! An attempt can leave a draft behind: its making was not answered, its deletion failed, its
//! worker died. Such a draft carries the request's mark, or the mark of a half made one.
//!
//! - A *half made* draft is never sent by anybody. It may be deleted whenever no attempt at its
//!   request is under way: by the next attempt, and after the request is concluded.
//! - A *whole* draft may still be sent by an attempt, and one that was sent may show as a draft for
//!   a while. So it is deleted only when two things hold: this worker has concluded the request,
//!   some minutes ago, so that no attempt follows; and the mailbox shows the request's mail as
//!   sent, so that what is still a draft is not that mail. An attempt of another worker that is
//!   still under way then, against what the bus said, finds its draft gone: the better end of two.
//! - A request that ended without a mail keeps its whole drafts: in doubt, they may be the mail.
//!
//! What is known of this is in memory: drafts of requests that were concluded less than
//! [`Options::sweep_after`](crate::Options) before a worker died stay where they are.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mailbridge_core::{Code, Deadline, Mailbox, Result, contract::Mark};
use tokio::time::Instant;

use super::{build, draft::Draft, look};
use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::Session,
};

/// Requests remembered; beyond, the oldest are forgotten.
const KEPT_MAX: usize = 4096;
/// Requests swept at one time.
const AT_ONCE: usize = 16;
/// What sweeping after one request may take.
const TIME_MAX: Duration = Duration::from_secs(20);

type Key = (Mailbox, Mark);

/// The requests that may have left something.
#[derive(Default)]
pub(crate) struct Sweeps(Mutex<State>);

#[derive(Default)]
struct State {
    /// Not concluded yet.
    suspects: HashSet<Key>,
    /// Concluded, and to be looked after at this time, the earliest first.
    due: VecDeque<(Instant, Key)>,
}

impl Sweeps {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request may have left a draft, or will.
    pub(super) fn suspect(&self, mailbox: &Mailbox, mark: &Mark) {
        let mut state = self.lock();
        if state.suspects.len() < KEPT_MAX {
            state.suspects.insert((mailbox.clone(), mark.clone()));
        }
    }

    /// Notes that a request has ended, and when to look after it.
    pub(super) fn concluded(&self, mailbox: &Mailbox, mark: &Mark, due: Instant) {
        let mut state = self.lock();
        if state.suspects.is_empty() {
            return;
        }
        let key = (mailbox.clone(), mark.clone());
        if state.suspects.remove(&key) {
            if state.due.len() >= KEPT_MAX {
                state.due.pop_front();
            }
            state.due.push_back((due, key));
        }
    }

    fn next(&self, now: Instant) -> Option<Key> {
        let mut state = self.lock();
        let is_due = state.due.front().is_some_and(|(at, _)| *at <= now);
        is_due.then(|| state.due.pop_front()).flatten().map(|(_, key)| key)
    }
}

/// Sweeps after the requests that are due. A failure leaves the drafts where they are.
pub(crate) async fn sweep(graph: &Graph) {
    for _ in 0..AT_ONCE {
        let Some((mailbox, mark)) = graph.sweeps.next(Instant::now()) else { return };
        let deadline = Deadline::fixed(TIME_MAX);
        let swept = async {
            let session = Session::open(graph, &mailbox, &deadline).await?;
            half_made(&session, &mark).await?;
            let shown = look::look(&session, mark.as_str()).await?;
            if shown.sent.is_some() {
                delete(&session, &shown.drafts).await?;
            }
            Ok::<_, mailbridge_core::Error>(())
        };
        if let Err(error) = swept.await {
            tracing::debug!(code = %error.code(), %error, "drafts may be left");
        }
    }
}

/// Deletes the half made drafts of a mark.
pub(super) async fn half_made(session: &Session<'_>, mark: &Mark) -> Result<()> {
    let shown = look::look(session, &build::half_made(mark)).await?;
    delete(session, &shown.drafts).await
}

async fn delete(session: &Session<'_>, drafts: &[Draft]) -> Result<()> {
    for draft in drafts {
        match session.call(Operation::DeleteDraft, &draft.path("")?, Body::Empty).await {
            Err(error) if error.code() != Code::GraphDraftGone => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mailbridge_core::contract::Key as RequestKey;

    use super::*;

    const REST: Duration = Duration::from_mins(3);

    #[test]
    fn only_suspects_are_swept_and_not_before_their_rest_is_over() {
        let sweeps = Sweeps::default();
        let mailbox = Mailbox::new("a@x.org");
        let mark = |number: usize| RequestKey::of_id(&number.to_string()).mark("p");
        let now = Instant::now();
        sweeps.suspect(&mailbox, &mark(1));
        sweeps.concluded(&mailbox, &mark(1), now + REST);
        sweeps.concluded(&mailbox, &mark(2), now + REST);
        assert_eq!(sweeps.next(now), None);
        assert_eq!(sweeps.next(now + REST), Some((mailbox.clone(), mark(1))));
        assert_eq!(sweeps.next(now + REST), None);
        for number in 0..KEPT_MAX * 2 {
            sweeps.suspect(&mailbox, &mark(number));
            sweeps.concluded(&mailbox, &mark(number), now);
        }
        let state = sweeps.lock();
        assert!(state.due.len() <= KEPT_MAX && state.suspects.is_empty());
    }
}
