//! Rules between values, and what can be told of them. Pure functions over what was parsed; the
//! places are added by the caller.

pub mod events;
pub mod posted;

use std::{ops::RangeInclusive, time::Duration};

use mailbridge_core::Guarantee;
use mailbridge_graph::{Connection, config::is_personal};
use serde_json::{Map, Value};

use super::{
    model::{RequestsSection, telemetry::Telemetry},
    secret_key,
};

/// Deliveries in one worker at once, at most.
const IN_FLIGHT_MAX: usize = 10_000;
/// Time between two looks for bounces: a look costs a request of the mailbox's budget.
const BOUNCES_EVERY: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(6);

/// What is wrong with where spans go: the key, and the sentence.
pub fn telemetry(section: &Telemetry) -> Vec<(&'static str, &'static str)> {
    let mut wrong = Vec::new();
    if section.sample.is_some_and(|part| !(0.0..=1.0).contains(&part)) {
        wrong.push(("sample", "expected 0 to 1, such as 0.1 for every tenth trace"));
    }
    if section.service_name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        wrong.push(("service_name", "expected a name, such as mailbridge"));
    }
    wrong
}

/// What is wrong between the keys of a requests pipeline: the key, and the sentence.
pub fn requests(section: &RequestsSection) -> Vec<(&'static str, String)> {
    let settings = section.settings();
    let policy = &settings.policy;
    let mut wrong = Vec::new();
    let mut unless = |fits: bool, key: &'static str, message: &str| {
        if !fits {
            wrong.push((key, message.to_owned()));
        }
    };
    unless(
        section.mailbox.is_some() || !section.allow_mailboxes.is_empty(),
        "allow_mailboxes",
        "no mailbox can be used: give `mailbox`, or patterns such as \"*@contoso.com\" here",
    );
    unless(
        section.mailbox.as_ref().is_none_or(|mailbox| !mailbox.as_str().trim().is_empty()),
        "mailbox",
        "expected a user principal name, mail address or user id",
    );
    unless((1..=IN_FLIGHT_MAX).contains(&settings.in_flight), "in_flight", "expected 1 to 10000");
    unless(!settings.deadline.is_zero(), "deadline", "expected more than 0s");
    unless(
        settings.deadline <= settings.deadline_max,
        "deadline_max",
        "expected no less than `deadline`",
    );
    unless(policy.attempts_max >= 1, "retry.attempts_max", "expected 1 or more");
    unless(!policy.backoff_min.is_zero(), "retry.backoff_min", "expected more than 0s");
    unless(
        policy.backoff_min <= policy.backoff_max,
        "retry.backoff_max",
        "expected no less than `backoff_min`",
    );
    unless(
        section.retry.in_doubt.is_none() || section.guarantee == Guarantee::AtLeastOnce,
        "retry.in_doubt",
        "this is a choice for `guarantee: at_least_once` only; `once` looks in the mailbox instead",
    );
    unless(
        settings.bounces.is_none_or(|every| BOUNCES_EVERY.contains(&every)),
        "bounces.every",
        "expected 5s to 6h",
    );
    unless(
        section.bounces.is_none() || section.outcomes.is_some(),
        "bounces",
        "nobody would be told: give `outcomes` too",
    );
    wrong.extend(section.recipients.mistakes());
    wrong.extend(section.budgets.mistakes());
    wrong
}

/// The mailboxes that a pipeline names, patterns included, each with its key.
fn mailboxes(section: &RequestsSection) -> impl Iterator<Item = (&'static str, &str)> {
    let own = section.mailbox.iter().map(|mailbox| ("mailbox", mailbox.as_str()));
    own.chain(section.allow_mailboxes.iter().map(|pattern| ("allow_mailboxes", pattern.as_str())))
}

/// What to say of a mailbox of a personal account.
const PERSONAL: &str = "this is a personal account, which an app without a user cannot use; name a \
                        mailbox of a work tenant";

