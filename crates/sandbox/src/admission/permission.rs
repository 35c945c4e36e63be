//! Where a permission may come from.
//!
//! Three sources decide on a mailbox: Entra's roles, which stand in the token; a legacy application
//! access policy, which limits those to some mailboxes; and Exchange's RBAC for Applications, which
//! adds to both and shows nowhere (learn.microsoft.com/exchange/permissions-exo/application-rbac,
//! learn.microsoft.com/graph/auth-limit-mailbox-access).

use crate::directory::Grant;
use crate::error::GraphError;
use crate::text::glob;

/// Whether one of these roles is given, for every mailbox or for this one (by address; empty where
/// the directory is asked and not Exchange), and else which refusal is due.
pub fn check(
    roles: &[&str],
    grant: &Grant,
    mailbox: &str,
    refusal: fn() -> GraphError,
) -> Result<(), GraphError> {
    let in_token = grant.roles.iter().any(|role| roles.contains(&role.as_str()));
    let state = grant.owner.state();
    let limited = state.app.access_policy.as_ref().is_some_and(|allowed| {
        !mailbox.is_empty() && !allowed.iter().any(|pattern| glob(pattern, mailbox))
    });
    let in_exchange = || state.app.grants.iter().any(|one| one.gives(roles, mailbox));
    if (in_token && !limited) || in_exchange() {
        return Ok(());
    }
    Err(if in_token { GraphError::mailbox_denied() } else { refusal() })
}
