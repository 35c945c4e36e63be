//! What a pipeline does with its connection, whatever its kind.

use mailbridge_core::Mailbox;
use mailbridge_engine::Settings;
use mailbridge_graph::doctor::Needs;

use super::model::events::{EventsSection, Mailboxes};

/// A pipeline, as its connection sees it.
#[derive(Clone, Copy)]
pub enum Use<'a> {
    /// Mail is sent and edited.
    Requests(&'a Settings),
    /// Mail is read.
    Events(&'a EventsSection),
}

impl<'a> Use<'a> {
    /// The mailboxes, patterns included, that are named.
    pub fn mailboxes(self) -> Vec<&'a str> {
        match self {
            Self::Requests(settings) => {
                let own = settings.mailbox.iter().map(Mailbox::as_str);
                own.chain(settings.allow_mailboxes.iter().map(String::as_str)).collect()
            }
            Self::Events(section) => section.listed().iter().map(Mailbox::as_str).collect(),
        }
    }

    /// Adds what it needs.
    pub fn add_to(self, needs: &mut Needs) {
        match self {
            Self::Requests(settings) => needs.sending(settings.guarantee, self.mailboxes()),
            Self::Events(section) => {
                needs.reading(section.after.is_some(), self.mailboxes());
                if let Mailboxes::Rule(rule) = &section.mailboxes {
                    needs.discovery(rule.group.is_some());
                }
            }
        }
    }
}
