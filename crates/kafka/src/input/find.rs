//! Where a partition stands when it is assigned, and lists of partitions in librdkafka's form.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
};

use super::context::Context;
use crate::{
    client::ASK_TIMEOUT,
    config::Start,
    error, metric,
    note::Note,
    partition::{Commit, Found, Place},
};

/// Before brokers that are not ready yet are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Asks until there is an answer, for as long as what is wrong passes by itself: a broker that has
/// just started looks for its groups first.
pub(super) fn patiently<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let give_up = Instant::now() + ASK_TIMEOUT;
    loop {
        let answer = ask();
        let code = answer.as_ref().err().and_then(KafkaError::rdkafka_error_code);
        if !code.is_some_and(error::passes) || Instant::now() > give_up {
            return answer;
        }
        thread::sleep(ASK_AGAIN);
    }
}

/// Asks for what is committed, and for both ends of the logs.
pub(super) fn all(
    consumer: &BaseConsumer<Context>,
    list: &TopicPartitionList,
    start: Start,
    anew: bool,
) -> KafkaResult<Vec<(Place, Found)>> {
    if list.count() == 0 {
        return Ok(Vec::new());
    }
    let ask = |offset| {
        let mut list = list.clone();
        list.set_all_offsets(offset)?;
        consumer.offsets_for_times(list, ASK_TIMEOUT)
    };
    let committed = consumer.committed_offsets(list.clone(), ASK_TIMEOUT)?;
    let (begins, ends) = (ask(Offset::Beginning)?, ask(Offset::End)?);
    let mut found = Vec::with_capacity(committed.count());
    for it in committed.elements() {
        it.error()?;
        let place = Place { topic: it.topic().into(), number: it.partition() };
        let at = |list: &TopicPartitionList| {
            let it = list.find_partition(&place.topic, place.number)?;
            number(it.offset())
        };
        let (begin, end) = (at(&begins).unwrap_or_default(), at(&ends).unwrap_or_default());
        let committed = number(it.offset()).map(|offset| (offset, it.metadata().to_owned()));
        let committed = committed.filter(|_| !anew);
        found.push((place.clone(), decide(&place, committed, begin, end, start)));
    }
    Ok(found)
}

/// Where to begin.
fn decide(
    place: &Place,
    committed: Option<(u64, String)>,
    begin: u64,
    end: u64,
    start: Start,
) -> Found {
    let fresh = match start {
        Start::Earliest => begin,
        Start::Latest => end,
    };
    match committed {
        None => Found { position: fresh, end, note: None },
        Some((offset, _)) if offset > end => {
            tracing::warn!(partition = %place, committed = offset, end,
                "the log ends before what is committed: the topic was made again, or has lost \
                 records; reading begins anew");
            Found { position: fresh, end, note: None }
        }
        Some((offset, note)) => {
            let note = Note::read(offset, &note);
            if offset < begin {
                tell_lost(place, offset, begin, note.as_ref());
            }
            Found { position: offset.max(begin), end, note }
        }
    }
}

/// Says what retention took away, but for what the note calls done.
fn tell_lost(place: &Place, committed: u64, begin: u64, note: Option<&Note>) {
    let done = note.map_or(0, |note| note.done_below(committed, begin));
    let lost = (begin - committed).saturating_sub(done);
    if lost == 0 {
        return;
    }
    let labels = [("topic", place.topic.to_string()), ("partition", place.number.to_string())];
    metrics::counter!(metric::LOST, &labels).increment(lost);
    tracing::error!(topic = %place.topic, partition = place.number,
        kafka_error = "OFFSET_OUT_OF_RANGE", committed, begin, lost,
        cure = "lengthen the topic's retention (retention.ms, retention.bytes); what is lost is \
                not in Kafka any more",
        "records were deleted before they were read; reading goes on at the oldest that is left");
}

fn number(offset: Offset) -> Option<u64> {
    match offset {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        _ => None,
    }
}

/// The partitions of a list.
pub(super) fn places(list: &TopicPartitionList) -> Vec<Place> {
    let place = |it: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Place {
        topic: it.topic().into(),
        number: it.partition(),
    };
    list.elements().iter().map(place).collect()
}

/// A list to pause or resume.
pub(super) fn list<'a>(places: impl IntoIterator<Item = &'a Place>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for place in places {
        list.add_partition(&place.topic, place.number);
    }
    list
}

/// A list to commit.
pub(super) fn offsets(
    commits: &HashMap<Place, (u64, Commit)>,
    without_notes: bool,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for (place, (_, commit)) in commits {
        let mut it = list.add_partition(&place.topic, place.number);
        let at = Offset::Offset(i64::try_from(commit.position).unwrap_or(i64::MAX));
        // fails for no number that is an offset
        it.set_offset(at).ok();
        if !without_notes {
            it.set_metadata(&commit.note);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(committed: Option<(u64, &str)>, start: Start) -> (u64, bool) {
        let place = Place { topic: "t".into(), number: 0 };
        let committed = committed.map(|(offset, note)| (offset, note.to_owned()));
        let found = decide(&place, committed, 10, 20, start);
        (found.position, found.note.is_some())
    }

    #[test]
    fn reading_begins_where_it_was_committed_and_else_as_asked() {
        let (earliest, latest) = (Start::Earliest, Start::Latest);
        let note = "mb1 next=1 lease=1 open=";
        assert_eq!((found(None, earliest), found(None, latest)), ((10, false), (20, false)));
        assert_eq!(found(Some((15, note)), latest), (15, true));
        assert_eq!(found(Some((15, "")), latest), (15, false));
        assert_eq!(found(Some((3, note)), latest), (10, true), "deleted meanwhile");
        assert_eq!(found(Some((21, note)), earliest), (10, false), "another log");
    }
}
