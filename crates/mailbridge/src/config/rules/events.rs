//! Rules between the keys of an events pipeline, as in [`super`].

use std::{collections::HashSet, hash::Hash, ops::RangeInclusive, time::Duration};

use mailbridge_core::{Mailbox, changes::Bodies, contract::Change};
use mailbridge_graph::{Connection, cloud, config};

use super::{PERSONAL, unreached};
use crate::config::model::events::{
    After, AttachmentsChoice, EventsSection, MailboxRule, Mailboxes, MimeChoice, Wake,
};

/// Mails in one answer at most: Graph's own bound (learn.microsoft.com, message-delta).
const PAGE_SIZE_MAX: u32 = 1_000;
/// Mailboxes at once at most: beyond that it is sockets that are missing, not mailboxes.
const AT_ONCE_MAX: usize = 1_000;
/// The shortest time between two looks at a mailbox: it costs a request of its budget.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// How long a lease may be: shorter ones are lost to a slow bus, longer ones leave mailboxes unread.
const LEASE: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_mins(5);
/// The shortest time between two looks into the directory.
const REDISCOVER_MIN: Duration = Duration::from_mins(1);

/// A mistake: the key, dots between, and the sentence.
type Wrong = (String, String);

/// What is wrong between the keys of an events pipeline. `listening` tells whether the program has
/// an HTTP side.
pub fn events(section: &EventsSection, listening: bool) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    match &section.mailboxes {
        Mailboxes::Listed(listed) => wrong.extend(self::listed(listed)),
        Mailboxes::Rule(rule) => wrong.extend(self::rule(rule)),
    }
    wrong.extend(folders(section.folders.as_deref()));
    wrong.extend(changes(section.changes.as_deref()));
    wrong.extend(times(section));
    wrong.extend(wake(section.wake.as_ref(), listening));
    wrong.extend(store(section));
    wrong.extend(section.after.as_ref().map(after).unwrap_or_default());
    let mut unless = |fits: bool, key: &str, message: &str| {
        if !fits {
            wrong.push((key.to_owned(), message.to_owned()));
        }
    };
    let page_size = section.page_size.unwrap_or(1);
    unless((1..=PAGE_SIZE_MAX).contains(&page_size), "page_size", "expected 1 to 1000");
    let at_once = section.at_once.unwrap_or(1);
    unless((1..=AT_ONCE_MAX).contains(&at_once), "at_once", "expected 1 to 1000");
    wrong
}

fn listed(mailboxes: &[Mailbox]) -> Vec<Wrong> {
    if mailboxes.is_empty() {
        let message = "no mailbox is named: give one, or a rule such as { group: ID }";
        return vec![("mailboxes".to_owned(), message.to_owned())];
    }
    let mut seen = HashSet::new();
    let told = |mailbox: &Mailbox| {
        let name = mailbox.as_str();
        if name.trim().is_empty() {
            return Some("expected a user principal name, mail address or user id");
        }
        if name.contains('*') {
            return Some(
                "a pattern names no mailbox; list them, or give a rule: \
                 `mailboxes: { users: FILTER }` or `{ group: ID }`",
            );
        }
        (!seen.insert(name.to_lowercase())).then_some("this mailbox is named twice")
    };
    let wrong = mailboxes.iter().map(told).enumerate();
    wrong.filter_map(|(at, it)| Some((format!("mailboxes.{at}"), it?.to_owned()))).collect()
}

fn rule(rule: &MailboxRule) -> Vec<Wrong> {
    let MailboxRule { users, group, rediscover } = rule;
    let mut wrong = Vec::new();
    let mut say = |key: &str, message: &str| wrong.push((key.to_owned(), message.to_owned()));
    match (users, group) {
        (None, None) => say("mailboxes", "expected `users`, a filter, or `group`, an object id"),
        (Some(_), Some(_)) => say("mailboxes", "give `users` or `group`, not both"),
        (Some(filter), None) if filter.trim().is_empty() => {
            say("mailboxes.users", "expected a filter such as \"department eq 'Support'\"");
        }
        (None, Some(id)) if !config::is_guid(id) => {
            say("mailboxes.group", "this is not a GUID; give the group's object id, not its name");
        }
        _ => {}
    }
    if rediscover.is_some_and(|it| it.get() < REDISCOVER_MIN) {
        say("mailboxes.rediscover", "expected 1m or more");
    }
    wrong
}

