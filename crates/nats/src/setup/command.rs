//! The `nats` commands that put things right, ready to be pasted into a POSIX shell.
//!
//! Flags as in natscli (`nats stream add --help`, `nats consumer edit --help`, `nats kv add
//! --help`).

use mailbridge_core::Span;

use super::consumer::Wanted;
use crate::config::{Limits, Retention, Storage};

/// A word as the shell must see it.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The flag once for each value, with a space before each.
fn flags<'a>(flag: &str, values: impl IntoIterator<Item = &'a String>) -> String {
    let mut flags = String::new();
    for value in values {
        flags.extend([" ", flag, " ", &word(value)]);
    }
    flags
}

/// Makes a stream.
pub(crate) fn stream_add(
    name: &str,
    subjects: &[String],
    limits: &Limits,
    otherwise: Retention,
) -> String {
    let retention = match limits.retention.unwrap_or(otherwise) {
        Retention::WorkQueue => "work",
        Retention::Interest => "interest",
        Retention::Limits => "limits",
    };
    let storage = match limits.storage {
        Storage::File => "file",
        Storage::Memory => "memory",
    };
    let mut command = format!(
        "nats stream add {}{} --storage {storage} --retention {retention}",
        word(name),
        flags("--subjects", subjects),
    );
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            command.extend([" ", flag, " ", &value]);
        }
    };
    add("--replicas", limits.replicas.map(|count| count.to_string()));
    add("--max-age", limits.max_age.map(|age| age.to_string()));
    add("--max-bytes", limits.max_bytes.map(|bytes| bytes.to_string()));
    add("--dupe-window", limits.duplicate_window.map(|window| window.to_string()));
    command + " --defaults"
}

/// Makes a stream for one subject, when nobody has said what it is called.
pub(crate) fn stream_for(subject: &str) -> String {
    let first = subject.split('.').next().unwrap_or(subject);
    let name: String = first.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = if name.is_empty() { "MAIL".to_owned() } else { name.to_uppercase() };
    stream_add(&name, &[subject.to_owned()], &Limits::default(), Retention::Limits)
}

/// Gives a stream these subjects.
pub(crate) fn stream_subjects(name: &str, subjects: &[String]) -> String {
    format!("nats stream edit {}{} --force", word(name), flags("--subjects", subjects))
}

/// Makes a consumer.
pub(crate) fn consumer_add(stream: &str, consumer: &str, wanted: &Wanted) -> String {
    format!(
        "nats consumer add {} {} --pull{} --ack explicit --wait {} --max-deliver=-1 \
         --max-pending {} --deliver all --replay instant --defaults",
        word(stream),
        word(consumer),
        flags("--filter", &wanted.subjects),
        Span::from(wanted.ack_wait),
        wanted.max_ack_pending,
    )
}

/// Makes a consumer anew. What it has acknowledged is forgotten with it.
pub(crate) fn consumer_replace(stream: &str, consumer: &str, wanted: &Wanted) -> String {
    let remove = consumer_remove(stream, consumer);
    format!("{remove} && {}", consumer_add(stream, consumer, wanted))
}

/// Removes a consumer.
pub(crate) fn consumer_remove(stream: &str, consumer: &str) -> String {
    format!("nats consumer rm {} {} --force", word(stream), word(consumer))
}

/// Changes a consumer. `changes` are flags with their values.
pub(crate) fn consumer_edit(stream: &str, consumer: &str, changes: &[String]) -> String {
    let (stream, consumer) = (word(stream), word(consumer));
    format!("nats consumer edit {stream} {consumer} {} --force", changes.join(" "))
}

/// The flags that give a consumer these subjects.
pub(crate) fn filter_flags(subjects: &[String]) -> String {
    flags("--filter", subjects).trim_start().to_owned()
}

/// Makes a bucket.
pub(crate) fn bucket_add(bucket: &str, limits: &Limits) -> String {
    let replicas = limits.replicas.map_or(String::new(), |count| format!(" --replicas {count}"));
    let ttl = limits.max_age.map_or(String::new(), |age| format!(" --ttl {age}"));
    format!("nats kv add {} --storage file{replicas}{ttl}", word(bucket))
}

/// Makes a bucket for files.
pub(crate) fn object_add(bucket: &str) -> String {
    format!("nats object add {} --storage file", word(bucket))
}

/// Gives a bucket's values another age, through the stream that it is made of.
pub(crate) fn bucket_age(bucket: &str, age: &str) -> String {
    let age = if age == "none" { "0s" } else { age };
    format!("nats stream edit {} --max-age {age} --force", word(&format!("KV_{bucket}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_quotes_reach_the_program_as_they_are() {
        assert_eq!(word("mail.send.>"), "'mail.send.>'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("MAIL-2.a"), "MAIL-2.a");
    }

    #[test]
    fn a_stream_is_made_with_what_was_asked_for() {
        let subjects = ["mail.>".to_owned(), "post.a".to_owned()];
        let limits = Limits { replicas: Some(3), ..Limits::default() };
        assert_eq!(
            stream_add("MAIL", &subjects, &limits, Retention::WorkQueue),
            "nats stream add MAIL --subjects 'mail.>' --subjects post.a --storage file \
             --retention work --replicas 3 --defaults"
        );
        assert_eq!(
            stream_for("mail.outcome"),
            "nats stream add MAIL --subjects mail.outcome --storage file --retention limits \
             --defaults"
        );
    }
}
