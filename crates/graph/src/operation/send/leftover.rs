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

use mailbridge_core::{Mailbox, contract::Mark};

use super::draft::Draft;

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
