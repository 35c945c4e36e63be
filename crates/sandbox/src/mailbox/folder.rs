//! Folders: the well-known ones every mailbox has, and those that were made in it.

use jiff::Timestamp;

use super::log::{Known, Log, Marks};
use crate::error::GraphError;

/// A folder of one mailbox, by its number: well-known ones first, then the others in the order
/// they were made.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Folder(u32);

/// A folder that every mailbox has.
struct WellKnown {
    name: &'static str,
    display: &'static str,
    parent: u32,
    place: Place,
}

/// Whether a folder stands in lists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Listed,
    /// Only with `includeHiddenFolders`
    Hidden,
    /// Not below the root, and in no list
    Outside,
}

const fn well_known(
    name: &'static str,
    display: &'static str,
    parent: u32,
    place: Place,
) -> WellKnown {
    WellKnown { name, display, parent, place }
}

/// The names are those of learn.microsoft.com/graph/api/resources/mailfolder.
const WELL_KNOWN: [WellKnown; 17] = [
    well_known("msgfolderroot", "Top of Information Store", 0, Place::Outside),
    well_known("inbox", "Inbox", 0, Place::Listed),
    well_known("drafts", "Drafts", 0, Place::Listed),
    well_known("sentitems", "Sent Items", 0, Place::Listed),
    well_known("deleteditems", "Deleted Items", 0, Place::Listed),
    well_known("junkemail", "Junk Email", 0, Place::Listed),
    well_known("archive", "Archive", 0, Place::Listed),
    well_known("outbox", "Outbox", 0, Place::Listed),
    well_known("conversationhistory", "Conversation History", 0, Place::Listed),
    // what was deleted from Deleted Items
    well_known("recoverableitemsdeletions", "Deletions", 0, Place::Outside),
    well_known("clutter", "Clutter", 0, Place::Hidden),
    well_known("scheduled", "Scheduled", 0, Place::Hidden),
    well_known("searchfolders", "Search Folders", 0, Place::Outside),
    well_known("syncissues", "Sync Issues", 0, Place::Hidden),
    well_known("conflicts", "Conflicts", 13, Place::Hidden),
    well_known("localfailures", "Local Failures", 13, Place::Hidden),
    well_known("serverfailures", "Server Failures", 13, Place::Hidden),
];

const OWN: u32 = 17;

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
            .find(|(known, _)| known.name.eq_ignore_ascii_case(name))
            .map(|(_, number)| Self(number))
    }

    /// Whether every mailbox has it, so that nobody can take it away.
    pub fn is_well_known(self) -> bool {
        self.0 < OWN
    }

    pub fn by_key(key: u64) -> Option<Self> {
        u32::try_from(key).ok().map(Self)
    }

    pub fn key(self) -> u64 {
        u64::from(self.0)
    }
}

#[derive(Debug)]
struct Own {
    parent: Folder,
    name: String,
    hidden: bool,
}

/// The folders that were made in one mailbox.
#[derive(Debug, Default)]
pub struct Folders {
    own: Vec<Option<Own>>,
    /// What delta queries tell of all folders; empty until somebody asks
    log: Log,
    steps: u64,
}

impl Folders {
    fn own(&self, folder: Folder) -> Option<&Own> {
        self.own.get(folder.0.checked_sub(OWN)? as usize)?.as_ref()
    }

    fn own_mut(&mut self, folder: Folder) -> Option<&mut Own> {
        self.own.get_mut(folder.0.checked_sub(OWN)? as usize)?.as_mut()
    }

    /// Display name; `None` when there is no such folder.
    pub fn name(&self, folder: Folder) -> Option<&str> {
        match WELL_KNOWN.get(folder.0 as usize) {
            Some(known) => Some(known.display),
            None => self.own(folder).map(|own| own.name.as_str()),
        }
    }

    pub fn parent(&self, folder: Folder) -> Folder {
        match WELL_KNOWN.get(folder.0 as usize) {
            Some(known) => Folder(known.parent),
            None => self.own(folder).map_or(Folder::ROOT, |own| own.parent),
        }
    }

    pub fn is_hidden(&self, folder: Folder) -> bool {
        match WELL_KNOWN.get(folder.0 as usize) {
            Some(known) => known.place == Place::Hidden,
            None => self.own(folder).is_some_and(|own| own.hidden),
        }
    }

    /// All folders that stand below the root, in the order of their numbers.
    fn all(&self) -> impl Iterator<Item = Folder> {
        let known = WELL_KNOWN.iter().zip(0..);
        let known = known.filter(|(one, _)| one.place != Place::Outside);
        let own = self.own.iter().zip(OWN..).filter(|(one, _)| one.is_some());
        known.map(|(_, number)| Folder(number)).chain(own.map(|(_, number)| Folder(number)))
    }

    /// The folders directly below one, hidden ones too, in the order of their numbers.
    pub fn below(&self, parent: Folder) -> impl Iterator<Item = Folder> {
        self.all().filter(move |one| self.parent(*one) == parent)
    }

    /// The folder of this name below another, in any case.
    pub fn named(&self, parent: Folder, name: &str) -> Option<Folder> {
        let name = name.to_lowercase();
        let same =
            |folder: &Folder| self.name(*folder).is_some_and(|known| known.to_lowercase() == name);
        self.below(parent).find(same)
    }

    fn check_name(&self, folder: Option<Folder>, parent: Folder, name: &str) -> Refusable {
        match self.named(parent, name) {
            Some(other) if Some(other) != folder => Err(GraphError::folder_exists()),
            _ => Ok(()),
        }
    }

