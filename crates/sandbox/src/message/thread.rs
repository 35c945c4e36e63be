//! Which conversation a message belongs to.
//!
//! Exchange derives it from the headers that thread mail (RFC 5322, section 3.6.4) and the subject;
//! here the headers alone decide, so that nothing needs to be stored: a conversation is named by
//! its first message.

use super::Content;
use crate::dice;

/// Bytes of a conversation index before its first reply, and for each reply
/// (learn.microsoft.com/openspecs ms-oxomsg, PidTagConversationIndex).
const INDEX_HEAD: usize = 22;
const INDEX_STEP: usize = 5;

impl Content {
    /// A header by its name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The id of the message that this one answers.
    pub fn in_reply_to(&self) -> Option<&str> {
        self.header("in-reply-to").and_then(|value| value.split_whitespace().next())
    }

    /// The ids of the thread so far, oldest first.
    pub fn references(&self) -> Vec<&str> {
        match self.header("references") {
            Some(ids) => ids.split_whitespace().collect(),
            None => self.in_reply_to().into_iter().collect(),
        }
    }

    /// The headers that make an answer to this message part of its thread.
    pub fn thread_headers(&self) -> Vec<(String, String)> {
        let own = self.internet_message_id.as_str();
        let mut references = self.references();
        references.push(own);
        vec![
            ("In-Reply-To".to_owned(), own.to_owned()),
            ("References".to_owned(), references.join(" ")),
        ]
    }

    /// The conversation in one mailbox.
    pub fn conversation(&self, mailbox: &str) -> [u8; 32] {
        let references = self.references();
        let root = references.first().copied().unwrap_or(&self.internet_message_id);
        let first = dice::hash(dice::hash(0, mailbox.as_bytes()), root.as_bytes());
        spread(first)
    }

    /// The place in the conversation: the same beginning for all of it, longer with each answer.
    pub fn conversation_index(&self, mailbox: &str) -> Vec<u8> {
        let depth = self.references().len();
        let mut index = self.conversation(mailbox)[..INDEX_HEAD].to_vec();
        let own = spread(dice::hash(1, self.internet_message_id.as_bytes()));
        index.extend(own.iter().cycle().take(depth * INDEX_STEP));
        index
    }
}

fn spread(first: u64) -> [u8; 32] {
    let mut bytes = [1; 32];
    for (index, chunk) in (0..).zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&dice::mix(first ^ index).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(original: &Content, id: &str) -> Content {
        Content {
            internet_message_id: id.to_owned(),
            headers: original.thread_headers(),
            ..Content::default()
        }
    }

    #[test]
    fn answers_of_answers_stay_in_the_conversation() {
        let first =
            Content { internet_message_id: "<1@b.example>".to_owned(), ..Content::default() };
        let second = answer_to(&first, "<2@b.example>");
        let third = answer_to(&second, "<3@b.example>");
        assert_eq!(third.in_reply_to(), Some("<2@b.example>"));
        assert_eq!(third.references(), ["<1@b.example>", "<2@b.example>"]);
        assert_eq!(third.conversation("a"), first.conversation("a"));
        assert_ne!(third.conversation("b"), first.conversation("a"), "each mailbox has its own");
        let lengths = [&first, &second, &third].map(|one| one.conversation_index("a").len());
        assert_eq!(lengths, [22, 27, 32]);
    }
}
