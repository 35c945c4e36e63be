//! From a message to a request that this pipeline takes.

use jiff::Timestamp;
use mailbridge_core::{
    Code, Error, Guarantee, Mailbox, Message, Position, Result,
    contract::{Decoded, Key, Mark, Operation, Request, decode::decode},
};

use crate::Settings;

/// What a message is known by, whether or not it is a request.
pub struct Known {
    pub key: Key,
    pub mark: Mark,
    pub traceparent: Option<String>,
}

/// A request and the mailbox to do it in.
pub struct Admitted {
    pub request: Request,
    pub mailbox: Mailbox,
}

/// Decodes a message and checks it against the pipeline.
pub fn admit(
    pipeline: &str,
    settings: &Settings,
    message: &Message,
    position: &Position,
) -> (Known, Result<Admitted>) {
    let (key, traceparent, request) = match decode(message, position) {
        Ok(Decoded { request, key, traceparent, .. }) => (key, traceparent, Ok(request)),
        Err(undecodable) => (undecodable.key, undecodable.traceparent, Err(undecodable.error)),
    };
    let mark = key.mark(pipeline);
    let admitted = request.and_then(|request| {
        let mailbox = mailbox(settings, &request)?;
        keepable(settings, &request)?;
        Ok(Admitted { request, mailbox })
    });
    (Known { key, mark, traceparent }, admitted)
}

fn mailbox(settings: &Settings, request: &Request) -> Result<Mailbox> {
    let Some(mailbox) = request.mailbox.as_ref().or(settings.mailbox.as_ref()) else {
        return Err(Error::permanent(
            Code::RequestNoMailbox,
            "neither the request nor the pipeline names a mailbox",
        ));
    };
    if !settings.allows(mailbox) {
        return Err(Error::permanent(
            Code::RequestMailboxNotAllowed,
            "the pipeline does not allow this mailbox",
        )
        .with("field", "mailbox"));
    }
    Ok(mailbox.clone())
}

/// Whether the pipeline's guarantee can be kept for this request.
fn keepable(settings: &Settings, request: &Request) -> Result<()> {
    let Operation::Send(mail) = &request.operation else { return Ok(()) };
    if settings.guarantee == Guarantee::Once && !mail.save_to_sent_items() {
        return Err(Error::permanent(
            Code::RequestNeedsAtLeastOnce,
            "a mail that is sent once always leaves a copy in Sent Items",
        )
        .with("field", "save_to_sent_items"));
    }
    Ok(())
}

/// Whether the request's time is over.
pub fn expired(request: &Request) -> Option<Error> {
    let not_after = request.not_after.filter(|not_after| Timestamp::now() > *not_after)?;
    Some(
        Error::permanent(Code::RequestExpired, "the request's time is over")
            .with("not_after", not_after),
    )
}
