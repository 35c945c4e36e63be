//! A dead letter turned back into the request that it was.
//!
//! A replay is the same request, not a new one: it keeps the original's key, even where that came
//! from the place on the bus, which is another one now. And it keeps the doubt: what ended as
//! `unknown` may have been sent, so whoever takes it up again looks first.

use jiff::Timestamp;

use super::dead_letter::{PAYLOAD_LEFT_OUT_HEADER, PREFIX};
use crate::{Code, Error, Headers, Message, Position, Result};

/// Where the original stood on its bus.
const POSITION_HEADER: &str = "mailbridge-replay-position";
/// The bus's id of the original; a replay has one of its own.
const ID_HEADER: &str = "mailbridge-replay-id";
/// When the original may have been sent, at the latest (RFC 3339).
const DOUBT_HEADER: &str = "mailbridge-replay-doubt";

/// What dead letters say of their end; it is no part of the request.
const ENDING: [&str; 10] = [
    "status",
    "code",
    "reason",
    "attempts",
    "key",
    "pipeline",
    "position",
    "time",
    "address",
    "payload-bytes",
];

/// A dead letter, read.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The message to publish. Its address is the original's. Where the dead letter has lost its
    /// payload on the way, why.
    pub message: Result<Message>,
    /// The pipeline that gave it up.
    pub pipeline: Option<String>,
    /// How it ended: `rejected` or `unknown`.
    pub status: Option<String>,
    /// Why.
    pub code: Option<String>,
    /// The request's key.
    pub key: Option<String>,
    /// When it was given up.
    pub time: Option<Timestamp>,
}

impl Replay {
    /// Reads a dead letter.
    ///
    /// # Errors
    /// `request_invalid`: it is no dead letter of mailbridge's.
    pub fn of(letter: &Message) -> Result<Self> {
        let own = |name: &str| letter.headers.get(&format!("{PREFIX}{name}")).map(str::to_owned);
        let wrong = |detail| Err(Error::permanent(Code::RequestInvalid, detail));
        let (Some(status), Some(position)) = (own("status"), own("position")) else {
            return wrong("this message is no dead letter: it has no mailbridge headers");
        };
        let time = own("time").and_then(|time| time.parse().ok());
        let (pipeline, code, key) = (own("pipeline"), own("code"), own("key"));
        let message = Self::message(letter, &status, &position, time);
        Ok(Self { message, pipeline, status: Some(status), code, key, time })
    }

    fn message(
        letter: &Message,
        status: &str,
        position: &str,
        time: Option<Timestamp>,
    ) -> Result<Message> {
        if letter.headers.get(PAYLOAD_LEFT_OUT_HEADER).is_some() {
            let detail = "the dead letter has no payload: it was too long for its bus";
            return Err(Error::permanent(Code::RequestInvalid, detail));
        }
        let own = |name: &str| letter.headers.get(&format!("{PREFIX}{name}")).map(str::to_owned);
        let mut headers = request_headers(&letter.headers);
        if headers.get(POSITION_HEADER).is_none() {
            headers.push(POSITION_HEADER, position.to_owned());
            let id = own("original-nats-msg-id").or_else(|| own("original-message-id"));
            if let Some(id) = id {
                headers.push(ID_HEADER, id);
            }
        }
        // what was rejected may have been so before anybody looked
        let earlier = letter.headers.get(DOUBT_HEADER).map(str::to_owned);
        let given_up = || time.unwrap_or_else(Timestamp::now).to_string();
        if let Some(since) = if status == "unknown" { Some(given_up()) } else { earlier } {
            headers.push(DOUBT_HEADER, since);
        }
        // published twice, it is stored once
        let id = letter.id.as_deref().or_else(|| letter.headers.get("nats-msg-id"));
        Ok(Message {
            address: own("address"),
            id: Some(format!("replay:{}", id.unwrap_or(position))),
            key: letter.key.clone(),
            headers,
            payload: letter.payload.clone(),
            ..Message::default()
        })
    }

    /// Says that the request may have been put back before, and carried out at `until` at the
    /// latest. So whoever takes it up looks first, however it ended the first time.
    pub fn doubt(&mut self, until: Timestamp) {
        let Ok(message) = &mut self.message else { return };
        let mut headers = Headers::new();
        for (name, value) in message.headers.iter() {
            if !name.eq_ignore_ascii_case(DOUBT_HEADER) {
                headers.push(name, value.clone());
            }
        }
        message.headers = headers.with(DOUBT_HEADER, until.to_string());
    }
}

/// The original's headers. Those that steered NATS are not put back: the id is another one, and
/// what was expected of the stream then is not so now.
fn request_headers(headers: &Headers) -> Headers {
    let mut kept = Headers::new();
    for (name, value) in headers.iter() {
        let lower = name.to_lowercase();
        let own = lower.strip_prefix(PREFIX).is_some_and(|name| {
            ENDING.contains(&name) || name.starts_with("original-") || name == "replay-doubt"
        });
        // what a dead letter on Kafka says in the words of Kafka Connect
        let connect = lower.starts_with("__connect.errors.");
        if !own && !connect && !lower.starts_with("nats-") {
            kept.push(name, value.clone());
        }
    }
    kept
}

