//! Permissions that Exchange gives: RBAC for Applications.
//!
//! Facts: learn.microsoft.com/exchange/permissions-exo/application-rbac. They add to what Entra
//! grants and never show in a token. Exchange caches them for 30 minutes to two hours; the sandbox
//! does not.

use serde::Deserialize;

use crate::text::glob;

/// A management role assignment with a scope of mailboxes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailboxGrant {
    role: String,
    mailboxes: Vec<String>,
}

impl MailboxGrant {
    /// A role, such as `Application Mail.Send` (with or without its first word), for mailboxes by
    /// address, or by pattern with `*`.
    pub fn new<I>(role: impl Into<String>, mailboxes: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self { role: role.into(), mailboxes: mailboxes.into_iter().map(Into::into).collect() }
    }

    /// Whether it gives one of these permissions for the mailbox.
    pub(crate) fn gives(&self, permissions: &[&str], mailbox: &str) -> bool {
        let role = self.role.strip_prefix("Application ").unwrap_or(&self.role);
        let fits = match role {
            "Mail Full Access" => {
                ["Mail.ReadWrite", "Mail.Send"].iter().any(|role| permissions.contains(role))
            }
            role => permissions.contains(&role),
        };
        fits && self.mailboxes.iter().any(|pattern| glob(pattern, mailbox))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_for_its_role_and_its_mailboxes() {
        let grant =
            MailboxGrant::new("Application Mail.Send", ["anna@a.example", "team-*@a.example"]);
        assert!(grant.gives(&["Mail.Send"], "Anna@a.example"));
        assert!(grant.gives(&["Mail.Send"], "team-1@a.example"));
        assert!(!grant.gives(&["Mail.Send"], "bob@a.example"));
        assert!(!grant.gives(&["Mail.ReadWrite"], "anna@a.example"));
        let full = MailboxGrant::new("Mail Full Access", ["*"]);
        assert!(full.gives(&["Mail.ReadWrite"], "x@y") && full.gives(&["Mail.Send"], "x@y"));
        assert!(!full.gives(&["User.Read.All"], "x@y"));
    }
}
