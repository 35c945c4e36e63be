//! Where a delivery comes from, as its reply subject tells.

/// A delivery's place in its stream, and how often it was handed out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub stream: &'a str,
    /// Deliveries so far, this one counted.
    pub delivered: u64,
    pub sequence: u64,
}

impl<'a> Place<'a> {
    /// Reads `$JS.ACK.[domain.account.]stream.consumer.delivered.sequence.…` (ADR-15 of
    /// nats-architecture-and-design, which allows more at the end).
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
        Some(Self { stream, delivered, sequence: tokens.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn both_forms_of_a_reply_subject_are_read() {
        let place = Place { stream: "MAIL", delivered: 3, sequence: 100 };
        for reply in [
            "$JS.ACK.MAIL.worker.3.100.7.1790230470084404000.42",
            "$JS.ACK._.szMpdrwD.MAIL.worker.3.100.7.1790230470084404000.42",
            "$JS.ACK.hub.szMpdrwD.MAIL.worker.3.100.7.1790230470084404000.42.token",
        ] {
            assert_eq!(Place::parse(reply).as_ref(), Some(&place), "{reply}");
        }
        for reply in ["_INBOX.abc", "$JS.ACK.MAIL.worker.3", "$JS.ACK.MAIL.worker.x.100.7.1.42"] {
            assert_eq!(Place::parse(reply), None, "{reply}");
        }
    }
}
