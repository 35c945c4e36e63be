//! Folders by their well-known names. Folders made by users are not here yet.

/// A folder of one mailbox, by its number in [`WELL_KNOWN`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Folder(u32);

/// Well-known name and display name (learn.microsoft.com/graph/api/resources/mailfolder).
const WELL_KNOWN: [(&str, &str); 8] = [
    ("msgfolderroot", "Top of Information Store"),
    ("inbox", "Inbox"),
    ("drafts", "Drafts"),
    ("sentitems", "Sent Items"),
    ("deleteditems", "Deleted Items"),
    ("junkemail", "Junk Email"),
    ("archive", "Archive"),
    ("outbox", "Outbox"),
];

impl Folder {
    pub const ROOT: Self = Self(0);
    pub const DRAFTS: Self = Self(2);
    pub const SENT_ITEMS: Self = Self(3);
    pub const DELETED_ITEMS: Self = Self(4);

    /// Every folder below the root.
    pub fn children() -> impl Iterator<Item = Self> {
        (1..).take(WELL_KNOWN.len() - 1).map(Self)
    }

    pub fn by_name(name: &str) -> Option<Self> {
        WELL_KNOWN
            .iter()
            .zip(0..)
            .find(|((known, _), _)| known.eq_ignore_ascii_case(name))
            .map(|(_, number)| Self(number))
    }

    pub fn by_key(key: u64) -> Option<Self> {
        let number = u32::try_from(key).ok()?;
        ((number as usize) < WELL_KNOWN.len()).then_some(Self(number))
    }

    pub fn key(self) -> u64 {
        u64::from(self.0)
    }

    pub fn display_name(self) -> &'static str {
        WELL_KNOWN.get(self.0 as usize).map_or("", |(_, display)| display)
    }
}
