//! A stream the other way round: what was published to a target is read, and what a source reads is
//! published.
//!
//! Reading asks for what there is and does not wait for more. A message that was handed out and not
//! settled in time comes again from the server; here it is known and passed over, because whoever
//! holds its receipt may still settle it. What another reader of the same name has taken and not
//! settled (it may be dead) is waited for, for as long as the server keeps it from others.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::{Message as NatsMessage, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use mailbridge_core::{
    Code, Delivery, Error, Input, Message, Output, Position, Receipt, Result, SeenBefore,
};
use tokio::{task::unconstrained, time::Instant};

use crate::{
    client::{CONFIRM_TIMEOUT, Link},
    config::Target,
    error, headers,
    output::NatsOutput,
    place::Place,
    receipt::{NatsReceipt, Shared},
    setup::{self, ReaderReady, covers},
};

/// How many messages are asked for at once; their payloads are in memory.
const BATCH: u64 = 16;
/// How long the server may keep a pull for what is out elsewhere, before that is looked up again.
const WAIT: Duration = Duration::from_secs(1);
/// A receipt is held as long as its holder likes: whether it comes again is seen here.
const HELD_MAX: Duration = Duration::from_hours(24 * 365);

/// Reads what stands on a subject.
pub(crate) struct NatsReader {
    shared: Arc<Shared>,
    reader: ReaderReady,
    subscriber: Subscriber,
    inbox: Subject,
    /// A pull stands, until this time at the latest.
    asked: Option<Instant>,
    /// How many messages it may still bring.
    coming: u64,
    /// What was handed out, by sequence.
    met: HashSet<u64>,
    /// What was published since, to be given back at the end.
    beyond: Vec<Subject>,
    /// Until when what is out elsewhere is waited for.
    patient_until: Instant,
    waiting: bool,
    ended: bool,
}

impl NatsReader {
    /// Subscribes; asks for nothing yet.
    pub async fn start(link: Link, reader: ReaderReady) -> Result<Self> {
        let inbox = Subject::from(link.client.new_inbox());
        let subscriber = link.client.subscribe(inbox.clone()).await;
        let subscriber =
            subscriber.map_err(|failure| error::failed("no inbox for messages", &failure))?;
        Ok(Self {
            shared: Arc::new(Shared::new(link, HELD_MAX)),
            reader,
            subscriber,
            inbox,
            asked: None,
            coming: 0,
            met: HashSet::new(),
            beyond: Vec::new(),
            patient_until: Instant::now() + setup::READER_ACK_WAIT + WAIT,
            waiting: false,
            ended: false,
        })
    }

    /// Sends a pull.
    async fn ask(&mut self) -> Result<()> {
        let link = &self.shared.link;
        let (batch, wait, rest) = if self.waiting {
            let expires = WAIT.as_nanos();
            (self.missing().clamp(1, BATCH), WAIT, format!("\"expires\":{expires}"))
        } else {
            (BATCH, Duration::ZERO, "\"no_wait\":true".to_owned())
        };
        let subject = format!(
            "{}.CONSUMER.MSG.NEXT.{}.{}",
            link.api, self.reader.stream, self.reader.consumer
        );
        let pull = format!("{{\"batch\":{batch},{rest}}}");
        let sent = link.client.publish_with_reply(subject, self.inbox.clone(), pull.into()).await;
        sent.map_err(|failure| error::failed("messages cannot be asked for", &failure))?;
        self.asked = Some(Instant::now() + wait + CONFIRM_TIMEOUT);
        self.coming = batch;
        Ok(())
    }

    /// What stood there at the beginning and has not come yet.
    fn missing(&self) -> u64 {
        self.reader.unsettled.saturating_sub(self.met.len() as u64)
    }

    /// The next message of a pull; nothing when the pull is over.
    async fn take(&mut self, give_up: Instant) -> Result<Option<NatsMessage>> {
        let link = &self.shared.link;
        let message = tokio::select! {
            biased;
            message = self.subscriber.next() => message,
            () = link.lost() => None,
            () = tokio::time::sleep_until(give_up) => None,
        };
        let message = message.ok_or_else(|| self.lost("the server stopped answering pulls"))?;
        match message.status {
            None | Some(StatusCode::OK) => {
                self.coming = self.coming.saturating_sub(1);
                if self.coming == 0 {
                    self.asked = None;
                }
                Ok(Some(message))
            }
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => {
                self.asked = None;
                Ok(None)
            }
            Some(status) => {
                let says = message.description.as_deref().unwrap_or_default();
                let error = self.lost("the server ended a pull");
                Err(error.with("status", status).with("says", says))
            }
        }
    }

    fn lost(&self, detail: &'static str) -> Error {
        let name = format!("{}/{}", self.reader.stream, self.reader.consumer);
        Error::transient(Code::BusLost, detail).with("consumer", name)
    }

