//! To whom a request's mail goes, and how it is made to go to somebody else: for pipelines that allow
//! only some recipients, or none but one.

use mail_parser::{HeaderName, MessageParser};

use super::{Address, AnswerKind, MimeMail, Operation, OutgoingMail, Request};
use crate::{Code, Error, Result};

/// The headers of a MIME message that name recipients.
const TO_WHOM: [&[u8]; 7] =
    [b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc", b"apparently-to"];

impl Request {
    /// All recipients that the request names. Nothing, if it sends no mail.
    ///
    /// # Errors
    /// An answer that leaves its recipients to Graph: nobody knows here who they are.
    pub fn recipients(&self) -> Result<Vec<String>> {
        let listed = |lists: [&[Address]; 3]| {
            lists.into_iter().flatten().map(|it| it.address.clone()).collect()
        };
        match &self.operation {
            Operation::Send(OutgoingMail::Composed(mail)) => {
                Ok(listed([&mail.to, &mail.cc, &mail.bcc]))
            }
            Operation::Send(OutgoingMail::Mime(mail)) => Ok(named(mail)),
            Operation::Answer(answer) => {
                let mail = &answer.mail;
                // Graph adds its own to an empty list
                if mail.to.is_empty() || (answer.kind == AnswerKind::ReplyAll && mail.cc.is_empty())
                {
                    let detail = "the pipeline checks recipients, and this answer names none: Graph \
                                  would choose them";
                    let code = Code::RequestRecipientNotAllowed;
                    return Err(Error::permanent(code, detail).with("field", "to"));
                }
                Ok(listed([&mail.to, &mail.cc, &mail.bcc]))
            }
            Operation::MarkRead { .. }
            | Operation::Move { .. }
            | Operation::Categorize { .. }
            | Operation::Delete { .. } => Ok(Vec::new()),
        }
    }

    /// Makes the mail go to this address and to nobody else.
    pub fn redirect(&mut self, to: &Address) {
        match &mut self.operation {
            Operation::Send(OutgoingMail::Composed(mail)) => {
                (mail.to, mail.cc, mail.bcc) = (vec![to.clone()], Vec::new(), Vec::new());
            }
            Operation::Send(OutgoingMail::Mime(mail)) => mail.raw = redirected(&mail.raw, to),
            Operation::Answer(answer) => {
                // an empty copy list of an answer to all would be Graph's to fill
                if answer.kind == AnswerKind::ReplyAll {
                    answer.kind = AnswerKind::Reply;
                }
                let mail = &mut answer.mail;
                (mail.to, mail.cc, mail.bcc) = (vec![to.clone()], Vec::new(), Vec::new());
            }
            Operation::MarkRead { .. }
            | Operation::Move { .. }
            | Operation::Categorize { .. }
            | Operation::Delete { .. } => {}
        }
    }
}

/// The recipients in the headers of a message; members of groups one by one.
fn named(mail: &MimeMail) -> Vec<String> {
    let Some(message) = MessageParser::new().parse_headers(&mail.raw[..]) else {
        return Vec::new();
    };
    let to_whom = |name: &HeaderName<'_>| {
        TO_WHOM.iter().any(|known| name.as_str().as_bytes().eq_ignore_ascii_case(known))
    };
    let addresses = message.headers().iter().filter(|header| to_whom(&header.name));
    let addresses = addresses.filter_map(|header| header.value.as_address());
    let each = addresses.flat_map(|addresses| addresses.iter());
    each.filter_map(|address| address.address().map(str::to_owned)).collect()
}

/// The message with one recipient. Its body, and what signs it, stay as they are.
fn redirected(raw: &[u8], to: &Address) -> bytes::Bytes {
    let mut out = format!("To: <{}>\r\n", to.address).into_bytes();
    let (mut rest, mut dropping) = (raw, false);
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if line.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            break;
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
            dropping = TO_WHOM.iter().any(|known| name.eq_ignore_ascii_case(known));
        }
        if !dropping {
            out.extend_from_slice(line);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::decode::{self, Decoded};
    use crate::{Message, Position};

    fn request(payload: &str) -> Request {
        let message =
            Message { payload: payload.to_owned().into_bytes().into(), ..Message::default() };
        let Decoded { request, .. } = decode::decode(&message, &Position::new("p")).unwrap();
        request
    }

    #[test]
    fn whom_a_mail_from_parts_goes_to() {
        let mut mail =
            request(r#"{"to":"A <a@x.org>","cc":["c@x.org"],"bcc":"b@x.org","text":"t"}"#);
        assert_eq!(mail.recipients().unwrap(), ["a@x.org", "c@x.org", "b@x.org"]);
        mail.redirect(&Address::parse("staging@x.org"));
        assert_eq!(mail.recipients().unwrap(), ["staging@x.org"]);
    }

    #[test]
    fn whom_an_answer_goes_to_must_be_said() {
        let reply = request(r#"{"operation":"reply","message":"AAMk","text":"t"}"#);
        assert_eq!(reply.recipients().unwrap_err().code(), Code::RequestRecipientNotAllowed);
        let all = r#"{"operation":"reply_all","message":"AAMk","to":"a@x.org","text":"t"}"#;
        let mut all = request(all);
        assert!(all.recipients().is_err(), "graph would add those of the copy");
        all.redirect(&Address::parse("staging@x.org"));
        assert_eq!(all.recipients().unwrap(), ["staging@x.org"]);
        let moved = request(r#"{"operation":"move","message":"AAMk","folder":"archive"}"#);
        assert_eq!(moved.recipients().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn whom_a_ready_message_goes_to() {
        let raw = "From: s@x.org\r\nTO: A\r\n <a@x.org>,\r\n\tb@x.org\r\nBcc: g: c@x.org, \
                   d@x.org;\r\nSubject: To: nobody\r\n\r\nTo: body@x.org\r\n";
        let mail = MimeMail { raw: raw.as_bytes().to_vec().into() };
        assert_eq!(named(&mail), ["a@x.org", "b@x.org", "c@x.org", "d@x.org"]);
        let mail = MimeMail { raw: redirected(&mail.raw, &Address::parse("z@x.org")) };
        assert_eq!(named(&mail), ["z@x.org"]);
        let text = String::from_utf8(mail.raw.to_vec()).unwrap();
        assert!(text.ends_with("From: s@x.org\r\nSubject: To: nobody\r\n\r\nTo: body@x.org\r\n"));
    }
}