/// The original's id on the bus and its place, which a replay's key is made of.
pub(super) fn origin(message: &Message, position: &Position) -> (Option<String>, Position) {
    match message.headers.get(POSITION_HEADER) {
        Some(original) => {
            (message.headers.get(ID_HEADER).map(str::to_owned), Position::new(original))
        }
        None => (message.id.clone(), position.clone()),
    }
}

/// When a replayed request may have been sent, if it may have been.
pub(super) fn doubt(message: &Message) -> Option<Timestamp> {
    let since = message.headers.get(DOUBT_HEADER)?;
    // a time that cannot be read is a doubt all the same
    Some(since.parse().unwrap_or_else(|_| Timestamp::now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guarantee;
    use crate::contract::{
        DeadLetter, Key, OutcomeData, Status,
        decode::{Decoded, decode},
    };

    fn original(id: Option<&str>) -> Message {
        Message {
            address: Some("mail.send.eu".to_owned()),
            id: id.map(str::to_owned),
            headers: Headers::new().with("traceparent", "00-1").with("Nats-Expected-Stream", "X"),
            payload: r#"{"to":"bob@x.org","text":"hi"}"#.into(),
            ..Message::default()
        }
    }

    fn dead(original: &Message, at: &Position, status: Status) -> Message {
        dead_on("Nats-Msg-Id", original, at, status)
    }

    /// `id`: the header in which the bus has a message's id.
    fn dead_on(id: &str, original: &Message, at: &Position, status: Status) -> Message {
        let mut original = original.clone();
        original.headers.set(id, original.id.clone());
        let original = &original;
        let Decoded { key, .. } = decode(original, at).unwrap();
        let outcome = OutcomeData::new(status, "orders", Guarantee::Once, &key, at);
        let (mark, time) = (&key.mark("orders"), Timestamp::UNIX_EPOCH);
        DeadLetter { original, outcome: &outcome, mark, time }.to_message()
    }

    #[test]
    fn a_replay_is_the_same_request_whatever_its_key_came_from() {
        let (nats, kafka) = ("Nats-Msg-Id", "message-id");
        for (bus, id) in [(nats, None), (nats, Some("m-1")), (kafka, None), (kafka, Some("m-1"))] {
            let (first, here) = (original(id), Position::new("nats:MAIL:7"));
            let before = decode(&first, &here).unwrap().key;
            let mut message = first.clone();
            // given up and replayed twice
            for turn in 0..2 {
                let there = Position::new(format!("turn {turn}"));
                let (of, at) = if turn == 0 { (&first, &here) } else { (&message, &there) };
                let letter = dead_on(bus, of, at, Status::Unknown);
                let replay = Replay::of(&letter).unwrap();
                message = replay.message.unwrap();
                assert_eq!(message.address.as_deref(), Some("mail.send.eu"));
                let again = decode(&message, &Position::new("nats:MAIL:99")).unwrap();
                assert_eq!(again.key, before);
                assert_eq!(again.doubt, Some(Timestamp::UNIX_EPOCH));
                assert_eq!(message.headers.get("nats-expected-stream"), None);
                assert_eq!(message.payload, first.payload);
            }
            assert_eq!(message.headers.len(), if id.is_some() { 4 } else { 3 }, "{message:?}");
        }
    }

    #[test]
    fn what_was_rejected_was_not_sent() {
        let at = Position::new("1");
        let replay = Replay::of(&dead(&original(None), &at, Status::Rejected)).unwrap();
        assert_eq!(decode(&replay.message.unwrap(), &at).unwrap().doubt, None);
        assert_eq!(replay.status.as_deref(), Some("rejected"));
        assert_eq!(replay.pipeline.as_deref(), Some("orders"));
        assert_eq!(replay.key.as_deref(), Some(Key::of_position(&at).as_str()));
    }

    #[test]
    fn what_may_have_been_put_back_before_is_in_doubt_since_the_latest_time() {
        let at = Position::new("1");
        let until: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        for status in [Status::Rejected, Status::Unknown] {
            let mut replay = Replay::of(&dead(&original(None), &at, status)).unwrap();
            replay.doubt(until);
            let message = replay.message.unwrap();
            assert_eq!(decode(&message, &at).unwrap().doubt, Some(until), "{status:?}");
            // given up again before anybody has looked
            let again = Replay::of(&dead(&message, &at, Status::Rejected)).unwrap();
            assert_eq!(decode(&again.message.unwrap(), &at).unwrap().doubt, Some(until));
        }
    }

    #[test]
    fn what_has_lost_its_payload_is_told_with_all_that_is_known_of_it() {
        let mut letter = dead(&original(None), &Position::new("1"), Status::Rejected);
        letter.headers.push(PAYLOAD_LEFT_OUT_HEADER, "bus_payload_too_large");
        let replay = Replay::of(&letter).unwrap();
        assert_eq!(replay.pipeline.as_deref(), Some("orders"));
        assert_eq!(replay.message.unwrap_err().code(), Code::RequestInvalid);
    }

    #[test]
    fn something_else_is_no_dead_letter() {
        let error = Replay::of(&original(None)).unwrap_err();
        assert_eq!(error.code(), Code::RequestInvalid);
    }
}
