//! Sending a mail, with either guarantee.
//!
//! - [`once`]: a draft that carries the request's mark, then the draft's sending, and a [`look`] in
//!   the mailbox before anything else when an earlier attempt is in doubt.
//! - [`send_mail`]: one request that leaves nothing to look for.

mod leftover;
mod look;
mod once;
mod send_mail;

use jiff::Timestamp;
use mailbridge_core::{
    Attempt, Completion, Guarantee, Result,
    contract::{Body as Text, Composed, OutgoingMail},
};

use super::Session;
use crate::{graph::Graph, http::Body, wire};
pub(crate) use leftover::Leftovers;

pub(crate) async fn perform(
    graph: &Graph,
    attempt: &Attempt<'_>,
    mail: &OutgoingMail,
) -> Result<Completion> {
    let session = Session::open(graph, attempt.mailbox, attempt.deadline.at()).await?;
    match attempt.guarantee {
        Guarantee::Once => once::perform(graph, &session, attempt, mail).await,
        Guarantee::AtLeastOnce => send_mail::perform(&session, attempt, mail).await,
    }
}

/// The two forms in which Graph takes a mail.
enum Form<'a> {
    Json(&'a Composed),
    /// Base64 of the message, and the categories that MIME does not carry for sure.
    Mime(Body, &'a [String]),
}

impl<'a> Form<'a> {
    /// JSON where it can say all of the mail, else MIME.
    fn of(mail: &'a OutgoingMail, attempt: &Attempt<'_>) -> Result<Self> {
        let (raw, categories) = match mail {
            OutgoingMail::Mime(mime) => (wire::mime::encoded(&mime.raw), &[][..]),
            OutgoingMail::Composed(mail) if !matches!(mail.body, Text::Both { .. }) => {
                return Ok(Self::Json(mail));
            }
            OutgoingMail::Composed(mail) => {
                let now = Timestamp::now();
                let raw = wire::mime::build(mail, attempt.mailbox, attempt.mark, now)?;
                (wire::mime::encoded(&raw), &mail.categories[..])
            }
        };
        Ok(Self::Mime(Body::Mime(raw.into()), categories))
    }
}