/// The mailboxes that a pipeline names and that are of personal accounts.
pub fn personal(section: &RequestsSection) -> Vec<(&'static str, String)> {
    let personal = mailboxes(section).filter(|(_, mailbox)| is_personal(mailbox));
    personal.map(|(key, _)| (key, PERSONAL.to_owned())).collect()
}

/// The mailboxes that a pipeline names and that its connection does not reach.
pub fn out_of_reach(
    section: &RequestsSection,
    connection: &Connection,
) -> Vec<(&'static str, String)> {
    let lost = mailboxes(section).filter(|(_, mailbox)| !connection.reaches(mailbox));
    lost.map(|(key, mailbox)| (key, unreached(&section.connection, mailbox))).collect()
}

/// What to say of a mailbox that no tenant of its connection has.
fn unreached(connection: &str, mailbox: &str) -> String {
    format!(
        "no tenant of connection `{connection}` has `{mailbox}`; add it, or a pattern such as \
         \"*@contoso.com\", to one of its `tenants`"
    )
}

/// What to say of a secret that lies readable in the file. It works.
pub const LITERAL_SECRET: &str =
    "the secret itself stands here, readable; write `{ file: PATH }` or `{ env: NAME }` instead";

/// Texts under keys that hold secrets.
pub fn literal_secrets(tree: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    collect_secrets(tree, &mut Vec::new(), &mut found);
    found
}

fn collect_secrets(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) => {
            // what events are tested with is made up
            let tests = path.len() == 3 && path[0] == "pipelines";
            for (key, value) in map.iter().filter(|(key, _)| !tests || *key != "tests") {
                path.push(key.clone());
                collect_secrets(value, path, found);
                path.pop();
            }
        }
        Value::String(_) if path.last().is_some_and(|key| secret_key(key)) => {
            found.push(path.clone());
        }
        _ => {}
    }
}

/// Which pipeline reads what, to find two that would take each other's requests.
#[derive(Default)]
pub struct Readers(Vec<(String, Map<String, Value>)>);

impl Readers {
    /// Adds a pipeline's source; the sentence, when another one reads the same.
    pub fn add(&mut self, pipeline: &str, from: &Value) -> Option<String> {
        let Value::Object(from) = from else { return None };
        let same = self.0.iter().find(|(_, other)| reads_the_same(from, other));
        let told = same.map(|(other, _)| {
            format!(
                "pipeline `{other}` reads the same: chance would share requests out between them"
            )
        });
        self.0.push((pipeline.to_owned(), from.clone()));
        told
    }
}

/// The keys by which plugins name the place that is read. Two pipelines that agree in all that they
/// give, share it.
const IDENTITY: [&str; 6] = ["bus", "stream", "consumer", "topic", "group", "path"];

fn reads_the_same(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let named = IDENTITY.iter().skip(1).any(|key| a.contains_key(*key));
    if named { IDENTITY.iter().all(|key| a.get(*key) == b.get(*key)) } else { a == b }
}

