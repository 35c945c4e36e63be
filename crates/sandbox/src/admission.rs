//! Who may do what, and how much of it: token, permission, mailbox, budget, in Graph's order.

pub mod permission;

use std::sync::Arc;

use axum::http::HeaderMap;
use jiff::Timestamp;

use crate::budget::Usage;
use crate::directory::{Grant, Lookup};
use crate::error::GraphError;
use crate::lock::lock;
use crate::mailbox::Mailbox;
use crate::operation::user;
use crate::route::{Operation, Route};
use crate::world::World;

/// A request that was let in. While it lives it takes one of the places in its mailbox.
#[derive(Debug)]
pub struct Admitted {
    pub grant: Arc<Grant>,
    pub seat: Option<Seat>,
}

/// One of an app's places in a mailbox; given back on drop, also when the client goes away.
#[derive(Debug)]
pub struct Seat {
    pub mailbox: Arc<Mailbox>,
    app: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = lock(&self.mailbox.inner);
        if let Some((_, usage)) = inner.usage.iter_mut().find(|(app, _)| *app == self.app) {
            usage.leave();
        }
    }
}

/// Lets a request in, or says why not. Budgets are charged here, whatever comes of the request.
pub fn admit(
    world: &World,
    route: &Route,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Admitted, GraphError> {
    let grant = authenticate(world, headers, now)?;
    if route.operation.is_of_directory() {
        permit(route.operation, &grant, "")?;
        return Ok(Admitted { grant, seat: None });
    }
    if route.operation.is_of_subscriptions() {
        // which permission it takes follows from the body
        return Ok(Admitted { grant, seat: None });
    }
    let found = world.mailbox(&route.user);
    let address = match route.operation {
        Operation::GetUser => "",
        _ => found.as_ref().map_or(route.user.as_str(), |mailbox| &mailbox.address),
    };
    permit(route.operation, &grant, address)?;
    let unknown = || match route.operation {
        Operation::GetUser => GraphError::no_directory_object(&route.user),
        _ => GraphError::invalid_user(&route.user),
    };
    let mailbox = found.ok_or_else(unknown)?;
    if mailbox.tenant != grant.tenant {
        return Err(unknown());
    }
    if route.operation == Operation::GetUser {
        return Ok(Admitted { seat: Some(Seat { mailbox, app: 0 }), grant });
    }
    enter(world, &mailbox, grant.app, &route.user, now)?;
    Ok(Admitted { seat: Some(Seat { mailbox, app: grant.app }), grant })
}

fn enter(
    world: &World,
    mailbox: &Mailbox,
    app: u32,
    user: &str,
    now: Timestamp,
) -> Result<(), GraphError> {
    let budgets = &world.settings.budgets;
    let mut guard = lock(&mailbox.inner);
    let inner = &mut *guard;
    inner.check_state(user)?;
    let position = inner.usage.iter().position(|(known, _)| *known == app);
    let index = position.unwrap_or(inner.usage.len());
    if position.is_none() {
        inner.usage.push((app, Usage::new(budgets)));
    }
    inner.usage[index].1.enter(budgets, now)
}

impl Seat {
    /// A place for a request whose URL is its authorisation.
    pub fn take(
        world: &World,
        mailbox: Arc<Mailbox>,
        app: u32,
        now: Timestamp,
    ) -> Result<Self, GraphError> {
        enter(world, &mailbox, app, &mailbox.address, now)?;
        Ok(Self { mailbox, app })
    }

    /// Charges the body of a request that uploads.
    pub fn upload(&self, world: &World, bytes: usize, now: Timestamp) -> Result<(), GraphError> {
        let mut inner = lock(&self.mailbox.inner);
        let usage = inner.usage.iter_mut().find(|(app, _)| *app == self.app);
        usage.map_or(Ok(()), |(_, usage)| usage.upload(&world.settings.budgets, bytes, now))
    }
}

/// Whose token it is.
pub fn authenticate(
    world: &World,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Arc<Grant>, GraphError> {
    let value = headers.get("authorization").ok_or_else(GraphError::missing_token)?;
    let value = value.to_str().map_err(|_| GraphError::malformed_token())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(GraphError::missing_token)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(GraphError::missing_token());
    }
    match world.directory.token(token.trim(), now) {
        Lookup::Valid(grant) => Ok(grant),
        Lookup::Expired => Err(GraphError::expired_token()),
        Lookup::Challenged(nbf) => Err(GraphError::challenged(nbf)),
        Lookup::Unknown if token.split('.').count() == 3 => Err(GraphError::revoked_token()),
        Lookup::Unknown => Err(GraphError::malformed_token()),
    }
}

/// The roles of which one is enough (learn.microsoft.com/graph/permissions-reference).
fn permit(operation: Operation, grant: &Grant, mailbox: &str) -> Result<(), GraphError> {
    let (roles, refusal): (&[&str], fn() -> GraphError) = match operation {
        Operation::SendMail
        | Operation::SendMessage
        | Operation::Reply
        | Operation::ReplyAll
        | Operation::Forward => (&["Mail.Send"], GraphError::access_denied),
        Operation::GetMessage
        | Operation::GetMessageValue
        | Operation::ListMessages
        | Operation::ListAttachments
        | Operation::GetAttachment
        | Operation::GetAttachmentValue
        | Operation::ListFolders
        | Operation::GetFolder
        | Operation::FolderDelta
        | Operation::MessageDelta => (&["Mail.ReadWrite", "Mail.Read"], GraphError::access_denied),
        Operation::CreateMessage
        | Operation::UpdateMessage
        | Operation::DeleteMessage
        | Operation::CreateAttachment
        | Operation::CreateUploadSession
        | Operation::CreateReply
        | Operation::CreateReplyAll
        | Operation::CreateForward
        | Operation::MoveMessage
        | Operation::CopyMessage
        | Operation::PermanentDeleteMessage
        | Operation::CreateFolder
        | Operation::UpdateFolder
        | Operation::DeleteFolder
        | Operation::MoveFolder
        | Operation::DeleteAttachment => (&["Mail.ReadWrite"], GraphError::access_denied),
        Operation::ListUsers | Operation::GetUser => (&user::ROLES, GraphError::directory_denied),
        Operation::ListMembers | Operation::ListTransitiveMembers => (
            &["GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"],
            GraphError::directory_denied,
        ),
        // of these only the token has a permission to ask, and it has none yet
        Operation::Token
        | Operation::Batch
        | Operation::Discovery
        | Operation::UploadChunk
        | Operation::GetUpload
        | Operation::CancelUpload
        | Operation::CreateSubscription
        | Operation::ListSubscriptions
        | Operation::GetSubscription
        | Operation::UpdateSubscription
        | Operation::DeleteSubscription
        | Operation::ReauthorizeSubscription
        | Operation::Unknown => return Ok(()),
    };
    permission::check(roles, grant, mailbox, refusal)
}
