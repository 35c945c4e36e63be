//! The stream that a source reads or a target is kept in.
//!
//! Its limits are the operator's business. What matters here: that it is there, that it holds the
//! subjects, and that it answers publications.

use async_nats::jetstream::{
    ErrorCode,
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
};
use mailbridge_core::{Code, Error, Result};
use serde_json::json;

use super::command;
use crate::{
    client::Link,
    config::{Create, Limits, Retention, Source, Storage, Target},
    error,
};

/// The stream's configuration, if it is there.
async fn find(link: &Link, name: &str) -> Result<Option<Config>> {
    Ok(look_up(link, name).await?.map(|info| info.config))
}

async fn look_up(link: &Link, name: &str) -> Result<Option<Info>> {
    match link.ask::<Info>(format!("STREAM.INFO.{name}"), &json!({})).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
        Err(error) => Err(error::refused("the stream cannot be looked up", &error)),
    }
}

/// The sequence of the stream's last message; 0 if it never had one.
pub(super) async fn last(link: &Link, name: &str) -> Result<u64> {
    Ok(look_up(link, name).await?.map_or(0, |info| info.state.last_sequence))
}

/// Sees to it that the source's stream is there and holds its subjects.
pub(crate) async fn for_source(link: &Link, source: &Source) -> Result<Config> {
    // With nothing said, a command that makes the stream suggests its own name as the subject.
    let suggested = [format!("{}.>", source.stream.to_lowercase())];
    let subjects = if source.subjects.is_empty() { &suggested } else { source.subjects.as_slice() };
    let plan = Plan {
        name: &source.stream,
        subjects,
        create: &source.create,
        retention: Retention::WorkQueue,
    };
    let found = plan.found_or_made(link).await?;
    if !source.subjects.is_empty() {
        plan.covers(link, &found).await?;
    }
    if found.retention == RetentionPolicy::Interest {
        tracing::warn!(stream = %source.stream, "the stream keeps only what a consumer waits for: \
            requests that are published before the consumer exists are lost");
    }
    if found.storage == StorageType::Memory {
        tracing::warn!(stream = %source.stream,
            "the stream is kept in memory: requests are lost when the server stops");
    }
    Ok(found)
}

/// Sees to it that something keeps what is published to the target.
pub(crate) async fn for_target(link: &Link, target: &Target) -> Result<()> {
    let Some(name) = &target.stream else {
        let subject = target.filter();
        let Place { stream, whole } = somewhere(link, &subject).await?;
        if !whole {
            tracing::warn!(%stream, %subject, "no stream holds all that may be published here: \
                where none does, the pipeline will wait");
        }
        return Ok(());
    };
    let subjects = [target.filter()];
    let (create, retention) = (&target.create, Retention::Limits);
    let plan = Plan { name, subjects: &subjects, create, retention };
    let found = plan.found_or_made(link).await?;
    plan.covers(link, &found).await?;
    if found.no_ack {
        let detail = "the stream confirms nothing, so nobody could know that a message is stored";
        let cure = format!("nats stream edit {name} --ack --force");
        return Err(mismatch(detail, name, cure));
    }
    Ok(())
}

/// The stream that keeps what is published to the target.
pub(super) async fn keeper(link: &Link, target: &Target) -> Result<String> {
    if let Some(name) = &target.stream {
        return for_target(link, target).await.map(|()| name.clone());
    }
    let subject = target.filter();
    let Place { stream, whole } = somewhere(link, &subject).await?;
    if whole {
        return Ok(stream);
    }
    let detail = "no single stream holds all that is published here; say which `stream`";
    let error = Error::blocked(Code::BusMismatch, detail);
    Err(error.with("stream", stream).with("subject", subject))
}

/// A stream that takes a subject, and whether it takes all that the subject may be.
struct Place {
    stream: String,
    whole: bool,
}

/// The stream that takes the subject. The server names all that take some of it; if one takes all of
/// it there is no other, because it refuses streams that overlap.
async fn somewhere(link: &Link, subject: &str) -> Result<Place> {
    #[derive(serde::Deserialize)]
    struct Names {
        #[serde(default)]
        streams: Option<Vec<String>>,
    }
    let names =
        link.ask::<Names>("STREAM.NAMES".to_owned(), &json!({ "subject": subject })).await?;
    let names = names.map_err(|error| error::refused("the streams cannot be listed", &error))?;
    let mut names = names.streams.unwrap_or_default().into_iter();
    let stream = names.next().ok_or_else(|| nothing_keeps(subject))?;
    let whole = match names.next() {
        Some(_) => false,
        None if !subject.contains('*') => true,
        None => find(link, &stream)
            .await?
            .is_some_and(|found| found.subjects.iter().any(|of| covers(of, subject))),
    };
    Ok(Place { stream, whole })
}

/// No stream takes this subject.
pub(crate) fn nothing_keeps(subject: &str) -> Error {
    Error::blocked(Code::BusStreamMissing, "no stream keeps what is published to this subject")
        .with("subject", subject)
        .with("command", command::stream_for(subject))
}

