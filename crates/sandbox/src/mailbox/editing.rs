//! A message while it is changed, so that every change of it is told, and says what it changed.

use std::ops::{Deref, DerefMut};

use super::journal::{Journal, Kind};
use super::log::Marks;
use super::store::Message;
use crate::message::Importance;

/// A message that is being changed. What changed of it goes into the journal in the end.
#[derive(Debug)]
pub struct Editing<'a> {
    message: &'a mut Message,
    journal: &'a mut Journal,
    before: Before,
}

/// What a change can be told by.
#[derive(Debug, PartialEq)]
struct Before {
    change: u32,
    is_read: bool,
    categories: Vec<String>,
    flag: Option<serde_json::Value>,
    importance: Importance,
    other_inference: bool,
}

impl<'a> Editing<'a> {
    pub fn new(message: &'a mut Message, journal: &'a mut Journal) -> Self {
        let before = Before::of(message);
        Self { message, journal, before }
    }
}

impl Before {
    fn of(message: &Message) -> Self {
        let content = &message.content;
        Self {
            change: message.change,
            is_read: content.is_read,
            categories: content.categories.clone(),
            flag: content.flag.clone(),
            importance: content.importance,
            other_inference: content.other_inference,
        }
    }

    fn marks(&self, now: &Self) -> Marks {
        let marks = Marks::READ
            .when(self.is_read != now.is_read)
            .with(Marks::CATEGORIES.when(self.categories != now.categories))
            .with(Marks::FLAG.when(self.flag != now.flag))
            .with(Marks::IMPORTANCE.when(self.importance != now.importance))
            .with(Marks::INFERENCE.when(self.other_inference != now.other_inference));
        if marks == Marks::NONE { Marks::REST } else { marks }
    }
}

impl Deref for Editing<'_> {
    type Target = Message;

    fn deref(&self) -> &Message {
        self.message
    }
}

impl DerefMut for Editing<'_> {
    fn deref_mut(&mut self) -> &mut Message {
        self.message
    }
}

impl Drop for Editing<'_> {
    fn drop(&mut self) {
        if self.message.change == self.before.change {
            return;
        }
        let mut marks = self.before.marks(&Before::of(self.message));
        if self.message.place.is_draft {
            // of a draft anything may have changed beside its marks
            marks = marks.with(Marks::REST);
        }
        self.journal.push(self.message.event(Kind::Changed(marks)));
    }
}