    /// Makes a folder; its name must be free among its neighbours, in any case.
    pub fn create(
        &mut self,
        parent: Folder,
        name: &str,
        hidden: bool,
    ) -> Result<Folder, GraphError> {
        self.name(parent).ok_or_else(GraphError::item_not_found)?;
        self.check_name(None, parent, name)?;
        let number = u32::try_from(self.own.len()).map_err(|_| GraphError::internal())?;
        self.own.push(Some(Own { parent, name: name.to_owned(), hidden }));
        let folder = Folder(OWN + number);
        if self.log.epoch.is_some() && !hidden {
            self.steps += 1;
            self.log.arrive(self.steps, known(folder));
        }
        Ok(folder)
    }

    pub fn rename(&mut self, folder: Folder, name: &str) -> Refusable {
        self.check_own(folder, GraphError::access_denied)?;
        self.check_name(Some(folder), self.parent(folder), name)?;
        if let Some(own) = self.own_mut(folder) {
            name.clone_into(&mut own.name);
        }
        self.tell_change(folder);
        Ok(())
    }

    pub fn relocate(&mut self, folder: Folder, parent: Folder) -> Refusable {
        self.check_own(folder, GraphError::well_known_folder)?;
        self.name(parent).ok_or_else(GraphError::item_not_found)?;
        if self.tree(folder).contains(&parent) {
            return Err(GraphError::folder_into_itself());
        }
        self.check_name(Some(folder), parent, self.name(folder).unwrap_or_default())?;
        if let Some(own) = self.own_mut(folder) {
            own.parent = parent;
        }
        self.tell_change(folder);
        Ok(())
    }

    /// Takes a folder away with all below it; gives all that are gone.
    pub fn delete(&mut self, folder: Folder) -> Result<Vec<Folder>, GraphError> {
        self.check_own(folder, GraphError::well_known_folder)?;
        let tree = self.tree(folder);
        for one in &tree {
            if let Some(own) = self.own.get_mut((one.0 - OWN) as usize) {
                *own = None;
            }
            self.steps += 1;
            self.log.leave(self.steps, one.key());
        }
        Ok(tree)
    }

    fn check_own(&self, folder: Folder, refusal: fn() -> GraphError) -> Refusable {
        if folder.is_well_known() {
            return Err(refusal());
        }
        self.own(folder).map(|_| ()).ok_or_else(GraphError::item_not_found)
    }

    /// A folder and all below it, from the bottom up.
    fn tree(&self, folder: Folder) -> Vec<Folder> {
        let mut tree: Vec<Folder> = self.below(folder).flat_map(|below| self.tree(below)).collect();
        tree.push(folder);
        tree
    }

    fn tell_change(&mut self, folder: Folder) {
        self.steps += 1;
        self.log.change(self.steps, folder.key(), false, Marks::REST);
    }

    /// The log of all folders, which begins when somebody first asks, and its last step.
    pub fn watch(&mut self, epoch: impl FnOnce() -> u64) -> (&mut Log, u64) {
        if self.log.epoch.is_none() {
            self.log.epoch = Some(epoch());
            let shown: Vec<Folder> = self.all().filter(|one| !self.is_hidden(*one)).collect();
            for folder in shown {
                self.steps += 1;
                self.log.arrive(self.steps, known(folder));
            }
        }
        (&mut self.log, self.steps)
    }

    /// Makes every token for the folders worthless; says whether there were any.
    pub fn evict(&mut self, epoch: impl FnOnce() -> u64) -> bool {
        let followed = self.log.epoch.is_some();
        if followed {
            self.log.evict(epoch());
        }
        followed
    }
}

type Refusable = Result<(), GraphError>;

/// A folder as a log knows it.
fn known(folder: Folder) -> Known {
    Known {
        key: folder.key(),
        default_id: 0,
        immutable_id: 0,
        change: 0,
        received: Timestamp::UNIX_EPOCH,
        unread: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stand_below_each_other_with_a_name_each() {
        let mut folders = Folders::default();
        let listed = folders.below(Folder::ROOT).filter(|one| !folders.is_hidden(*one));
        assert_eq!(listed.count(), 8);
        let done = folders.create(Folder::ROOT, "Done", false).unwrap();
        let inner = folders.create(Folder::INBOX, "done", false).unwrap();
        assert_eq!((folders.name(done), folders.parent(done)), (Some("Done"), Folder::ROOT));
        assert_eq!(folders.below(Folder::INBOX).collect::<Vec<_>>(), [inner]);
        let taken = folders.create(Folder::ROOT, "DONE", false).unwrap_err();
        assert_eq!(taken.code, "ErrorFolderExists");
        assert!(folders.create(Folder::ROOT, "inbox", false).is_err());
        assert_eq!(Folder::by_name("SentItems"), Some(Folder::SENT_ITEMS));
        assert_eq!(Folder::by_name("recoverableitemsdeletions"), Some(Folder::RECOVERABLE));
        for known in WELL_KNOWN.iter().filter(|known| known.parent != 0) {
            assert_eq!(WELL_KNOWN[known.parent as usize].name, "syncissues");
        }
    }

    #[test]
    fn folders_change_and_go_with_all_below_them() {
        let mut folders = Folders::default();
        let a = folders.create(Folder::ROOT, "A", false).unwrap();
        let b = folders.create(a, "B", false).unwrap();
        folders.rename(b, "b").unwrap();
        assert_eq!(folders.relocate(a, b).unwrap_err().code, "ErrorMoveCopyFailed");
        assert!(folders.relocate(Folder::INBOX, a).is_err());
        assert!(folders.rename(Folder::INBOX, "In").is_err());
        assert!(folders.delete(Folder::INBOX).is_err());
        assert_eq!(folders.delete(a).unwrap(), [b, a]);
        assert_eq!((folders.name(a), folders.name(b)), (None, None));
        assert!(folders.delete(a).is_err());
    }
}
