//! What is written, as the engine takes it; what is not written is the engine's own default.

use std::time::Duration;

use mailbridge_core::{Mailbox, Span, changes::Rule, contract::Change};
use mailbridge_engine::events::{
    Settings, Start, Whose,
    after::Steps,
    make::{Attachments, Include, Mime},
    wake::Webhook,
};

use super::{After, AttachmentsChoice, EventsSection, MailboxRule, Mailboxes, MimeChoice, Wake};

/// How often the directory is asked who the mailboxes are.
const REDISCOVER: Duration = Duration::from_hours(1);
/// How long a worker's share of the mailboxes lasts that falls silent.
const LEASE: Duration = Duration::from_secs(15);

impl EventsSection {
    /// The engine's settings for the pipeline of this name.
    pub fn settings(&self, pipeline: &str) -> Settings {
        let default = Settings::default();
        Settings {
            mailboxes: match &self.mailboxes {
                Mailboxes::Listed(listed) => Whose::Listed(listed.clone()),
                Mailboxes::Rule(rule) => Whose::Rule { rule: rule.rule(), every: rule.every() },
            },
            folders: self.folders(),
            start: self.start(),
            changes: self.changes(),
            every: self.every(),
            backstop: self.backstop(),
            webhook: self.wake.as_ref().map(|wake| wake.webhook(pipeline, &self.changes())),
            include: self.include(),
            after: self.after.as_ref().map(After::steps).unwrap_or_default(),
            page_size: self.page_size.unwrap_or(default.page_size),
            at_once: self.at_once.unwrap_or(default.at_once),
            drain: self.drain.map_or(default.drain, Span::get),
            ..default
        }
    }

    /// How long a worker's share of the mailboxes lasts that falls silent.
    pub fn lease(&self) -> Duration {
        self.lease.map_or(LEASE, Span::get)
    }

    /// The folders, as they are written.
    pub fn folders(&self) -> Vec<String> {
        self.folders.clone().unwrap_or_else(|| Settings::default().folders)
    }

    /// What of the mail is told that was there before.
    pub fn start(&self) -> Start {
        self.start.unwrap_or_default()
    }

    /// What is told.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.clone().unwrap_or_else(|| Settings::default().changes)
    }

    /// How often a mailbox is looked at that nothing wakes.
    pub fn every(&self) -> Duration {
        self.every.map_or_else(|| Settings::default().every, Span::get)
    }

    /// How often one is looked at that Graph wakes.
    pub fn backstop(&self) -> Duration {
        self.backstop.map_or_else(|| Settings::default().backstop, Span::get)
    }

    /// The mailboxes that are listed.
    pub fn listed(&self) -> &[Mailbox] {
        match &self.mailboxes {
            Mailboxes::Listed(listed) => listed,
            Mailboxes::Rule(_) => &[],
        }
    }

    fn include(&self) -> Include {
        let default = Include::default();
        let body_max = self.body_max.map_or(default.body_max, |size| size.0);
        Include {
            bodies: self.body.unwrap_or_default(),
            body_max,
            headers: self.headers,
            mime: match self.mime {
                MimeChoice::No => Mime::None,
                MimeChoice::Inline => Mime::Inline(body_max),
                MimeChoice::Store => Mime::Store,
            },
            attachments: match self.attachments {
                AttachmentsChoice::None => Attachments::None,
                AttachmentsChoice::Metadata => Attachments::Metadata,
                AttachmentsChoice::Inline(max) => Attachments::Inline(max.0),
                AttachmentsChoice::Store => Attachments::Store,
            },
            format: self.format,
            form: self.event,
        }
    }
}

impl MailboxRule {
    /// How often the directory is asked.
    pub fn every(&self) -> Duration {
        self.rediscover.map_or(REDISCOVER, Span::get)
    }

    fn rule(&self) -> Rule {
        match (&self.users, &self.group) {
            (Some(filter), _) => Rule::Users(filter.clone()),
            (None, group) => Rule::Group(group.clone().unwrap_or_default()),
        }
    }
}

impl Wake {
    /// What Graph is to call; of a hub it is one place for everything.
    fn webhook(&self, pipeline: &str, changes: &[Change]) -> Webhook {
        let (notifications, lifecycle) = match self {
            Self::Webhook(webhook) => {
                let base = webhook.public_url.trim_end_matches('/');
                let notifications = format!("{base}/notifications/{pipeline}");
                let lifecycle = format!("{notifications}/lifecycle");
                (notifications, lifecycle)
            }
            Self::EventHub(hub) => (hub.url.clone(), hub.url.clone()),
        };
        Webhook { notifications, lifecycle, only_new: changes == [Change::Received] }
    }
}

impl After {
    fn steps(&self) -> Steps {
        Steps {
            mark_read: self.mark_read,
            categorize: self.categorize.clone(),
            move_to: self.move_to.clone(),
            delete: self.delete,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_arrives_and_what_is_not_is_the_engines() {
        let shortest = json!({ "connection": "c", "mailboxes": ["a@b"], "to": {} });
        let section: EventsSection = serde_json::from_value(shortest).unwrap();
        let (settings, default) = (section.settings("p"), Settings::default());
        assert_eq!(settings.include, default.include);
        assert_eq!((settings.page_size, settings.at_once), (default.page_size, default.at_once));
        assert!(settings.webhook.is_none() && settings.after.is_empty());
        let section: EventsSection = serde_json::from_value(json!({
            "connection": "c", "to": {}, "mailboxes": { "group": "g", "rediscover": "5m" },
            "start": "2026-01-01T00:00:00Z", "changes": ["received", "moved"],
            "wake": { "webhook": { "public_url": "https://x.org/a/" } },
            "body_max": "1KiB", "mime": "inline", "attachments": { "inline": 7 },
            "after": { "categorize": ["Done"], "move": "archive" },
        }))
        .unwrap();
        let settings = section.settings("p");
        let rule = Rule::Group("g".to_owned());
        assert_eq!(settings.mailboxes, Whose::Rule { rule, every: Duration::from_mins(5) });
        assert!(matches!(settings.start, Start::At(_)));
        let webhook = settings.webhook.unwrap();
        assert_eq!(webhook.notifications, "https://x.org/a/notifications/p");
        assert!(webhook.lifecycle.ends_with("/p/lifecycle") && !webhook.only_new);
        assert_eq!(settings.include.mime, Mime::Inline(1024));
        assert_eq!(settings.include.attachments, Attachments::Inline(7));
        assert_eq!(settings.after.move_to.as_deref(), Some("archive"));
    }
}
