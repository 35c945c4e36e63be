//! One mailbox: its user, its state, its messages, what was sent from it, and who used how much of
//! it.
//!
//! Each has one lock, held for the length of one operation and never over a wait.

pub mod editing;
pub mod folder;
pub mod ids;
pub mod journal;
pub mod log;
pub mod registry;
pub mod store;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::Usage;
use crate::dice;
use crate::error::GraphError;
use crate::message::Recipient;
use crate::text::glob;
use crate::truth::Record;
use folder::Folders;
use ids::Seal;
use store::Store;

/// How a mailbox treats requests.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailboxState {
    /// As it should
    #[default]
    Ok,
    /// The app may not use it: 403 `ErrorAccessDenied`
    Denied,
    /// There is no such user: 404 `ErrorInvalidUser`
    Missing,
    /// The user has no mailbox in the cloud: 404 `MailboxNotEnabledForRESTAPI`
    NotEnabled,
    /// Every request: 429 with a decimal `Retry-After`
    Throttled,
    /// Nothing can be saved: 403 `ErrorQuotaExceeded`
    Full,
}

/// What a permanently throttled mailbox tells its clients to wait.
const THROTTLED_WAIT: Duration = Duration::from_millis(2_128);

/// A mailbox and its user.
#[derive(Debug)]
pub struct Mailbox {
    /// Lower case: the key
    pub address: String,
    pub name: String,
    /// GUID of the user
    pub user_id: String,
    pub tenant: usize,
    pub seal: Seal,
    pub send_as: Vec<String>,
    pub inner: Mutex<Inner>,
}

/// The part that changes.
#[derive(Debug, Default)]
pub struct Inner {
    pub state: MailboxState,
    pub store: Store,
    pub folders: Folders,
    /// The newest sends: all of them, unless told to keep fewer
    pub sent: VecDeque<Record>,
    /// All sends, kept or not
    pub sent_count: u64,
    /// By the number of the app
    pub usage: Vec<(u32, Usage)>,
}

impl Mailbox {
    pub fn new(
        seed: u64,
        tenant: usize,
        address: &str,
        name: Option<String>,
        send_as: Vec<String>,
    ) -> Self {
        let address = address.to_lowercase();
        let number = dice::hash(seed, address.as_bytes());
        Self {
            name: name.unwrap_or_else(|| display_name(&address)),
            user_id: dice::guid(number, dice::mix(number)),
            tenant,
            seal: Seal::new(seed, &address),
            send_as,
            inner: Mutex::default(),
            address,
        }
    }

    /// The user as a sender.
    pub fn owner(&self) -> Recipient {
        Recipient { address: self.address.clone(), name: Some(self.name.clone()) }
    }

    /// Whether the mailbox may put this address into `from`.
    pub fn may_send_as(&self, from: &Recipient) -> bool {
        from.address.is_empty()
            || from.address.eq_ignore_ascii_case(&self.address)
            || self.send_as.iter().any(|pattern| glob(pattern, &from.address))
    }
}

impl Inner {
    /// Refuses a request that the state of the mailbox does not let pass.
    pub fn check_state(&self, user: &str) -> Result<(), GraphError> {
        match self.state {
            MailboxState::Ok | MailboxState::Full => Ok(()),
            MailboxState::Denied => Err(GraphError::mailbox_denied()),
            MailboxState::Missing => Err(GraphError::invalid_user(user)),
            MailboxState::NotEnabled => Err(GraphError::no_mailbox()),
            MailboxState::Throttled => {
                Err(GraphError::throttled("MailboxConcurrency", THROTTLED_WAIT))
            }
        }
    }

    /// Refuses to save anything more into a full mailbox.
    pub fn check_room(&self) -> Result<(), GraphError> {
        match self.state {
            MailboxState::Full => Err(GraphError::mailbox_full()),
            _ => Ok(()),
        }
    }
}

/// `anna.schmidt@b` as `Anna Schmidt`.
fn display_name(address: &str) -> String {
    let local = address.split('@').next().unwrap_or_default();
    let words = local.split(['.', '-', '_']).filter(|word| !word.is_empty()).map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().collect::<String>() + letters.as_str()
        })
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_the_address() {
        assert_eq!(display_name("anna.schmidt@b.example"), "Anna Schmidt");
        assert_eq!(display_name("noreply@b.example"), "Noreply");
    }

    #[test]
    fn sending_as_needs_a_grant() {
        let mailbox = Mailbox::new(0, 0, "A@b.example", None, vec!["*@team.example".into()]);
        let as_whom = |address: &str| Recipient { address: address.into(), name: None };
        assert!(mailbox.may_send_as(&as_whom("a@B.example")));
        assert!(mailbox.may_send_as(&as_whom("x@team.example")));
        assert!(!mailbox.may_send_as(&as_whom("boss@b.example")));
    }
}
