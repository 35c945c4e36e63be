//! The durable pull consumer that a source reads by.
//!
//! Each setting that could make a mail be lost or sent twice is compared with what is needed. The
//! comparison is a pure function of what the server answered; what follows (refuse with a command,
//! or repair) is decided after it.

use std::{collections::BTreeSet, time::Duration};

use async_nats::jetstream::{
    ErrorCode,
    consumer::{
        AckPolicy, Config, DeliverPolicy, Info, IntoConsumerConfig, PriorityPolicy, ReplayPolicy,
        pull,
    },
};
use mailbridge_core::{Code, Error, Needs, Result, Span};
use serde_json::json;

use super::{Ready, command};
use crate::{client::Link, config::Source, error};

/// How many messages may wait for an acknowledgement, where the configuration does not say. As many
/// cost a nats-server 2.12 some 25 MB, measured, and at most half a core while they all return.
const MAX_ACK_PENDING: i64 = 100_000;
/// How long the server waits for an acknowledgement, at least, in a consumer that is made.
const ACK_WAIT: Duration = Duration::from_mins(1);

/// What a consumer must be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub subjects: Vec<String>,
    /// What a new consumer gets.
    pub ack_wait: Duration,
    /// What an existing one must have at least.
    ack_wait_min: Duration,
    /// Whether the configuration names it, so that it must be the same.
    ack_wait_given: bool,
    pub max_ack_pending: i64,
    max_ack_pending_given: bool,
    in_flight: i64,
}

impl Wanted {
    fn new(source: &Source, needs: &Needs) -> Self {
        let otherwise = ACK_WAIT.max(2 * needs.deadline);
        Self {
            subjects: source.subjects.clone(),
            ack_wait: source.ack_wait.map_or(otherwise, Span::get),
            ack_wait_min: Source::ack_wait_min(needs),
            ack_wait_given: source.ack_wait.is_some(),
            max_ack_pending: source.max_ack_pending.map_or(MAX_ACK_PENDING, i64::from),
            max_ack_pending_given: source.max_ack_pending.is_some(),
            in_flight: i64::try_from(needs.in_flight).unwrap_or(i64::MAX),
        }
    }

    fn config(&self, name: &str) -> Config {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            description: Some("made by mailbridge".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: -1,
            filter_subjects: self.subjects.clone(),
            replay_policy: ReplayPolicy::Instant,
            deliver_policy: DeliverPolicy::All,
            max_ack_pending: self.max_ack_pending,
            ..pull::Config::default()
        };
        config.into_consumer_config()
    }
}

/// One setting that is not what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference {
    /// What is wrong with what, in words.
    finding: String,
    cure: Cure,
}

/// How a setting can be put right.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cure {
    /// It only times redelivery, so it may be repaired. The flag that does it by hand.
    Repair(String),
    /// It can be edited, but says what somebody else meant to read.
    Edit(String),
    /// It is fixed when a consumer is made.
    Replace,
}

/// Looks the consumer up, or makes it, and sees to it that it is what is needed.
pub(crate) async fn ready(link: &Link, source: &Source, needs: &Needs) -> Result<Ready> {
    let Source { stream, consumer, .. } = source;
    let wanted = Wanted::new(source, needs);
    let info = match find(link, stream, consumer).await? {
        Some(info) => info,
        None if source.create.asked() => make(link, stream, consumer, &wanted).await?,
        None => {
            return Err(Error::blocked(Code::BusConsumerMissing, "the consumer does not exist")
                .with("consumer", format_args!("{stream}/{consumer}"))
                .with("command", command::consumer_add(stream, consumer, &wanted)));
        }
    };
    let differences = compare(&info.config, &wanted);
    let repairable = !differences.is_empty()
        && differences.iter().all(|found| matches!(found.cure, Cure::Repair(_)));
    let info = if repairable && source.create.asked() {
        repair(link, stream, info, &wanted, &differences).await?
    } else {
        info
    };
    let differences = compare(&info.config, &wanted);
    if !differences.is_empty() {
        return Err(mismatch(stream, consumer, &wanted, &differences));
    }
    advise(stream, &info, &wanted);
    let config = info.config;
    Ok(Ready {
        stream: stream.clone(),
        consumer: consumer.clone(),
        ack_wait: config.ack_wait,
        pull_max: usize::try_from(config.max_batch).ok().filter(|max| *max > 0),
        expires_max: Some(config.max_expires).filter(|max| !max.is_zero()),
    })
}

