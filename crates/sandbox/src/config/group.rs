//! A group: some mailboxes of a tenant, and other groups.

use serde::Deserialize;

use crate::dice::{guid, hash, mix};

/// A group of one tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// GUID; follows from the name when left out
    #[serde(default)]
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    /// Addresses or user ids of mailboxes, ids or names of groups
    #[serde(default)]
    pub(crate) members: Vec<String>,
}

impl Group {
    /// A group by its display name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { id: None, name: name.into(), members: Vec::new() }
    }

    /// Its GUID, in place of the one that follows from its name.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// An address or user id of a mailbox, or the id or name of another group.
    #[must_use]
    pub fn member(mut self, member: impl Into<String>) -> Self {
        self.members.push(member.into());
        self
    }

    /// Its GUID.
    pub fn id(&self) -> String {
        let number = hash(0x6707, self.name.as_bytes());
        self.id.clone().unwrap_or_else(|| guid(number, mix(number)))
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name || self.id().eq_ignore_ascii_case(name)
    }
}
