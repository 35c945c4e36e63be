//! What a report says, as RFC 3464 has it: a part for programs, and the mail it is about.
//!
//! Anybody can send something that looks like a report, so nothing in it is believed to be short, and
//! what cannot be read is left out. The text for people is not read.

use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use mailbridge_core::{
    contract::Undelivered,
    limits::{ADDRESS_CHARS_MAX, RECIPIENTS_MAX},
};

/// What is kept of what a server said.
const DIAGNOSTIC_CHARS_MAX: usize = 500;

/// A report, read.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// The `Message-ID` of the mail it is about, with its angle brackets.
    pub(super) original: Option<String>,
    /// Who did not get it; nothing, if it says that nobody failed to.
    pub(crate) undelivered: Option<Vec<Undelivered>>,
}

/// Reads a report, or whatever else came.
pub(crate) fn read(raw: &[u8]) -> Status {
    let nobody = Status { original: None, undelivered: Some(Vec::new()) };
    let Some(report) = MessageParser::new().parse(raw) else { return nobody };
    let original = report.parts.iter().find_map(original);
    let status = report.parts.iter().find(|part| is(part, "message", "delivery-status"));
    let Some(status) = status else { return Status { original, ..nobody } };
    let groups = groups(&String::from_utf8_lossy(status.contents()));
    let recipients = || groups.iter().filter(|group| group.address().is_some());
    if recipients().next().is_some() && !recipients().any(Group::failed) {
        return Status { original, undelivered: None };
    }
    let undelivered = recipients().filter_map(Group::undelivered).take(RECIPIENTS_MAX).collect();
    Status { original, undelivered: Some(undelivered) }
}

fn is(part: &MessagePart<'_>, kind: &str, subtype: &str) -> bool {
    part.content_type().is_some_and(|it| {
        it.ctype().eq_ignore_ascii_case(kind)
            && it.subtype().is_some_and(|it| it.eq_ignore_ascii_case(subtype))
    })
}

/// The mail, or its headers alone.
fn original(part: &MessagePart<'_>) -> Option<String> {
    let id = |mail: &Message<'_>| mail.message_id().map(|id| format!("<{id}>"));
    match &part.body {
        PartType::Message(mail) => id(mail),
        _ if is(part, "text", "rfc822-headers") => {
            MessageParser::new().parse_headers(part.contents()).as_ref().and_then(id)
        }
        _ => None,
    }
}

/// The fields about one recipient; those of the first group are about all.
#[derive(Default)]
struct Group(Vec<(String, String)>);

fn groups(text: &str) -> Vec<Group> {
    let mut groups = vec![Group::default()];
    for line in text.lines() {
        let Some(Group(fields)) = groups.last_mut() else { break };
        if line.trim().is_empty() {
            if !fields.is_empty() {
                groups.push(Group::default());
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    groups
}

impl Group {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A value after its type, as in `rfc822;bob@example.org`.
    fn typed(&self, name: &str) -> Option<&str> {
        let value = self.get(name)?;
        Some(value.split_once(';').map_or(value, |(_, value)| value).trim())
    }

    fn address(&self) -> Option<&str> {
        self.typed("final-recipient").or_else(|| self.typed("original-recipient"))
    }

    /// Whether the mail failed, and is not just late or handed on.
    fn failed(&self) -> bool {
        self.get("action").is_none_or(|action| action.eq_ignore_ascii_case("failed"))
    }

    fn undelivered(&self) -> Option<Undelivered> {
        let address = self.address().filter(|_| self.failed())?.trim_matches(['<', '>']);
        let is_plain = !address.is_empty() && !address.contains(char::is_control);
        if !is_plain || address.chars().count() > ADDRESS_CHARS_MAX {
            return None;
        }
        let diagnostic = self.typed("diagnostic-code").map(plain);
        Some(Undelivered {
            address: address.to_owned(),
            status: self.get("status").and_then(enhanced),
            diagnostic: diagnostic.filter(|it| !it.is_empty()),
        })
    }
}

/// A status such as `5.1.1` (RFC 3463), without the comment that may follow it.
fn enhanced(value: &str) -> Option<String> {
    let code = value.split_ascii_whitespace().next()?;
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<_> = code.split('.').collect();
    (parts.len() == 3 && parts.iter().all(|part| is_number(part))).then(|| code.to_owned())
}

/// One line that is not long.
fn plain(text: &str) -> String {
    let character = |it: char| if it.is_control() { ' ' } else { it };
    text.chars().take(DIAGNOSTIC_CHARS_MAX).map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: &str, original: &str) -> Vec<u8> {
        format!(
            "From: postmaster@x.org\r\nSubject: Undeliverable\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n\
             --b\r\n{original}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    const ORIGINAL: &str = "Content-Type: message/rfc822\r\n\r\nMessage-ID: <1@x.org>\r\n\
        Subject: Hi\r\n\r\nhello";

    #[test]
    fn every_recipient_that_failed_is_read_with_what_its_server_said() {
        let status = "Reporting-MTA: dns;mx.x.org\r\n\r\n\
            Original-Recipient: rfc822;bob@x.org\r\nFinal-Recipient: rfc822; Bob@y.org\r\n\
            Action: failed\r\nStatus: 5.1.1 (no such user)\r\n\
            Diagnostic-Code: smtp;550 5.1.1\r\n no such user; sorry\r\n\r\n\
            Final-Recipient: rfc822;late@y.org\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n\
            Original-Recipient: RFC822;<ann@x.org>\r\nStatus: none\r\n";
        let status = read(&report(status, ORIGINAL));
        assert_eq!(status.original.as_deref(), Some("<1@x.org>"));
        let one = |address: &str, status: Option<&str>, diagnostic: Option<&str>| Undelivered {
            address: address.to_owned(),
            status: status.map(str::to_owned),
            diagnostic: diagnostic.map(str::to_owned),
        };
        let bob = one("Bob@y.org", Some("5.1.1"), Some("550 5.1.1 no such user; sorry"));
        assert_eq!(status.undelivered, Some(vec![bob, one("ann@x.org", None, None)]));
    }

    #[test]
    fn a_delay_alone_is_no_failure() {
        let status = "Reporting-MTA: dns;mx\r\n\r\nFinal-Recipient: rfc822;a@x.org\r\n\
            Action: delayed\r\n";
        assert_eq!(read(&report(status, ORIGINAL)).undelivered, None);
    }

    #[test]
    fn a_report_that_returns_headers_only_names_its_mail_too() {
        let headers = "Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <2@x.org>\r\n";
        assert_eq!(read(&report("", headers)).original.as_deref(), Some("<2@x.org>"));
    }

    #[test]
    fn what_cannot_be_read_names_nobody_and_is_a_failure_all_the_same() {
        let long = format!("\r\nFinal-Recipient: rfc822;{}@x.org\r\n", "a".repeat(400));
        let (junk, long) = (report("junk", "junk"), report(&long, ""));
        for raw in [Vec::new(), b"no mail".to_vec(), vec![0xff; 1000], junk, long] {
            assert_eq!(read(&raw).undelivered, Some(Vec::new()));
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let one = "Final-Recipient: rfc822;a@x.org\r\nStatus: 5.1.1.1\r\nDiagnostic-Code: smtp;";
        let group = format!("{one}{}\r\n\r\n", "x".repeat(10_000));
        let undelivered = read(&report(&group.repeat(600), ORIGINAL)).undelivered.unwrap();
        assert_eq!(undelivered.len(), RECIPIENTS_MAX);
        assert_eq!(undelivered[0].diagnostic.as_ref().map(String::len), Some(500));
        assert_eq!(undelivered[0].status, None);
    }
}
