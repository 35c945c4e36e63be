//! What the service writes when a message is answered or forwarded: recipients, subject, thread,
//! and the quoted original (learn.microsoft.com/graph/api/message-createreply and
//! message-createforward).

use jiff::Timestamp;

use super::{Attachment, Attachments, Body, Content, Recipient};
use crate::text::escape_html;

/// How a message is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answering {
    Reply,
    ReplyAll,
    Forward,
}

/// The message that is answered.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    pub content: &'a Content,
    pub attachments: &'a Attachments,
    pub sent: Timestamp,
    /// The user of the mailbox: never a recipient of an own answer
    pub owner: &'a Recipient,
}

impl Original<'_> {
    /// The answer before its writer has said anything.
    pub fn answer(&self, how: Answering) -> Content {
        let (to, cc) = self.recipients(how);
        Content {
            subject: self.subject(how),
            to,
            cc,
            headers: self.content.thread_headers(),
            body: self.quoted(""),
            ..Content::default()
        }
    }

    /// Who gets it: `replyTo` before `from`, as RFC 5322 asks.
    fn recipients(&self, how: Answering) -> (Vec<Recipient>, Vec<Recipient>) {
        let content = self.content;
        if how == Answering::Forward {
            return (Vec::new(), Vec::new());
        }
        let from = content.from.as_ref().unwrap_or(self.owner);
        let mut to = content.reply_to.clone();
        if to.is_empty() {
            to.push(from.clone());
        }
        if how == Answering::Reply {
            return (to, Vec::new());
        }
        let mut cc: Vec<Recipient> = Vec::new();
        let known = |list: &[Recipient], one: &Recipient| {
            list.iter().any(|known| known.address.eq_ignore_ascii_case(&one.address))
        };
        for one in &content.to {
            if !known(&to, one) && !known(std::slice::from_ref(self.owner), one) {
                to.push(one.clone());
            }
        }
        for one in &content.cc {
            let twice = known(&to, one) || known(&cc, one);
            if !twice && !known(std::slice::from_ref(self.owner), one) {
                cc.push(one.clone());
            }
        }
        (to, cc)
    }

    fn subject(&self, how: Answering) -> String {
        let prefix = if how == Answering::Forward { "FW: " } else { "RE: " };
        format!("{prefix}{}", normal_subject(&self.content.subject))
    }

    /// A comment above the original.
    pub fn quoted(&self, comment: &str) -> Body {
        let content = self.content;
        let from = content.from.as_ref().unwrap_or(self.owner);
        let mut fields = vec![
            ("From", person(from)),
            ("Sent", self.sent.strftime("%A, %B %-d, %Y %-I:%M:%S %p").to_string()),
            ("To", people(&content.to)),
        ];
        if !content.cc.is_empty() {
            fields.push(("Cc", people(&content.cc)));
        }
        fields.push(("Subject", content.subject.clone()));
        let text = if content.body.is_html {
            html_quote(comment, &fields, &content.body.text)
        } else {
            text_quote(comment, &fields, &content.body.text)
        };
        Body { is_html: content.body.is_html, length: text.len(), text, alternative: None }
    }

    /// A forward takes everything along, an answer only what its quoted text shows.
    pub fn attachments(&self, how: Answering) -> Vec<Attachment> {
        let taken = |one: &&std::sync::Arc<Attachment>| how == Answering::Forward || one.is_inline;
        self.attachments.iter().filter(taken).map(|one| (**one).clone()).collect()
    }
}

/// Without the prefixes that answers put before it.
fn normal_subject(subject: &str) -> &str {
    let mut rest = subject.trim_start();
    while let Some(shorter) = ["re:", "fw:", "fwd:"].iter().find_map(|prefix| {
        let head = rest.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| rest[prefix.len()..].trim_start())
    }) {
        rest = shorter;
    }
    rest
}

fn person(one: &Recipient) -> String {
    match &one.name {
        Some(name) => format!("{name} <{}>", one.address),
        None => one.address.clone(),
    }
}

fn people(all: &[Recipient]) -> String {
    all.iter().map(person).collect::<Vec<_>>().join("; ")
}

fn html_quote(comment: &str, fields: &[(&str, String)], original: &str) -> String {
    let lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("<b>{name}:</b> {}", escape_html(value)))
        .collect();
    format!(
        "<html><head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\
         </head><body>{}<hr tabindex=\"-1\" style=\"display:inline-block; width:98%\">\
         <div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri, sans-serif\" \
         color=\"#000000\" style=\"font-size:11pt\">{}</font><div>&nbsp;</div></div>{}</body>\
         </html>",
        escape_html(comment),
        lines.join("<br>\r\n"),
        inside(original)
    )
}

fn text_quote(comment: &str, fields: &[(&str, String)], original: &str) -> String {
    let lines: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let rule = "_".repeat(32);
    format!("{comment}\r\n{rule}\r\n{}\r\n\r\n{original}", lines.join("\r\n"))
}

/// What stands between the body tags, or all of it when there are none.
fn inside(html: &str) -> &str {
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<body").and_then(|at| Some(at + lower[at..].find('>')? + 1));
    let end = lower.rfind("</body>").unwrap_or(html.len());
    start.and_then(|start| html.get(start..end)).unwrap_or(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(address: &str) -> Recipient {
        Recipient { address: address.to_owned(), name: None }
    }

    #[test]
    fn an_answer_to_all_leaves_out_its_writer_and_names_nobody_twice() {
        let content = Content {
            from: Some(recipient("boss@b.example")),
            to: vec![recipient("Me@b.example"), recipient("carl@b.example")],
            cc: vec![recipient("carl@b.example"), recipient("dora@b.example")],
            ..Content::default()
        };
        let owner = recipient("me@b.example");
        let original = Original {
            content: &content,
            attachments: &Vec::new(),
            sent: Timestamp::UNIX_EPOCH,
            owner: &owner,
        };
        let addresses = |list: &[Recipient]| -> Vec<String> {
            list.iter().map(|one| one.address.clone()).collect()
        };
        let all = original.answer(Answering::ReplyAll);
        assert_eq!(addresses(&all.to), ["boss@b.example", "carl@b.example"]);
        assert_eq!(addresses(&all.cc), ["dora@b.example"]);
        let one = original.answer(Answering::Reply);
        assert_eq!((addresses(&one.to), one.cc.len()), (vec!["boss@b.example".to_owned()], 0));
        assert!(original.answer(Answering::Forward).to.is_empty());
    }

    #[test]
    fn prefixes_do_not_pile_up() {
        assert_eq!(normal_subject("RE: Fwd: re:  Grüße"), "Grüße");
        assert_eq!(normal_subject("Refund"), "Refund");
        assert_eq!(normal_subject("é"), "é");
    }

    #[test]
    fn only_the_inside_of_a_document_is_quoted() {
        assert_eq!(inside("<html><body class=\"x\"><p>a</p></body></html>"), "<p>a</p>");
        assert_eq!(inside("<p>a</p>"), "<p>a</p>");
    }
}