pub(super) async fn find(link: &Link, stream: &str, consumer: &str) -> Result<Option<Info>> {
    match link.ask::<Info>(format!("CONSUMER.INFO.{stream}.{consumer}"), &json!({})).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => Ok(None),
        Err(error) => Err(error::refused("the consumer cannot be looked up", &error)),
    }
}

async fn make(link: &Link, stream: &str, consumer: &str, wanted: &Wanted) -> Result<Info> {
    let info = put(link, stream, wanted.config(consumer), "create").await?;
    tracing::info!(stream, consumer, "made the consumer");
    Ok(info)
}

/// Gives the consumer the timing that is needed, and says so.
async fn repair(
    link: &Link,
    stream: &str,
    info: Info,
    wanted: &Wanted,
    differences: &[Difference],
) -> Result<Info> {
    let config = Config {
        ack_wait: if timing_fits(info.config.ack_wait, wanted) && info.config.backoff.is_empty() {
            info.config.ack_wait
        } else {
            wanted.ack_wait
        },
        backoff: Vec::new(),
        max_deliver: -1,
        max_ack_pending: if pending_fits(info.config.max_ack_pending, wanted) {
            info.config.max_ack_pending
        } else {
            wanted.max_ack_pending
        },
        ..info.config
    };
    let repaired = put(link, stream, config, "update").await?;
    for difference in differences {
        tracing::warn!(stream, consumer = %repaired.name, finding = %difference.finding,
            "repaired the consumer");
    }
    Ok(repaired)
}

/// `action` keeps a create from changing a consumer that somebody else has just made, and an update
/// from making one that somebody else has just deleted.
pub(super) async fn put(link: &Link, stream: &str, config: Config, action: &str) -> Result<Info> {
    let name = config.durable_name.clone().unwrap_or_default();
    let request = json!({ "stream_name": stream, "config": config, "action": action });
    let answer = link.ask(format!("CONSUMER.CREATE.{stream}.{name}"), &request).await?;
    answer.map_err(|error| {
        error::refused("the consumer cannot be made or changed", &error)
            .with("consumer", format_args!("{stream}/{name}"))
            .with("action", action)
    })
}

fn timing_fits(found: Duration, wanted: &Wanted) -> bool {
    if wanted.ack_wait_given { found == wanted.ack_wait } else { found >= wanted.ack_wait_min }
}

fn pending_fits(found: i64, wanted: &Wanted) -> bool {
    if wanted.max_ack_pending_given {
        found == wanted.max_ack_pending
    } else {
        found <= 0 || found >= wanted.in_flight
    }
}

/// Everything about a consumer that is not what is needed.
fn compare(found: &Config, wanted: &Wanted) -> Vec<Difference> {
    let mut differences = fixed(found);
    differences.extend(filters(found, wanted));
    differences.extend(timing(found, wanted));
    differences
}

/// What cannot be changed once a consumer is made.
fn fixed(found: &Config) -> Vec<Difference> {
    let findings = [
        (found.deliver_subject.is_some(), "it pushes, and mailbridge pulls"),
        (found.durable_name.is_none(), "it is not durable"),
        (found.ack_policy != AckPolicy::Explicit, "its ack policy is not explicit"),
        (found.replay_policy != ReplayPolicy::Instant, "its replay policy is not instant"),
        (found.headers_only, "it delivers headers only"),
        (
            matches!(found.deliver_policy, DeliverPolicy::Last | DeliverPolicy::LastPerSubject),
            "it skips all but the last message",
        ),
        (found.priority_policy != PriorityPolicy::None, "it serves priority groups only"),
    ];
    let wrong = findings.into_iter().filter(|(is_so, _)| *is_so);
    wrong.map(|(_, why)| Difference { finding: why.to_owned(), cure: Cure::Replace }).collect()
}

