//! Drafts that were made and, for sure, not sent: the next attempt at the same request sends them
//! instead of making another.
//!
//! A convenience, in memory only: it keeps throttled mailboxes from filling with drafts. Whoever
//! does not find a draft here makes one. It is used only where no attempt is in doubt, which also
//! means that no other worker has tried.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use mailbridge_core::{Attempt, Code, Completion, Doubt, Error, Mailbox, Result, contract::Mark};
use serde::Deserialize;

use super::draft::Draft;
use crate::{
    graph::Graph,
    http::{Body, Operation},
    operation::{Session, answer},
};

/// Drafts remembered; beyond, the oldest is forgotten.
const KEPT_MAX: usize = 4096;

type Key = (Mailbox, Mark);

#[derive(Default)]
pub(crate) struct Leftovers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    drafts: HashMap<Key, Draft>,
    /// Every key that was kept, the oldest first; it may have been taken since.
    order: VecDeque<Key>,
}

impl Leftovers {
    pub(super) fn keep(&self, mailbox: &Mailbox, mark: &Mark, draft: Draft) {
        let key = (mailbox.clone(), mark.clone());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.order.len() >= KEPT_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.drafts.remove(&oldest);
        }
        kept.order.push_back(key.clone());
        kept.drafts.insert(key, draft);
    }

    pub(super) fn take(&self, mailbox: &Mailbox, mark: &Mark) -> Option<Draft> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.drafts.is_empty() {
            return None;
        }
        kept.drafts.remove(&(mailbox.clone(), mark.clone()))
    }
}

/// What an earlier attempt has left.
pub(super) enum Leftover {
    /// A draft, to be sent.
    AsItWas(Draft),
    /// A draft that somebody has sent.
    Sent(Completion),
    /// Nothing, or nothing of use.
    None,
}

/// Takes what an earlier attempt has left, where no attempt is in doubt.
///
/// Looks at a draft that was left, known unsent, a while ago: a person may have found it. One that
/// was changed is not what the request asks for; it is thrown away. One that was sent is sent.
pub(super) async fn take(
    graph: &Graph,
    session: &Session<'_>,
    attempt: &Attempt<'_>,
    doubt: Doubt,
) -> Result<Leftover> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        is_draft: bool,
        change_key: Option<String>,
    }
    let left = graph.leftovers.take(attempt.mailbox, attempt.mark);
    let Some(draft) = left.filter(|_| doubt == Doubt::None) else { return Ok(Leftover::None) };
    let path = draft.path("?$select=id,isDraft,changeKey")?;
    let body = match session.call(Operation::ReadDraft, &path, Body::Empty).await {
        Ok(body) => body,
        Err(error) if error.code() == Code::GraphDraftGone => {
            // deleted, or sent under another id: only a look can tell
            graph.sweeps.suspect(attempt.mailbox, attempt.mark);
            let detail = "a draft that was left for this attempt is gone";
            return Err(Error::in_doubt(Code::GraphDraftGone, detail));
        }
        Err(error) => {
            graph.leftovers.keep(attempt.mailbox, attempt.mark, draft);
            return Err(error);
        }
    };
    let item: Item = answer(&body, "graph's answer about a draft cannot be read")?;
    if !item.is_draft {
        let internet_message_id = draft.internet_message_id;
        return Ok(Leftover::Sent(Completion::Sent { internet_message_id, found: true }));
    }
    if item.change_key != draft.change_key {
        draft.discard(graph, session, attempt).await;
        return Ok(Leftover::None);
    }
    Ok(Leftover::AsItWas(draft))
}

#[cfg(test)]
mod tests {
    use mailbridge_core::contract::Key as RequestKey;

    use super::*;

    #[test]
    fn a_draft_is_taken_once_and_their_number_is_bounded() {
        let leftovers = Leftovers::default();
        let mailbox = Mailbox::new("a@x.org");
        let mark = |number: usize| RequestKey::of_id(&number.to_string()).mark("p");
        let draft = |number: usize| Draft {
            id: number.to_string(),
            internet_message_id: None,
            change_key: None,
            parent_folder_id: None,
        };
        for number in 0..=KEPT_MAX {
            leftovers.keep(&mailbox, &mark(number), draft(number));
        }
        assert_eq!(leftovers.take(&mailbox, &mark(0)), None);
        assert_eq!(leftovers.take(&Mailbox::new("A@X.org"), &mark(1)), Some(draft(1)));
        assert_eq!(leftovers.take(&mailbox, &mark(1)), None);
        assert_eq!(leftovers.take(&Mailbox::new("b@x.org"), &mark(2)), None);
        let kept = leftovers.0.lock().unwrap();
        assert!(kept.order.len() <= KEPT_MAX && kept.drafts.len() < KEPT_MAX);
    }
}
