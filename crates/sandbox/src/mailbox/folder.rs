//! Folders: the well-known ones every mailbox has, and those that were made in it.

use crate::error::GraphError;

/// A folder of one mailbox, by its number: well-known ones first, then the others in the order
/// they were made.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Folder(u32);

/// Well-known name and display name (learn.microsoft.com/graph/api/resources/mailfolder).
const WELL_KNOWN: [(&str, &str); 10] = [
    ("msgfolderroot", "Top of Information Store"),
    ("inbox", "Inbox"),
    ("drafts", "Drafts"),
    ("sentitems", "Sent Items"),
    ("deleteditems", "Deleted Items"),
    ("junkemail", "Junk Email"),
    ("archive", "Archive"),
    ("outbox", "Outbox"),
    ("conversationhistory", "Conversation History"),
    // not below the root, and in no list: what was deleted from Deleted Items
    ("recoverableitemsdeletions", "Deletions"),
];

const OWN: u32 = 10;

impl Folder {
    pub const ROOT: Self = Self(0);
    pub const INBOX: Self = Self(1);
    pub const DRAFTS: Self = Self(2);
    pub const SENT_ITEMS: Self = Self(3);
    pub const DELETED_ITEMS: Self = Self(4);
    pub const RECOVERABLE: Self = Self(9);

    /// By a well-known name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        WELL_KNOWN
            .iter()
            .zip(0..)
            .find(|((known, _), _)| known.eq_ignore_ascii_case(name))
            .map(|(_, number)| Self(number))
    }

    pub fn by_key(key: u64) -> Option<Self> {
        u32::try_from(key).ok().map(Self)
    }

    pub fn key(self) -> u64 {
        u64::from(self.0)
    }
}

/// The folders that were made in one mailbox.
#[derive(Debug, Default)]
pub struct Folders {
    own: Vec<(Folder, String)>,
}

impl Folders {
    /// Display name; `None` when there is no such folder.
    pub fn name(&self, folder: Folder) -> Option<&str> {
        match folder.0.checked_sub(OWN) {
            None => WELL_KNOWN.get(folder.0 as usize).map(|(_, display)| *display),
            Some(index) => self.own.get(index as usize).map(|(_, name)| name.as_str()),
        }
    }

    pub fn parent(&self, folder: Folder) -> Folder {
        let index = folder.0.checked_sub(OWN);
        let own = index.and_then(|index| self.own.get(index as usize));
        own.map_or(Folder::ROOT, |(parent, _)| *parent)
    }

    /// The folders directly below one, in the order of their numbers.
    pub fn below(&self, parent: Folder) -> impl Iterator<Item = Folder> {
        let all = (1..).take(WELL_KNOWN.len() - 1 + self.own.len()).map(Folder);
        all.filter(move |one| *one != Folder::RECOVERABLE && self.parent(*one) == parent)
    }

    /// Makes a folder; its name must be free among its neighbours, in any case.
    pub fn create(&mut self, parent: Folder, name: &str) -> Result<Folder, GraphError> {
        let same = |folder: Folder| {
            self.name(folder).is_some_and(|known| known.to_lowercase() == name.to_lowercase())
        };
        if self.below(parent).any(same) {
            return Err(GraphError::folder_exists());
        }
        let number = u32::try_from(self.own.len()).map_err(|_| GraphError::internal())?;
        self.own.push((parent, name.to_owned()));
        Ok(Folder(OWN + number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stand_below_each_other_with_a_name_each() {
        let mut folders = Folders::default();
        assert_eq!(folders.below(Folder::ROOT).count(), WELL_KNOWN.len() - 2);
        let done = folders.create(Folder::ROOT, "Done").unwrap();
        let inner = folders.create(Folder::INBOX, "done").unwrap();
        assert_eq!((folders.name(done), folders.parent(done)), (Some("Done"), Folder::ROOT));
        assert_eq!(folders.below(Folder::INBOX).collect::<Vec<_>>(), [inner]);
        assert_eq!(folders.create(Folder::ROOT, "DONE").unwrap_err().code, "ErrorFolderExists");
        assert!(folders.create(Folder::ROOT, "inbox").is_err());
        assert_eq!(Folder::by_name("SentItems"), Some(Folder::SENT_ITEMS));
        assert_eq!(Folder::by_name("recoverableitemsdeletions"), Some(Folder::RECOVERABLE));
    }
}