fn filters(found: &Config, wanted: &Wanted) -> Option<Difference> {
    let one = Some(found.filter_subject.as_str()).filter(|subject| !subject.is_empty());
    let have: BTreeSet<_> = found.filter_subjects.iter().map(String::as_str).chain(one).collect();
    let want: BTreeSet<_> = wanted.subjects.iter().map(String::as_str).collect();
    let finding = format!("it takes the subjects {have:?}, not {want:?}");
    let cure = match wanted.subjects.as_slice() {
        // No flag takes a filter away.
        [] => Cure::Replace,
        subjects => Cure::Edit(command::filter_flags(subjects)),
    };
    (have != want).then_some(Difference { finding, cure })
}

/// When a message comes again, how often, and how many may be out.
fn timing(found: &Config, wanted: &Wanted) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut add = |finding: String, flag: String| {
        differences.push(Difference { finding, cure: Cure::Repair(flag) });
    };
    let least = Span::from(wanted.ack_wait_min);
    if found.max_deliver > 0 {
        let finding = format!(
            "max_deliver is {}: after that the server forgets a request without a word",
            found.max_deliver
        );
        add(finding, "--max-deliver=-1".to_owned());
    }
    let short = found.backoff.iter().filter(|step| **step < wanted.ack_wait_min).min();
    if let Some(shortest) = short {
        let finding = format!(
            "backoff has {shortest:?} and overrides ack_wait: a request is handed out again while \
             it is being sent (at least {least})"
        );
        add(finding, "--backoff none".to_owned());
    }
    // With a backoff the server shows its first step as ack_wait.
    if !timing_fits(found.ack_wait, wanted) && (found.backoff.is_empty() || short.is_some()) {
        let is = found.ack_wait;
        let need = Span::from(wanted.ack_wait);
        let finding = if wanted.ack_wait_given {
            format!("ack_wait is {is:?}, not {need}")
        } else {
            format!("ack_wait is {is:?}, shorter than one attempt and a quarter ({least})")
        };
        add(finding, format!("--wait {need}"));
    }
    if !pending_fits(found.max_ack_pending, wanted) {
        let (is, need) = (found.max_ack_pending, wanted.max_ack_pending);
        add(format!("max_ack_pending is {is}, not {need}"), format!("--max-pending {need}"));
    }
    differences
}

fn mismatch(stream: &str, consumer: &str, wanted: &Wanted, differences: &[Difference]) -> Error {
    let findings: Vec<_> = differences.iter().map(|found| found.finding.as_str()).collect();
    let flags: Option<Vec<_>> = differences
        .iter()
        .map(|found| match &found.cure {
            Cure::Repair(flag) | Cure::Edit(flag) => Some(flag.clone()),
            Cure::Replace => None,
        })
        .collect();
    let command = match flags {
        Some(flags) => command::consumer_edit(stream, consumer, &flags),
        None => command::consumer_replace(stream, consumer, wanted),
    };
    Error::blocked(Code::BusMismatch, "the consumer is not what mailbridge needs")
        .with("consumer", format_args!("{stream}/{consumer}"))
        .with("found", findings.join("; "))
        .with("command", command)
}

/// What works, and is worth a word.
fn advise(stream: &str, info: &Info, wanted: &Wanted) {
    let (consumer, config) = (&info.name, &info.config);
    if config.max_ack_pending > 0 && config.max_ack_pending < 4 * wanted.in_flight {
        tracing::warn!(stream, %consumer, max_ack_pending = config.max_ack_pending,
            in_flight = wanted.in_flight,
            "few messages may wait for an acknowledgement: the mails of one throttled mailbox can \
             hold up all others (watch mailbridge_requests_waiting); four times in_flight or more \
             is better");
    }
    if info.paused {
        tracing::warn!(stream, %consumer, remaining = ?info.pause_remaining,
            "the consumer is paused: nothing is delivered until it is resumed");
    }
    if config.deliver_policy != DeliverPolicy::All {
        tracing::warn!(stream, %consumer,
            "the consumer starts somewhere in the stream: what was before is not sent");
    }
    if config.memory_storage {
        tracing::warn!(stream, %consumer,
            "the consumer is kept in memory: after a stop of the server everything is read again");
    }
    if !config.inactive_threshold.is_zero() {
        tracing::warn!(stream, %consumer, inactive_threshold = ?config.inactive_threshold,
            "the server deletes the consumer when nobody reads for this long, and its position \
             with it");
    }
}

#[cfg(test)]
mod tests;
