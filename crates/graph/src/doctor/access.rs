//! What the answer to a probe says of the app's access: a pure function over what was seen.
//!
//! It rests on [`classify`], which knows the codes, and adds the one thing that is particular here:
//! a probe asks for a message that does not exist, so being told so is the proof of access.

use mailbridge_core::Code;

use super::Permission;
use crate::classify::{Effect, Seen, classify};

/// A request that finds something out and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// `GET /users?$top=1`: the directory, and whether Graph takes the token at all.
    Users,
    /// `GET /users/{mailbox}/mailFolders/inbox`: reading.
    Inbox,
    /// `PATCH` of a message that does not exist: changing.
    Change,
    /// `POST …/send` of a message that does not exist: sending.
    Send,
}

impl Probe {
    /// Those for a mailbox that tell of a permission.
    pub(super) const fn of(permission: Permission) -> &'static [Self] {
        match permission {
            Permission::UserRead | Permission::GroupRead => &[],
            Permission::ReadWrite => &[Self::Inbox, Self::Change],
            Permission::Read => &[Self::Inbox],
            Permission::Send => &[Self::Send],
        }
    }

    fn names_no_message(self) -> bool {
        matches!(self, Self::Users | Self::Inbox)
    }
}

/// What the app may do, as one answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    Denied,
    /// There is no such user or mailbox.
    NoUser,
    /// The user has no mailbox in Exchange Online.
    NoMailbox,
    /// Graph does not take the token.
    TokenRefused,
    /// Graph is throttled or failing.
    Unproven,
    /// This is not Graph.
    NotGraph,
    Unreachable,
}

impl Access {
    /// Of an answer; `Effect::Draft` because a probe may be repeated and sends nothing.
    pub(super) fn of(probe: Probe, seen: &Seen<'_>) -> Self {
        let Some((code, _)) = classify(Effect::Draft, seen) else { return Self::Granted };
        let codes = match seen {
            Seen::Answered { codes, .. } => *codes,
            _ => &[],
        };
        match code {
            // the mailbox itself refuses, after the app was let in
            Code::MailboxFull
            | Code::MailboxSuspended
            | Code::MailboxQuota
            | Code::GraphSendAsDenied => Self::Granted,
            // the made-up message is not there, or its id is not one: the app was let in
            Code::GraphDraftGone | Code::GraphRefused
                if !probe.names_no_message() && !codes.is_empty() =>
            {
                Self::Granted
            }
            Code::MailboxDenied | Code::GraphPermissionMissing => Self::Denied,
            Code::MailboxNotFound if has_no_mailbox(codes) => Self::NoMailbox,
            Code::MailboxNotFound => Self::NoUser,
            Code::GraphUnauthorized => Self::TokenRefused,
            Code::GraphThrottled | Code::GraphUnavailable => Self::Unproven,
            Code::GraphUnreachable | Code::GraphTimeout | Code::GraphCut => Self::Unreachable,
            _ => Self::NotGraph,
        }
    }
}

/// Codes for a user who is known and has no mailbox in the cloud.
fn has_no_mailbox(codes: &[&str]) -> bool {
    let known = ["MailboxNotEnabledForRESTAPI", "ErrorNonExistentMailbox"];
    codes.iter().any(|code| known.iter().any(|known| known.eq_ignore_ascii_case(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(probe: Probe, status: u16, codes: &[&str]) -> Access {
        Access::of(probe, &Seen::Answered { status, codes, retry_after: None })
    }

    #[test]
    fn a_message_that_does_not_exist_proves_access() {
        for probe in [Probe::Change, Probe::Send] {
            assert_eq!(answered(probe, 404, &["ErrorItemNotFound"]), Access::Granted);
            assert_eq!(answered(probe, 400, &["ErrorInvalidIdMalformed"]), Access::Granted);
            assert_eq!(answered(probe, 403, &["ErrorAccessDenied"]), Access::Denied);
            // a page of a proxy proves nothing
            assert_ne!(answered(probe, 400, &[]), Access::Granted);
        }
        assert_ne!(answered(Probe::Inbox, 400, &["BadRequest"]), Access::Granted);
    }

    #[test]
    fn a_missing_user_is_told_from_a_missing_mailbox() {
        for (code, access) in [
            ("ErrorInvalidUser", Access::NoUser),
            ("Request_ResourceNotFound", Access::NoUser),
            ("MailboxNotEnabledForRESTAPI", Access::NoMailbox),
            ("ErrorNonExistentMailbox", Access::NoMailbox),
        ] {
            assert_eq!(answered(Probe::Send, 404, &[code]), access, "{code}");
        }
    }

    #[test]
    fn the_rest() {
        let codes: &[&str] = &[];
        assert_eq!(answered(Probe::Users, 200, codes), Access::Granted);
        assert_eq!(answered(Probe::Users, 401, codes), Access::TokenRefused);
        assert_eq!(answered(Probe::Inbox, 429, &["ApplicationThrottled"]), Access::Unproven);
        assert_eq!(answered(Probe::Inbox, 302, codes), Access::NotGraph);
        assert_eq!(answered(Probe::Users, 403, &["Authorization_RequestDenied"]), Access::Denied);
        assert_eq!(Access::of(Probe::Users, &Seen::NotSent), Access::Unreachable);
    }
}
