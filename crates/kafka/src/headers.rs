//! Headers between core's multimap and Kafka's.
//!
//! Both keep order and repeated names, and values of any bytes. A value that is null is read as
//! empty. A message's id, for which Kafka has no place, is the header `message-id`, both ways.

use mailbridge_core::{Headers, Message};
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};

/// What the names of Kafka Connect's own headers begin with.
const CONNECT: &str = "__connect.errors.";
/// Where a message's id is.
const ID: &str = "message-id";

/// The headers of a record, and its id.
pub(crate) fn incoming(record: Option<&BorrowedHeaders>) -> (Headers, Option<String>) {
    let mut headers = Headers::new();
    for header in record.iter().flat_map(|headers| headers.iter()) {
        headers.push(header.key, header.value.unwrap_or_default().to_vec());
    }
    let id = headers.get(ID).filter(|id| !id.is_empty()).map(str::to_owned);
    (headers, id)
}

/// The headers to publish a message with. Those of a CloudEvent in binary mode are named as the
/// Kafka binding has them (`ce_id`), whichever binding they come from (cloudevents.io, Kafka
/// Protocol Binding, section 3.2).
pub(crate) fn outgoing(message: &Message) -> OwnedHeaders {
    let of_another_binding = message.headers.get("ce-specversion").is_some();
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len() + 1);
    for (name, value) in message.headers.iter() {
        if message.id.is_some() && name.eq_ignore_ascii_case(ID) {
            continue;
        }
        let renamed = name
            .get(..3)
            .filter(|start| of_another_binding && start.eq_ignore_ascii_case("ce-"))
            .map(|start| format!("ce_{}", name[start.len()..].to_ascii_lowercase()));
        let key = renamed.as_deref().unwrap_or(name);
        headers = headers.insert(Header { key, value: Some(value.as_ref()) });
    }
    headers = for_connect(message, headers);
    match &message.id {
        Some(id) => headers.insert(Header { key: ID, value: Some(id) }),
        None => headers,
    }
}

/// Of a dead letter: what tools for Kafka's dead-letter topics look for, beside our own headers, by
/// the names of Kafka Connect (kafka.apache.org, `DeadLetterQueueReporter`).
fn for_connect(message: &Message, mut headers: OwnedHeaders) -> OwnedHeaders {
    let own = |name: &str| message.headers.get(&format!("mailbridge-{name}"));
    let (Some(_), Some(position)) = (own("status"), own("position")) else { return headers };
    let mut add = |name: &str, value: &str| {
        let key = format!("{CONNECT}{name}");
        headers = std::mem::take(&mut headers).insert(Header { key: &key, value: Some(value) });
    };
    // such as `kafka:mail.send/3/42@1790230470084`; of another bus, it is no place in Kafka
    let place = position.strip_prefix("kafka:").and_then(|it| it.split_once('@'));
    let mut place = place.map(|(place, _)| place.rsplitn(3, '/')).into_iter().flatten();
    if let (Some(offset), Some(partition), Some(topic)) = (place.next(), place.next(), place.next())
    {
        add("topic", topic);
        add("partition", partition);
        add("offset", offset);
    }
    add("connector.name", own("pipeline").unwrap_or_default());
    add("stage", "TASK_PUT");
    add("class.name", "mailbridge");
    add("exception.class.name", own("code").unwrap_or_default());
    add("exception.message", own("reason").unwrap_or_default());
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(message: &Message) -> (Headers, Option<String>) {
        incoming(Some(outgoing(message).as_borrowed()))
    }

    #[test]
    fn order_repeats_and_any_bytes_are_kept() {
        let headers = Headers::new()
            .with("x", "1")
            .with("raw", vec![0xff, 0])
            .with("x", "2")
            .with("ce-id", "no event without a specversion");
        let message = Message { headers: headers.clone(), ..Message::default() };
        assert_eq!(there_and_back(&message), (headers, None));
    }

    #[test]
    fn an_event_in_binary_mode_is_named_as_the_kafka_binding_has_it() {
        let headers = Headers::new()
            .with("ce-specversion", "1.0")
            .with("Ce-Id", "7")
            .with("content-type", "application/json");
        let message = Message { headers, ..Message::default() };
        let (headers, _) = there_and_back(&message);
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ce_specversion", "ce_id", "content-type"]);
    }

    #[test]
    fn a_dead_letter_says_also_what_kafka_connects_do() {
        let headers = Headers::new()
            .with("mailbridge-status", "rejected")
            .with("mailbridge-code", "request_invalid")
            .with("mailbridge-reason", "no recipient")
            .with("mailbridge-pipeline", "orders")
            .with("mailbridge-position", "kafka:mail.send/3/42@1790230470084");
        let message = Message { headers, ..Message::default() };
        let (headers, _) = there_and_back(&message);
        let of = |name: &str| headers.get(&format!("__connect.errors.{name}"));
        let place = ["topic", "partition", "offset"].map(of);
        assert_eq!(place, [Some("mail.send"), Some("3"), Some("42")]);
        let why = ["exception.class.name", "exception.message", "connector.name"].map(of);
        assert_eq!(why, [Some("request_invalid"), Some("no recipient"), Some("orders")]);
    }

    #[test]
    fn an_id_is_a_header_and_stands_there_once() {
        let headers = Headers::new().with("Message-Id", "old");
        let message = Message { id: Some("new".to_owned()), headers, ..Message::default() };
        let (headers, id) = there_and_back(&message);
        assert_eq!((headers.len(), id.as_deref()), (1, Some("new")));
    }
}
