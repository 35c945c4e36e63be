//! Telling a mailbox that is denied from a permission that nobody granted: Graph answers both with
//! `ErrorAccessDenied`.
//!
//! A permission is suspected when the token does not list it *and* nothing that needs it has worked
//! with this token. The token alone proves nothing: permissions given in Exchange (RBAC for
//! Applications) never show in it. So once something has worked with a token that does not list
//! what it needs, tokens are no longer asked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::token::{Permission, Token};

#[derive(Default)]
pub(crate) struct Grants {
    /// By permission: the last generation of token with which something that needs it worked.
    worked: [AtomicU64; 3],
    given_in_exchange: AtomicBool,
}

impl Grants {
    /// Something that needs the permission worked with this token.
    pub(crate) fn worked(&self, permission: Permission, token: &Token) {
        self.worked[index(permission)].store(token.generation(), Relaxed);
        if token.roles().lack(permission) {
            self.given_in_exchange.store(true, Relaxed);
        }
    }

    /// Whether a denial may mean that the permission itself is missing.
    pub(crate) fn suspect(&self, permission: Permission, token: &Token) -> bool {
        token.roles().lack(permission)
            && !self.given_in_exchange.load(Relaxed)
            && self.worked[index(permission)].load(Relaxed) != token.generation()
    }
}

fn index(permission: Permission) -> usize {
    match permission {
        Permission::Send => 0,
        Permission::ReadWrite => 1,
        Permission::Read => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_suspected_until_something_that_needs_it_works() {
        let grants = Grants::default();
        let token = Token::that_lacks_everything(1);
        assert!(grants.suspect(Permission::Send, &token));
        grants.worked(Permission::Send, &token);
        assert!(!grants.suspect(Permission::Send, &token));
    }

    #[test]
    fn grants_made_in_exchange_are_remembered_beyond_the_token() {
        let grants = Grants::default();
        grants.worked(Permission::Send, &Token::that_lacks_everything(1));
        let next = Token::that_lacks_everything(2);
        assert!(!grants.suspect(Permission::Send, &next));
        assert!(!grants.suspect(Permission::ReadWrite, &next));
    }
}