    /// Hands a message out, unless it was, or was not there at the beginning.
    fn read(&mut self, message: NatsMessage) -> Result<Option<Delivery>> {
        let unknown = || self.lost("a message came that no consumer can have sent");
        let reply = message.reply.ok_or_else(unknown)?;
        let place = Place::parse(&reply).ok_or_else(unknown)?;
        let (sequence, delivered) = (place.sequence, place.delivered);
        if sequence > self.reader.last {
            self.beyond.push(reply);
            return Ok(None);
        }
        if !self.met.insert(sequence) {
            return Ok(None);
        }
        let (headers, id) = headers::incoming(message.headers.as_ref());
        let address = Some(message.subject.to_string());
        Ok(Some(Delivery {
            message: Message {
                address,
                id,
                headers,
                payload: message.payload,
                ..Message::default()
            },
            position: Position::new(format!("nats:{}/{sequence}", self.reader.stream)),
            seen_before: match delivered {
                0 | 1 => SeenBefore::No,
                more => SeenBefore::Times(more - 1),
            },
            receipt: Receipt::new(NatsReceipt::new(&self.shared, reply, Instant::now())),
        }))
    }

    /// Nothing more is there at once. Whether that is all.
    async fn is_all(&mut self) -> Result<bool> {
        if self.missing() == 0 || Instant::now() >= self.patient_until {
            return Ok(true);
        }
        let out = setup::reader_out(&self.shared.link, &self.reader).await?;
        let ours = self.shared.out() + self.beyond.len();
        if out <= ours as u64 {
            return Ok(true);
        }
        if !std::mem::replace(&mut self.waiting, true) {
            let messages = out - ours as u64;
            tracing::warn!(
                consumer = self.reader.consumer,
                messages,
                "waiting for what another reader of this name has taken and not settled"
            );
        }
        Ok(false)
    }

    /// Gives back what nobody here has asked for.
    async fn give_back(&mut self) -> Result<()> {
        let client = &self.shared.link.client;
        for reply in self.beyond.drain(..) {
            let sent = client.publish(reply, "-NAK".into()).await;
            sent.map_err(|failure| error::failed("a message cannot be given back", &failure))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Input for NatsReader {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        while !self.ended {
            let Some(give_up) = self.asked else {
                // Past the end: only what comes back to others could still be before it.
                if !self.beyond.is_empty() && self.is_all().await? {
                    break;
                }
                self.ask().await?;
                continue;
            };
            match self.take(give_up).await? {
                Some(message) => {
                    if let Some(delivery) = self.read(message)? {
                        return Ok(Some(delivery));
                    }
                }
                None if self.is_all().await? => break,
                None => {}
            }
        }
        self.ended = true;
        self.give_back().await?;
        Ok(None)
    }
}

/// Gives back what is buffered, as far as that can be done at once.
impl Drop for NatsReader {
    fn drop(&mut self) {
        let mut replies = std::mem::take(&mut self.beyond);
        while let Some(Some(message)) = unconstrained(self.subscriber.next()).now_or_never() {
            replies.extend(message.reply.filter(|_| message.status.is_none()));
        }
        for reply in replies {
            let given_back = self.shared.link.client.publish(reply, "-NAK".into()).now_or_never();
            if given_back.is_none_or(|sent| sent.is_err()) {
                return;
            }
        }
    }
}

/// Publishes to what a source reads.
pub(crate) struct NatsReturn {
    output: NatsOutput,
    subjects: Vec<String>,
}

impl NatsReturn {
    /// `subjects` are those that the source reads; the first without wildcards takes what has no
    /// place of its own there.
    pub fn new(link: Link, subjects: Vec<String>) -> Self {
        let output = NatsOutput::new(link, Target::at(subject_for(&subjects, None).unwrap_or("")));
        Self { output, subjects }
    }
}

#[async_trait]
impl Output for NatsReturn {
    async fn publish(&self, mut message: Message) -> Result<()> {
        let Some(subject) = subject_for(&self.subjects, message.address.as_deref()) else {
            let detail = "the source does not read the message's own subject, and no subject of it \
                          is without wildcards";
            return Err(
                Error::permanent(Code::BusMismatch, detail).with("reads", self.subjects.join(", "))
            );
        };
        message.address = Some(subject.to_owned());
        self.output.publish(message).await
    }
}

/// The message's own subject, where the source reads it; else one of the source's.
fn subject_for<'a>(subjects: &'a [String], own: Option<&'a str>) -> Option<&'a str> {
    let plain = |subject: &&str| !subject.contains(['*', '>']);
    let read = |own: &&str| plain(own) && subjects.iter().any(|of| covers(of, own));
    own.filter(read).or_else(|| subjects.iter().map(String::as_str).find(plain))
}

#[cfg(test)]
mod tests {
    use super::subject_for;

    #[test]
    fn a_message_goes_where_it_came_from_as_long_as_that_is_read() {
        let subjects = ["mail.send.>".to_owned(), "mail.urgent".to_owned()];
        for (own, expected) in [
            (Some("mail.send.eu"), Some("mail.send.eu")),
            (Some("mail.other"), Some("mail.urgent")),
            (Some("mail.send.>"), Some("mail.urgent")),
            (None, Some("mail.urgent")),
        ] {
            assert_eq!(subject_for(&subjects, own), expected);
        }
        assert_eq!(subject_for(&subjects[..1], Some("mail.other")), None);
    }
}
