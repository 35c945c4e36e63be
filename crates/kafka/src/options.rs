//! librdkafka's own properties, passed through, less those that mailbridge's promises rest on.
//!
//! librdkafka itself says which exist and what they take; the list here only helps to find the one
//! that was meant.

use std::collections::BTreeMap;

use mailbridge_core::{Code, Error, Result};
use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaConfRes};

use crate::config::{Config, wrong};

/// The names in librdkafka's CONFIGURATION.md.
const KNOWN: &str = include_str!("properties.txt");

/// What cannot be set here, by how its name begins, and where it is set or why it is not.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "left out: the addresses are under `brokers`"),
    ("metadata.broker.list", "left out: the addresses are under `brokers`"),
    ("client.id", "left out: it is `client_id`"),
    ("security.protocol", "left out: it follows from `tls` and `sasl`"),
    ("sasl.mechanism", "left out: it is `sasl.mechanism`, in the section `sasl`"),
    ("sasl.username", "left out: it is `user` in the section `sasl`"),
    ("sasl.password", "left out: it is `password` in the section `sasl`, read from a file"),
    ("ssl.key.password", "left out: it is `key_password` in the section `tls`, read from a file"),
    ("ssl.key.pem", "left out: name the key's file under `tls.key`"),
    ("sasl.oauthbearer.client.secret", "left out: a secret is read from a file"),
    ("sasl.oauthbearer.client.credentials.client.secret", "left out: a secret is read from a file"),
    ("sasl.oauthbearer.assertion.private.key.passphrase", "left out: a secret is read from a file"),
    ("sasl.oauthbearer.assertion.private.key.pem", "left out: a secret is read from a file"),
    ("ssl.keystore.password", "left out: name certificate and key under `tls`, as PEM"),
    ("group.id", "left out: it is `group` in a pipeline's `from`"),
    ("group.instance.id", "left out: it is `instance` in a pipeline's `from`"),
    ("auto.offset.reset", "left out: it is `start` in a pipeline's `from`"),
    ("enable.auto.commit", "left out: an offset is committed once its request is done"),
    ("auto.commit.enable", "left out: an offset is committed once its request is done"),
    ("auto.commit.interval.ms", "left out: an offset is committed once its request is done"),
    ("enable.auto.offset.store", "left out: an offset is committed once its request is done"),
    ("isolation.level", "left out: what a transaction took back is never read"),
    ("acks", "left out: a message counts once all replicas in sync have it"),
    ("request.required.acks", "left out: a message counts once all replicas in sync have it"),
    ("enable.idempotence", "left out: the producer is idempotent"),
    ("transactional.id", "left out: mailbridge names its transactions itself"),
    ("plugin.library.paths", "left out: nothing is loaded from outside"),
];

/// Checks every option, and gives them as librdkafka reads them.
///
/// # Errors
/// `config_invalid` with the option's place, and the nearest known name.
pub(crate) fn checked(config: &Config) -> Result<BTreeMap<String, String>> {
    let mut checked = BTreeMap::new();
    for (name, value) in &config.options {
        let key = format!("options.{name}");
        if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| name == reserved) {
            return Err(wrong(key, instead));
        }
        let mut alone = ClientConfig::new();
        alone.set(name, value.text());
        match alone.create_native_config() {
            Ok(_) => checked.insert(name.clone(), value.text()),
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                return Err(unknown(key, name));
            }
            Err(KafkaError::ClientConfig(_, says, ..)) => {
                return Err(wrong(key, "as librdkafka takes it").with("says", says));
            }
            Err(_) => return Err(wrong(key, "text without a zero byte")),
        };
    }
    Ok(checked)
}

fn unknown(key: String, name: &str) -> Error {
    let near = |known: &&str| strsim::damerau_levenshtein(known, name);
    let detail = match KNOWN.lines().min_by_key(near).filter(|known| near(known) <= 6) {
        Some(nearest) => format!("librdkafka has no property `{name}`; the nearest is `{nearest}`"),
        None => format!("librdkafka has no property `{name}`"),
    };
    Error::permanent(Code::ConfigInvalid, detail).with("key", key)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(options: Value) -> Result<BTreeMap<String, String>> {
        let mut config = json!({ "brokers": ["a:1"] });
        config["options"] = options;
        checked(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn what_librdkafka_knows_is_passed_on() {
        let given =
            json!({ "socket.timeout.ms": 5000, "socket.keepalive.enable": true, "debug": "cgrp" });
        let checked = check(given).unwrap();
        assert_eq!(checked["socket.timeout.ms"], "5000");
        assert_eq!(checked["socket.keepalive.enable"], "true");
    }

    #[test]
    fn an_unknown_one_is_named_with_the_nearest() {
        let error = check(json!({ "socket.timeout": 5000 })).unwrap_err();
        assert_eq!(error.field("key"), Some("options.socket.timeout"));
        assert!(error.detail().contains("`socket.timeout.ms`"), "{error}");
        let error = check(json!({ "entirely.something.else.that.is.long": 1 })).unwrap_err();
        assert!(!error.detail().contains("nearest"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_told_as_librdkafka_tells_it() {
        let error = check(json!({ "socket.timeout.ms": "soon" })).unwrap_err();
        assert_eq!(error.field("key"), Some("options.socket.timeout.ms"));
        assert!(error.field("says").unwrap().contains("socket.timeout.ms"), "{error}");
    }

    #[test]
    fn what_the_promises_rest_on_is_refused_with_the_reason() {
        for (name, instead) in RESERVED {
            let error = check(json!({ *name: "true" })).unwrap_err();
            assert!(error.detail().contains(instead), "{error}");
        }
    }

    #[test]
    fn every_name_of_the_list_is_one_of_librdkafkas() {
        for name in KNOWN.lines() {
            let mut alone = ClientConfig::new();
            alone.set(name, "?");
            let unknown = matches!(
                alone.create_native_config(),
                Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..))
            );
            assert!(!unknown, "{name}");
        }
    }
}
