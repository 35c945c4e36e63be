//! An events pipeline in words.

use std::fmt::{self, Write as _};

use mailbridge_core::{Mailbox, Span, changes::Bodies, contract::Change};
use mailbridge_engine::events::Start;

use crate::config::{
    EventsPipeline,
    model::events::{
        After, AttachmentsChoice, EventsSection, MailboxRule, Mailboxes, MimeChoice, Wake,
    },
};

/// How many mailboxes are named one by one.
const NAMED_MAX: usize = 5;

/// What the pipeline would do, line by line.
pub fn told(pipeline: &EventsPipeline) -> Result<String, fmt::Error> {
    let EventsPipeline { name, section, hub, to, dead_letters, state, .. } = pipeline;
    let mut text = String::new();
    let mut row = |what: &str, words: fmt::Arguments<'_>| writeln!(text, "    {what:<14}{words}");
    row("through", format_args!("{}, {}", section.connection, mailboxes(&section.mailboxes)))?;
    row("folders", format_args!("{}", section.folders().join(", ")))?;
    row("start", format_args!("{}", start(section.start())))?;
    row("changes", format_args!("{}", changes(&section.changes())))?;
    row("looks", format_args!("{}", looks(section)))?;
    if let Some(hub) = hub {
        row("calls", format_args!("{}", hub.told))?;
    }
    if let Some(when) = &section.when {
        row("when", format_args!("{when}"))?;
    }
    row("holds", format_args!("{}", holds(section)))?;
    if let Some(store) = &section.store {
        row("store", format_args!("{}", store.prefix))?;
    }
    row("to", format_args!("{}", to.told))?;
    if let Some(after) = &section.after {
        row("after", format_args!("{}", done(after)))?;
    }
    let dead_letters = dead_letters.as_ref().map_or("the log only", |port| port.told.as_str());
    row("dead letters", format_args!("{dead_letters}"))?;
    row("state", format_args!("{}", state.told))?;
    Ok(format!("pipeline {name}: events\n{text}"))
}

fn mailboxes(mailboxes: &Mailboxes) -> String {
    match mailboxes {
        Mailboxes::Listed(listed) => {
            let named: Vec<_> = listed.iter().take(NAMED_MAX).map(Mailbox::as_str).collect();
            let more = match listed.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("mailboxes {}{more}", named.join(" "))
        }
        Mailboxes::Rule(rule) => {
            let every = Span::from(rule.every());
            match rule {
                MailboxRule { users: Some(filter), .. } => {
                    format!("users where {filter}, asked for every {every}")
                }
                MailboxRule { group, .. } => {
                    let group = group.as_deref().unwrap_or_default();
                    format!("members of group {group}, asked for every {every}")
                }
            }
        }
    }
}

fn start(start: Start) -> String {
    match start {
        Start::Now => "now: what was there before the first run is left out".to_owned(),
        Start::All => "all: what was there before the first run comes too".to_owned(),
        Start::At(time) => format!("what was received since {time}"),
    }
}

fn changes(changes: &[Change]) -> String {
    changes.iter().map(|change| change.as_str()).collect::<Vec<_>>().join(", ")
}

fn looks(section: &EventsSection) -> String {
    let every = Span::from(section.every());
    match &section.wake {
        None => format!("every {every}, busy mailboxes more often"),
        Some(Wake::Webhook(webhook)) => format!(
            "when Graph calls {}, and every {} all the same",
            webhook.public_url,
            Span::from(section.backstop())
        ),
        Some(Wake::EventHub(hub)) => format!(
            "when Graph calls by {}, and every {} all the same",
            hub.url,
            Span::from(section.backstop())
        ),
    }
}

fn holds(section: &EventsSection) -> String {
    let mut parts = vec![
        match section.body.unwrap_or_default() {
            Bodies::None => "no body",
            Bodies::Text => "the text",
            Bodies::Html => "the html",
            Bodies::Both => "text and html",
        }
        .to_owned(),
    ];
    if section.headers {
        parts.push("headers".to_owned());
    }
    match section.mime {
        MimeChoice::No => {}
        MimeChoice::Inline => parts.push("MIME inside".to_owned()),
        MimeChoice::Store => parts.push("MIME in the store".to_owned()),
    }
    match section.attachments {
        AttachmentsChoice::None => {}
        AttachmentsChoice::Metadata => parts.push("what is attached".to_owned()),
        AttachmentsChoice::Inline(max) => parts.push(format!("attachments up to {max} inside")),
        AttachmentsChoice::Store => parts.push("attachments in the store".to_owned()),
    }
    parts.join(", ")
}

fn done(after: &After) -> String {
    let After { mark_read, categorize, move_to, delete } = after;
    let mut parts = Vec::new();
    if *mark_read {
        parts.push("marked read".to_owned());
    }
    if !categorize.is_empty() {
        parts.push(format!("categorised {}", categorize.join(", ")));
    }
    if let Some(folder) = move_to {
        parts.push(format!("moved to {folder}"));
    }
    if *delete {
        parts.push("deleted".to_owned());
    }
    parts.join(", ")
}