fn folders(folders: Option<&[String]>) -> Vec<Wrong> {
    let Some(folders) = folders else { return Vec::new() };
    if folders.is_empty() {
        let message = "no folder is named: give one, such as inbox";
        return vec![("folders".to_owned(), message.to_owned())];
    }
    let mut seen = HashSet::new();
    let told = |path: &String| {
        let names: Vec<_> = path.split('/').collect();
        let (last, above) = names.split_last()?;
        if names.iter().any(|name| name.trim().is_empty()) {
            return Some("expected names with / between, such as inbox/Orders");
        }
        let starred = |name: &str| name.contains('*');
        if above.iter().any(|name| starred(name)) || starred(last) && !["*", "**"].contains(last) {
            return Some("`*` and `**` stand alone, as the last name: inbox/* or inbox/**");
        }
        (!seen.insert(path.to_lowercase())).then_some("this folder is named twice")
    };
    let wrong = folders.iter().map(told).enumerate();
    wrong.filter_map(|(at, it)| Some((format!("folders.{at}"), it?.to_owned()))).collect()
}

fn changes(changes: Option<&[Change]>) -> Option<Wrong> {
    let changes = changes?;
    let message = if changes.is_empty() {
        "nothing would be told: give one, such as received"
    } else if has_twins(changes) {
        "a change is named twice"
    } else {
        return None;
    };
    Some(("changes".to_owned(), message.to_owned()))
}

fn has_twins<T: Eq + Hash>(all: &[T]) -> bool {
    let mut seen = HashSet::new();
    !all.iter().all(|it| seen.insert(it))
}

fn times(section: &EventsSection) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut say = |key: &str, message: &str| wrong.push((key.to_owned(), message.to_owned()));
    if section.every() < EVERY_MIN {
        say("every", "expected 1s or more");
    }
    if section.backstop.is_some() && section.wake.is_none() {
        say("backstop", "this goes with `wake`; without it, `every` says how often");
    } else if section.wake.is_some() && section.backstop() < section.every() {
        say("backstop", "expected no less than `every`");
    }
    if section.lease.is_some_and(|lease| !LEASE.contains(&lease.get())) {
        say("lease", "expected 2s to 5m");
    }
    wrong
}

fn wake(wake: Option<&Wake>, listening: bool) -> Vec<Wrong> {
    let webhook = match wake {
        None => return Vec::new(),
        Some(Wake::EventHub(hub)) => return hub_url(&hub.url).into_iter().collect(),
        Some(Wake::Webhook(webhook)) => webhook,
    };
    let mut wrong = Vec::new();
    if !listening {
        let message = "nobody would hear Graph: give `http: { listen: ADDRESS }` at the top of \
                       the file";
        wrong.push(("wake".to_owned(), message.to_owned()));
    }
    let told = match cloud::endpoint("public_url", &webhook.public_url) {
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "give the URL without a query; /notifications/PIPELINE follows".to_owned()
        }
        Ok(_) => return wrong,
        Err(error) => error.detail().to_owned(),
    };
    wrong.push(("wake.webhook.public_url".to_owned(), told));
    wrong
}

/// The two forms that Graph takes: the hub itself, and a secret with its connection string
/// (learn.microsoft.com, change-notifications-delivery-event-hubs).
fn hub_url(url: &str) -> Option<Wrong> {
    let read = || {
        let (hub, query) = url.strip_prefix("EventHub:https://")?.split_once('?')?;
        let (host, path) = hub.split_once('/')?;
        let (kind, name) = path.split_once('/')?;
        let tenant = query.strip_prefix("tenantId=")?;
        let fits = ["eventhubname", "secrets"].contains(&kind) && !host.is_empty();
        (fits && !name.is_empty() && !tenant.is_empty() && !tenant.contains('&')).then_some(())
    };
    let message = "expected EventHub:https://NAMESPACE.servicebus.windows.net/eventhubname/HUB\
                   ?tenantId=DOMAIN";
    read().is_none().then(|| ("wake.event_hub.url".to_owned(), message.to_owned()))
}

