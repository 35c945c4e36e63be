//! What librdkafka and the brokers say, as core's failures, each with Kafka's own name for it.
//!
//! Their texts hold addresses, topics and numbers, never credentials or payloads, so they are passed
//! on as the field `cause`.

use mailbridge_core::{Code, Error};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Kafka};

/// Something that was asked of the brokers failed, or they said no.
pub(crate) fn failed(what: &'static str, error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => coded(what, code),
        None => Error::transient(Code::BusLost, what).with("cause", error),
    }
}

/// The same, by its code alone.
pub(crate) fn coded(what: &'static str, code: Kafka) -> Error {
    let error = match code {
        Kafka::UnknownTopicOrPartition | Kafka::UnknownTopic | Kafka::UnknownPartition => {
            Error::blocked(Code::BusStreamMissing, "the topic does not exist")
        }
        Kafka::TopicAuthorizationFailed => {
            Error::blocked(Code::BusUnauthorized, "the user may not use the topic")
        }
        Kafka::GroupAuthorizationFailed => {
            Error::blocked(Code::BusUnauthorized, "the user may not use the consumer group")
        }
        Kafka::ClusterAuthorizationFailed | Kafka::TransactionalIdAuthorizationFailed => {
            Error::blocked(Code::BusUnauthorized, what)
        }
        Kafka::SaslAuthenticationFailed | Kafka::Authentication => {
            Error::blocked(Code::BusUnauthorized, "the brokers refuse the credentials")
        }
        Kafka::SSL => Error::blocked(Code::BusUnreachable, "no TLS connection can be made"),
        Kafka::Resolve => {
            Error::blocked(Code::BusUnreachable, "a broker's name cannot be resolved")
        }
        Kafka::AllBrokersDown | Kafka::BrokerTransportFailure | Kafka::OperationTimedOut => {
            Error::blocked(Code::BusUnreachable, "no broker answers")
        }
        Kafka::InconsistentGroupProtocol => Error::blocked(
            Code::BusMismatch,
            "the consumer group is in use with another protocol or assignment strategy",
        ),
        Kafka::FencedInstanceId | Kafka::Fenced => Error::blocked(
            Code::BusMismatch,
            "another worker uses the same `instance` in the consumer group",
        ),
        Kafka::MessageSizeTooLarge => Error::permanent(
            Code::BusPayloadTooLarge,
            "the message is larger than the topic takes (max.message.bytes)",
        ),
        Kafka::PolicyViolation
        | Kafka::InvalidConfig
        | Kafka::InvalidPartitions
        | Kafka::InvalidReplicationFactor
        | Kafka::InvalidTopic => Error::blocked(Code::BusMismatch, what),
        _ => Error::transient(Code::BusLost, what),
    };
    error.with("kafka_error", name(code))
}

/// Kafka's own name, such as `UNKNOWN_TOPIC_OR_PARTITION`; librdkafka's start with `_`.
pub(crate) fn name(code: Kafka) -> String {
    if code == Kafka::MessageSizeTooLarge {
        // rust-rdkafka has it from librdkafka, which has a name of its own for it
        return "MESSAGE_TOO_LARGE".to_owned();
    }
    let text = format!("{code:?}");
    let mut name = String::with_capacity(text.len() + 8);
    if (code as i32) < -1 {
        name.push('_');
    }
    let mut after_lower = false;
    for letter in text.chars() {
        if letter.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Whether it passes by itself: the brokers elect a coordinator or a leader, or a group is between
/// two assignments.
pub(crate) fn passes(code: Kafka) -> bool {
    matches!(
        code,
        Kafka::RebalanceInProgress
            | Kafka::CoordinatorLoadInProgress
            | Kafka::CoordinatorNotAvailable
            | Kafka::NotCoordinator
            | Kafka::WaitingForCoordinator
            | Kafka::RequestTimedOut
            | Kafka::OperationTimedOut
            | Kafka::BrokerTransportFailure
            | Kafka::AllBrokersDown
            | Kafka::BrokerDestroy
            | Kafka::LeaderNotAvailable
            | Kafka::InProgress
    )
}

#[cfg(test)]
mod tests {
    use mailbridge_core::Verdict;

    use super::*;

    #[test]
    fn failures_have_kafkas_name() {
        for (code, expected) in [
            (Kafka::UnknownTopicOrPartition, "UNKNOWN_TOPIC_OR_PARTITION"),
            (Kafka::AllBrokersDown, "_ALL_BROKERS_DOWN"),
            (Kafka::SSL, "_SSL"),
            (Kafka::MessageSizeTooLarge, "MESSAGE_TOO_LARGE"),
            (Kafka::TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED"),
        ] {
            assert_eq!(name(code), expected);
            assert_eq!(coded("it failed", code).field("kafka_error"), Some(expected));
        }
    }

    #[test]
    fn only_a_message_that_is_too_large_is_at_fault_itself() {
        let error = coded("it failed", Kafka::MessageSizeTooLarge);
        assert_eq!((error.code(), error.verdict()), (Code::BusPayloadTooLarge, Verdict::Permanent));
        for code in [Kafka::NotEnoughReplicas, Kafka::MessageTimedOut, Kafka::AllBrokersDown] {
            assert_ne!(coded("it failed", code).verdict(), Verdict::Permanent);
        }
    }
}
