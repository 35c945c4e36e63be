//! What the pipelines need of a connection: the measure of "missing" and of "wider than needed".

use mailbridge_core::{Guarantee, Mailbox};

/// An application permission of Microsoft Graph (learn.microsoft.com, graph permissions-reference).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// `Mail.Send`.
    Send,
    /// `Mail.ReadWrite`.
    ReadWrite,
    /// `Mail.Read`, which `Mail.ReadWrite` has in it.
    Read,
    /// `User.Read.All`.
    UserRead,
    /// `GroupMember.Read.All`.
    GroupRead,
}

impl Permission {
    /// All that mailbridge ever needs.
    pub const ALL: [Self; 5] =
        [Self::Send, Self::ReadWrite, Self::Read, Self::UserRead, Self::GroupRead];

    /// Its name at Microsoft.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "Mail.Send",
            Self::ReadWrite => "Mail.ReadWrite",
            Self::Read => "Mail.Read",
            Self::UserRead => "User.Read.All",
            Self::GroupRead => "GroupMember.Read.All",
        }
    }
}

/// What the pipelines of one connection need.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    permissions: Vec<Permission>,
    mailboxes: Vec<Mailbox>,
    unbounded: bool,
}

impl Needs {
    /// Adds a pipeline that sends. Patterns with `*` stand for mailboxes that nobody knows.
    pub fn sending<'a>(
        &mut self,
        guarantee: Guarantee,
        mailboxes: impl IntoIterator<Item = &'a str>,
    ) {
        self.permission(Permission::Send);
        if guarantee == Guarantee::Once {
            self.permission(Permission::ReadWrite);
        }
        for mailbox in mailboxes {
            if mailbox.contains('*') {
                self.unbounded = true;
            } else {
                self.mailbox(mailbox);
            }
        }
    }

    /// What of it is in a tenant with these mailboxes, patterns included.
    #[must_use]
    pub fn within(&self, patterns: &[String]) -> Self {
        let inside = |it: &&Mailbox| patterns.iter().any(|pattern| it.matches(pattern));
        let mailboxes = self.mailboxes.iter().filter(inside).cloned().collect();
        Self { mailboxes, ..self.clone() }
    }

    /// Adds a pipeline that reads mailboxes, and that edits what it has read or does not.
    pub fn reading<'a>(&mut self, edits: bool, mailboxes: impl IntoIterator<Item = &'a str>) {
        self.permission(if edits { Permission::ReadWrite } else { Permission::Read });
        mailboxes.into_iter().for_each(|mailbox| self.mailbox(mailbox));
    }

    /// Mailboxes are looked up in the directory, perhaps as members of a group.
    pub fn discovery(&mut self, of_group: bool) {
        self.permission(Permission::UserRead);
        if of_group {
            self.permission(Permission::GroupRead);
        }
        self.unbounded = true;
    }

    /// Adds a mailbox to be tried.
    pub fn mailbox(&mut self, name: &str) {
        let mailbox = Mailbox::new(name);
        if !self.mailboxes.contains(&mailbox) {
            self.mailboxes.push(mailbox);
        }
    }

    fn permission(&mut self, permission: Permission) {
        if !self.permissions.contains(&permission) {
            self.permissions.push(permission);
            self.permissions.sort_unstable();
        }
        if self.permissions.contains(&Permission::ReadWrite) {
            self.permissions.retain(|it| *it != Permission::Read);
        }
    }

    /// The permissions that are needed, in the order of [`Permission::ALL`].
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// The mailboxes that are named.
    pub fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }

    /// Whether there are mailboxes that nobody has named.
    pub fn unbounded(&self) -> bool {
        self.unbounded
    }

    /// Whether the named mailboxes are all there are.
    pub fn bounded(&self) -> bool {
        !self.unbounded && !self.mailboxes.is_empty()
    }
}
