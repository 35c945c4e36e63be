//! What a request is known by: its key to users, its mark inside the mailbox.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Position;

/// A request's key: its own `id`, else the CloudEvent's source and id, else the bus's message id,
/// else its position on the bus. Two requests of one pipeline with the same key are the same mail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Id,
    CloudEvent,
    MessageId,
    Position,
}

impl Key {
    /// From the request's own `id`.
    pub fn of_id(id: &str) -> Self {
        Self { kind: Kind::Id, text: id.to_owned() }
    }

    /// From a CloudEvent's `source` and `id`, which together are unique.
    pub fn of_cloud_event(source: &str, id: &str) -> Self {
        Self { kind: Kind::CloudEvent, text: format!("{source}#{id}") }
    }

    /// From the bus's message id (`Nats-Msg-Id`).
    pub fn of_message_id(id: &str) -> Self {
        Self { kind: Kind::MessageId, text: id.to_owned() }
    }

    /// From the place on the bus.
    pub fn of_position(position: &Position) -> Self {
        Self { kind: Kind::Position, text: position.as_str().to_owned() }
    }

    /// The key as users know it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The request's mark in the mailbox. Holds the pipeline's name too, since two pipelines may
    /// well use the same ids for different mails.
    pub fn mark(&self, pipeline: &str) -> Mark {
        let kind: &[u8] = match self.kind {
            Kind::Id => b"id",
            Kind::CloudEvent => b"ce",
            Kind::MessageId => b"msg",
            Kind::Position => b"pos",
        };
        let mut hash = Sha256::new();
        for part in [pipeline.as_bytes(), kind, self.text.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digits = hash.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
            for half in [byte >> 4, byte & 15] {
                digits.extend(char::from_digit(u32::from(half), 16));
            }
            digits
        });
        Mark(digits)
    }
}

/// 64 hexadecimal digits that stand for a request inside a mailbox. Says nothing about the request
/// to somebody who reads the mailbox. Lower case, because Exchange compares values without case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark(String);

impl Mark {
    /// A mark from its digits, if they are such.
    pub fn read(digits: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 64 && digits.bytes().all(is_digit)).then(|| Self(digits.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A UUID derived from the mark and what it is for: the same again after a replay.
    pub fn derive(&self, what: &str) -> uuid::Uuid {
        let name = format!("mailbridge:{}:{what}", self.0);
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, name.as_bytes())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ_by_pipeline_kind_and_text_and_never_change() {
        let id = Key::of_id("a#b");
        let event = Key::of_cloud_event("a", "b");
        assert_eq!(id.as_str(), event.as_str());
        assert_ne!(id.mark("p"), event.mark("p"));
        assert_ne!(id.mark("p"), id.mark("q"));
        assert_eq!(
            Key::of_id("order-1").mark("orders").as_str(),
            "f5d1e3e0994150acd527e1a40355d0363987d9205c112dbb7cba8be6e918de7d"
        );
        assert_eq!(Mark::read(id.mark("p").as_str()), Some(id.mark("p")));
        for bad in ["", "f5d1", &"F".repeat(64), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Mark::read(bad), None);
        }
    }
}