/// An end on a bus in words: `events (nats): stream MAIL, consumer mailbridge`.
pub fn told(bus: &str, plugin: &str, section: &Map<String, Value>) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            items.map(|items| items.join(" "))
        }
        _ => None,
    };
    let keys: Vec<_> = section
        .iter()
        .filter(|(key, _)| !secret_key(key))
        .filter_map(|(key, value)| Some(format!("{key} {}", plain(value)?)))
        .collect();
    let separator = if keys.is_empty() { "" } else { ": " };
    format!("{bus} ({plugin}){separator}{}", keys.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section(extra: &Value) -> RequestsSection {
        let mut section = json!({
            "from": {}, "connection": "c", "mailbox": "a@b", "dead_letters": {}
        });
        let (Value::Object(all), Value::Object(extra)) = (&mut section, extra) else { panic!() };
        all.extend(extra.clone());
        serde_json::from_value(section).unwrap()
    }

    #[test]
    fn each_rule_names_its_key() {
        assert_eq!(requests(&section(&json!({}))), []);
        for (extra, key) in [
            (json!({ "mailbox": null }), "allow_mailboxes"),
            (json!({ "mailbox": " " }), "mailbox"),
            (json!({ "in_flight": 0 }), "in_flight"),
            (json!({ "deadline": "0s" }), "deadline"),
            (json!({ "deadline_max": "1s" }), "deadline_max"),
            (json!({ "budgets": { "mails_per_minute": 0 } }), "budgets.mails_per_minute"),
            (json!({ "budgets": { "scale": 0 } }), "budgets.scale"),
            (json!({ "recipients": { "redirect_to": "x" } }), "recipients.redirect_to"),
            (json!({ "retry": { "attempts_max": 0 } }), "retry.attempts_max"),
            (json!({ "retry": { "backoff_max": "1ms" } }), "retry.backoff_max"),
            (json!({ "retry": { "in_doubt": "retry" } }), "retry.in_doubt"),
            (json!({ "outcomes": {}, "bounces": { "every": "4s" } }), "bounces.every"),
            (json!({ "outcomes": {}, "bounces": { "every": "7h" } }), "bounces.every"),
            (json!({ "bounces": { "every": "1m" } }), "bounces"),
        ] {
            let wrong = requests(&section(&extra));
            assert_eq!(wrong.iter().map(|it| it.0).collect::<Vec<_>>(), [key], "{extra}");
        }
    }

    #[test]
    fn personal_accounts_are_named() {
        let both =
            json!({ "mailbox": "me@outlook.com", "allow_mailboxes": ["*@a.com", "*@Live.nl"] });
        let keys: Vec<_> = personal(&section(&both)).into_iter().map(|it| it.0).collect();
        assert_eq!(keys, ["mailbox", "allow_mailboxes"]);
        assert_eq!(personal(&section(&json!({}))), []);
    }

    #[test]
    fn mailboxes_that_no_tenant_has_are_named() {
        let tenants = json!({ "tenants": { "contoso.com": ["*@contoso.com"] } });
        let connection: Connection = serde_json::from_value(tenants).unwrap();
        let both = json!({ "mailbox": "it@contoso.com", "allow_mailboxes": ["*", "*@x.org"] });
        let lost = out_of_reach(&section(&both), &connection);
        assert_eq!(lost.iter().map(|it| it.0).collect::<Vec<_>>(), ["allow_mailboxes"]);
        assert!(lost[0].1.contains("`*@x.org`"), "{lost:?}");
    }

    #[test]
    fn literal_secrets_are_found_by_their_keys() {
        let tree = json!({ "connections": { "c": {
            "credential": { "client_secret": "x" }, "token_endpoint": "https://x" } },
            "buses": { "b": { "nats": { "auth": { "password": { "file": "/x" } } } } } });
        let found: Vec<_> = literal_secrets(&tree).into_iter().map(|it| it.join(".")).collect();
        assert_eq!(found, ["connections.c.credential.client_secret"]);
    }

    #[test]
    fn two_readers_of_one_place_are_found() {
        let mut readers = Readers::default();
        let from = |consumer: &str, subject: &str| {
            let (bus, stream) = ("b", "S");
            json!({ "bus": bus, "stream": stream, "consumer": consumer, "subjects": [subject] })
        };
        assert_eq!(readers.add("a", &from("x", "m.>")), None);
        assert_eq!(readers.add("b", &from("y", "m.>")), None);
        assert!(readers.add("c", &from("x", "n.>")).unwrap().contains("`a`"));
    }

    #[test]
    fn an_end_is_told_without_secrets() {
        let Value::Object(section) = json!({ "stream": "S", "subjects": ["a", "b"], "token": "t" })
        else {
            panic!()
        };
        assert_eq!(told("e", "nats", &section), "e (nats): stream S, subjects a b");
    }
}