/// What a stream must be.
struct Plan<'a> {
    name: &'a str,
    subjects: &'a [String],
    create: &'a Create,
    retention: Retention,
}

impl Plan<'_> {
    /// The stream that is there, or a new one if that was asked for.
    async fn found_or_made(&self, link: &Link) -> Result<Config> {
        if let Some(found) = find(link, self.name).await? {
            return Ok(found);
        }
        let Some(limits) = self.create.limits() else {
            let command =
                command::stream_add(self.name, self.subjects, &Limits::default(), self.retention);
            return Err(Error::blocked(Code::BusStreamMissing, "the stream does not exist")
                .with("stream", self.name)
                .with("command", command));
        };
        let wanted = self.config(limits);
        let made = link.ask::<Info>(format!("STREAM.CREATE.{}", self.name), &wanted).await?;
        let made = match made {
            Ok(info) => info.config,
            // Somebody else was faster, and may have meant something else: take what is there.
            Err(error) => match find(link, self.name).await? {
                Some(found) => return Ok(found),
                None => {
                    return Err(error::refused("the stream cannot be made", &error)
                        .with("stream", self.name));
                }
            },
        };
        tracing::info!(stream = self.name, subjects = ?self.subjects, "made the stream");
        self.same(&wanted, &made)?;
        Ok(made)
    }

    fn config(&self, limits: &Limits) -> Config {
        Config {
            name: self.name.to_owned(),
            subjects: self.subjects.to_vec(),
            description: Some("made by mailbridge".to_owned()),
            retention: match limits.retention.unwrap_or(self.retention) {
                Retention::WorkQueue => RetentionPolicy::WorkQueue,
                Retention::Interest => RetentionPolicy::Interest,
                Retention::Limits => RetentionPolicy::Limits,
            },
            storage: match limits.storage {
                Storage::File => StorageType::File,
                Storage::Memory => StorageType::Memory,
            },
            num_replicas: limits.replicas.map_or(1, usize::from),
            max_age: limits.max_age.map(Into::into).unwrap_or_default(),
            max_bytes: limits.max_bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(-1),
            duplicate_window: limits.duplicate_window.map(Into::into).unwrap_or_default(),
            discard: DiscardPolicy::Old,
            ..Config::default()
        }
    }

    /// Whether the server made what it was asked for.
    fn same(&self, wanted: &Config, made: &Config) -> Result<()> {
        let same = (&made.subjects, made.retention, made.storage, made.max_age)
            == (&wanted.subjects, wanted.retention, wanted.storage, wanted.max_age);
        if same {
            return Ok(());
        }
        let detail = "the server made another stream than it was asked for";
        Err(Error::blocked(Code::BusMismatch, detail).with("stream", self.name))
    }

    /// Sees to it that the stream holds the subjects.
    async fn covers(&self, link: &Link, found: &Config) -> Result<()> {
        let uncovered = |subject: &&String| !found.subjects.iter().any(|of| covers(of, subject));
        let missing: Vec<_> = self.subjects.iter().filter(uncovered).cloned().collect();
        // A mirror or an aggregate has no subjects of its own and takes those of its origin.
        if missing.is_empty() || found.mirror.is_some() || found.sources.is_some() {
            return Ok(());
        }
        let mut wanted = found.clone();
        // the server refuses subjects of one stream that overlap
        wanted.subjects.retain(|of| !missing.iter().any(|missing| covers(missing, of)));
        wanted.subjects.extend(missing.iter().cloned());
        let command = command::stream_subjects(self.name, &wanted.subjects);
        if !self.create.asked() {
            let detail = "the stream does not hold the subject";
            return Err(mismatch(detail, self.name, command).with("missing", missing.join(", ")));
        }
        let update = link.ask::<Info>(format!("STREAM.UPDATE.{}", self.name), &wanted).await?;
        update.map_err(|error| {
            error::refused("the stream cannot be given more subjects", &error)
                .with("stream", self.name)
                .with("missing", missing.join(", "))
        })?;
        tracing::warn!(stream = self.name, added = ?missing, "gave the stream more subjects");
        Ok(())
    }
}

fn mismatch(detail: &'static str, stream: &str, command: String) -> Error {
    Error::blocked(Code::BusMismatch, detail).with("stream", stream).with("command", command)
}

/// Whether everything that matches `subject` matches `pattern` too.
pub(crate) fn covers(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(word), Some(token)) if word == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_a_subject_when_all_that_matches_it_matches_the_pattern() {
        for (pattern, subject) in [
            ("mail.>", "mail.send"),
            ("mail.>", "mail.send.>"),
            ("mail.*", "mail.*"),
            ("*.send", "mail.send"),
            (">", "a.b"),
        ] {
            assert!(covers(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [
            ("mail.>", "mail"),
            ("mail.*", "mail.>"),
            ("mail.*", "mail.a.b"),
            ("mail.send", "mail.*"),
            ("mail.send", "mail.send.now"),
        ] {
            assert!(!covers(pattern, subject), "{pattern} {subject}");
        }
    }
}
