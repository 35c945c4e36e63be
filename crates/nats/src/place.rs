//! Where a delivery comes from, as its reply subject tells.

use mailbridge_core::Position;

/// A delivery's place in its stream, and how often it was handed out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub stream: &'a str,
    /// Deliveries so far, this one counted.
    pub delivered: u64,
    pub sequence: u64,
    /// When the stream stored the message, in nanoseconds since 1970. Told by the server, the same
    /// at every delivery and on every replica, and kept by a backup.
    pub stored_ns: u64,
}

impl<'a> Place<'a> {
    /// Reads `$JS.ACK.[domain.account.]stream.consumer.delivered.sequence.consumer_sequence.
    /// stored_ns.…` (ADR-15 of nats-architecture-and-design, which allows more at the end).
    pub fn parse(reply: &'a str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let skip = match rest.split('.').count() {
            7 => 0,
            count if count >= 9 => 2,
            _ => return None,
        };
        let mut tokens = rest.split('.').skip(skip);
        let stream = tokens.next()?;
        let delivered = tokens.nth(1)?.parse().ok()?;
        let sequence = tokens.next()?.parse().ok()?;
        let stored_ns = tokens.nth(1)?.parse().ok()?;
        Some(Self { stream, delivered, sequence, stored_ns })
    }

    /// Such as `nats:MAIL/42@1790230470084404000`: the stream, the sequence in it, and when it was
    /// stored. A stream that is deleted and made again counts from 1 again; without the time, a new
    /// request would pass for the old one that stood there.
    pub fn position(&self) -> Position {
        let Self { stream, sequence, stored_ns, .. } = self;
        Position::new(format!("nats:{stream}/{sequence}@{stored_ns}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn both_forms_of_a_reply_subject_are_read() {
        let stored_ns = 1_790_230_470_084_404_000;
        let place = Place { stream: "MAIL", delivered: 3, sequence: 100, stored_ns };
        for reply in [
            "$JS.ACK.MAIL.worker.3.100.7.1790230470084404000.42",
            "$JS.ACK._.szMpdrwD.MAIL.worker.3.100.7.1790230470084404000.42",
            "$JS.ACK.hub.szMpdrwD.MAIL.worker.3.100.7.1790230470084404000.42.token",
        ] {
            assert_eq!(Place::parse(reply).as_ref(), Some(&place), "{reply}");
        }
        for reply in [
            "_INBOX.abc",
            "$JS.ACK.MAIL.worker.3",
            "$JS.ACK.MAIL.worker.x.100.7.1.42",
            "$JS.ACK.MAIL.worker.3.100.7.now.42",
        ] {
            assert_eq!(Place::parse(reply), None, "{reply}");
        }
    }

    #[test]
    fn the_same_sequence_of_a_stream_that_was_made_again_is_another_position() {
        let position = |reply| Place::parse(reply).unwrap().position();
        let first = position("$JS.ACK.MAIL.worker.1.100.7.1790230470084404000.42");
        assert_eq!(first.as_str(), "nats:MAIL/100@1790230470084404000");
        assert_eq!(first, position("$JS.ACK.MAIL.worker.2.100.9.1790230470084404000.40"));
        assert_ne!(first, position("$JS.ACK.MAIL.worker.1.100.7.1790230470084404001.42"));
    }
}
