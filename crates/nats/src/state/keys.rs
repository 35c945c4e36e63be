//! Keys as subjects of a bucket's stream, and those that begin alike.
//!
//! What subjects there are is asked of the stream's leader, which answers as of one moment. A
//! consumer would read them as well, and miss a key whose value is replaced before its turn.

use std::{borrow::Cow, collections::HashMap};

use async_nats::jetstream::kv::Store as Bucket;
use mailbridge_core::{Result, too_many_keys};
use serde::Deserialize;
use serde_json::json;

use crate::{client::Link, error};

/// A key as it stands in a subject. Of what a key may hold, a subject cannot hold an empty word, so
/// the second of two dots is escaped, and with it the escape's own sign.
pub(super) fn in_subject(key: &str) -> Cow<'_, str> {
    if !key.contains("..") && !key.contains('=') {
        return Cow::Borrowed(key);
    }
    let mut subject = String::with_capacity(key.len() + 6);
    for c in key.chars() {
        match c {
            '.' if subject.ends_with('.') => subject.push_str("=2E"),
            '=' => subject.push_str("=3D"),
            other => subject.push(other),
        }
    }
    Cow::Owned(subject)
}

/// The key that stands in a subject like this.
fn of_subject(subject: &str) -> String {
    subject.replace("=2E", ".").replace("=3D", "=")
}

/// The narrowest filter that covers the keys that begin like this; none, where no key can.
fn filter(prefix: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/=-".contains(c);
    if prefix.starts_with('.') || !prefix.chars().all(plain) {
        return None;
    }
    let subject = in_subject(prefix);
    let words = subject.rfind('.').map_or("", |dot| &subject[..=dot]);
    Some(format!("{words}>"))
}

/// As much as is needed of what a server says about a stream (docs.nats.io, "NATS API Reference":
/// it names up to 100,000 subjects at a time, of `total`).
#[derive(Deserialize)]
struct About {
    #[serde(default)]
    total: usize,
    state: State,
}

#[derive(Deserialize)]
struct State {
    /// With how many messages each has.
    #[serde(default)]
    subjects: HashMap<String, u64>,
}

/// The keys of a bucket's stream that begin like this, the deleted ones among them.
pub(super) async fn known(link: &Link, bucket: &Bucket, prefix: &str) -> Result<Vec<String>> {
    let Some(filter) = filter(prefix) else { return Ok(Vec::new()) };
    let asked = json!({ "subjects_filter": format!("{}{filter}", bucket.prefix) });
    let about = link.ask::<About>(format!("STREAM.INFO.{}", bucket.stream_name), &asked).await?;
    let about = about.map_err(|no| error::refused("the keys cannot be listed", &no))?;
    let subjects = about.state.subjects;
    if about.total > subjects.len() {
        return Err(too_many_keys(prefix));
    }
    let keys = subjects.keys().filter_map(|subject| subject.strip_prefix(&bucket.prefix));
    Ok(keys.map(of_subject).filter(|key| key.starts_with(prefix)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_apart_and_have_no_empty_word() {
        assert_eq!(in_subject("cursor.a/b-c"), "cursor.a/b-c");
        assert_eq!(in_subject("a..b"), "a.=2Eb");
        assert_eq!(in_subject("a...b"), "a.=2E.b");
        assert_eq!(in_subject("a.=2Eb"), "a.=3D2Eb");
        for key in ["cursor.a/b-c", "a...b", "a.=2Eb", "=3D", "a=.b"] {
            assert_eq!(of_subject(&in_subject(key)), key);
        }
    }

    #[test]
    fn a_filter_has_the_whole_words_of_a_prefix() {
        let filters = ["", "a", "a.", "a.b", "a.b.c/", "a..", "a=.b"].map(filter);
        let wanted = [">", ">", "a.>", "a.>", "a.b.>", "a.>", "a=3D.>"];
        assert_eq!(filters, wanted.map(|filter| Some(filter.to_owned())));
        assert_eq!([".a", "*.", "a.>", "a b"].map(filter), [None, None, None, None]);
    }
}
