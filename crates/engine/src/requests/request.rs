//! From a message to a request that this pipeline takes.

use std::time::Duration;

use jiff::Timestamp;
use mailbridge_core::{
    Code, Decoder, Error, Guarantee, Mailbox, Message, Position, Result,
    contract::{Decoded, Key, Mark, Operation, Request},
};

use crate::Settings;

/// What a message is known by, whether or not it is a request.
pub struct Known {
    /// The request's key.
    pub key: Key,
    /// What it is known by in the mailbox.
    pub mark: Mark,
    /// The producer's W3C `traceparent`.
    pub traceparent: Option<String>,
    /// How long ago it may have been sent, if it is the replay of a request whose end is unknown.
    pub doubt: Option<Duration>,
}

/// A request and the mailbox to do it in.
pub struct Admitted {
    /// The request, checked.
    pub request: Request,
    /// One that the pipeline allows.
    pub mailbox: Mailbox,
}

/// Decodes a message and checks it against the pipeline. Nothing, if the message is not for it.
pub fn admit(
    pipeline: &str,
    settings: &Settings,
    decoder: &dyn Decoder,
    message: &Message,
    position: &Position,
) -> Option<(Known, Result<Admitted>)> {
    let mut doubt = None;
    let (key, traceparent, request) = match decoder.decode(message, position) {
        Ok(None) => return None,
        Ok(Some(found)) => {
            let now = Timestamp::now();
            doubt = found.doubt.map(|since| now.duration_since(since).unsigned_abs());
            let Decoded { request, key, traceparent, .. } = found;
            (key, traceparent, Ok(request))
        }
        Err(undecodable) => (undecodable.key, undecodable.traceparent, Err(undecodable.error)),
    };
    let mark = key.mark(pipeline);
    let admitted = request.and_then(|mut request| {
        let mailbox = mailbox(settings, &request)?;
        keepable(settings, &request)?;
        settings.recipients.admit(&mut request)?;
        Ok(Admitted { request, mailbox })
    });
    Some((Known { key, mark, traceparent, doubt }, admitted))
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