fn store(section: &EventsSection) -> Vec<Wrong> {
    let EventsSection { attachments, mime, store, .. } = section;
    let keys = [
        ("attachments", *attachments == AttachmentsChoice::Store),
        ("mime", *mime == MimeChoice::Store),
    ];
    let without = keys.into_iter().filter(|(_, wanted)| *wanted && store.is_none());
    let message = "needs `store` beside it, such as \"s3://bucket/mail/\"";
    without.map(|(key, _)| (key.to_owned(), message.to_owned())).collect()
}

fn after(after: &After) -> Vec<Wrong> {
    let After { mark_read, categorize, move_to, delete } = after;
    let mut wrong = Vec::new();
    let mut say = |key: &str, message: &str| wrong.push((key.to_owned(), message.to_owned()));
    if !mark_read && categorize.is_empty() && move_to.is_none() && !delete {
        say("after", "nothing is to be done; give mark_read, categorize, move or delete");
    }
    if *delete && move_to.is_some() {
        say("after.delete", "this excludes `move`: a mail is deleted, or is in a folder");
    }
    if move_to.as_ref().is_some_and(|folder| folder.trim().is_empty()) {
        say("after.move", "expected a well-known name such as archive, or a folder's id");
    }
    if categorize.iter().any(|name| name.trim().is_empty()) {
        say("after.categorize", "a category has a name");
    }
    wrong
}

/// The mailboxes that a pipeline lists and that are of personal accounts.
pub fn personal(section: &EventsSection) -> Vec<Wrong> {
    let personal = named(section).filter(|(_, mailbox)| config::is_personal(mailbox));
    personal.map(|(key, _)| (key, PERSONAL.to_owned())).collect()
}

/// The mailboxes that a pipeline lists and that its connection does not reach.
pub fn out_of_reach(section: &EventsSection, connection: &Connection) -> Vec<Wrong> {
    let lost = named(section).filter(|(_, mailbox)| !connection.reaches(mailbox));
    lost.map(|(key, mailbox)| (key, unreached(&section.connection, mailbox))).collect()
}

fn named(section: &EventsSection) -> impl Iterator<Item = (String, &str)> {
    section.listed().iter().enumerate().map(|(at, it)| (format!("mailboxes.{at}"), it.as_str()))
}

/// What to say of a field that the pipeline does not ask for.
pub const HOLD: &str = "say beside `when` that events are to hold it";

/// The fields of an event that are there only if asked for, each with whether it is.
pub fn fields(section: &EventsSection) -> [(&'static str, bool); 4] {
    let body = section.body.unwrap_or_default();
    [
        ("text", matches!(body, Bodies::Text | Bodies::Both)),
        ("html", matches!(body, Bodies::Html | Bodies::Both)),
        ("headers", section.headers),
        ("attachments", section.attachments != AttachmentsChoice::None),
    ]
}

/// What works, but is hardly meant.
pub fn doubtful(section: &EventsSection) -> Option<(&'static str, &'static str)> {
    let after = section.after.as_ref()?;
    let tells = |change| section.changes.as_ref().is_some_and(|all| all.contains(&change));
    let edits = after.mark_read || !after.categorize.is_empty();
    if edits && tells(Change::Updated) {
        return Some(("after", "what it does to a mail is told too, as `updated`"));
    }
    if after.move_to.is_some() && tells(Change::Moved) {
        return Some(("after.move", "every mail is told twice: `received`, then `moved`"));
    }
    if after.delete && (tells(Change::Deleted) || tells(Change::Moved)) {
        return Some(("after.delete", "every mail is told twice: `received`, then its end"));
    }
    None
}

#[cfg(test)]
mod tests;
