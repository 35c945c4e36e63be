//! Looks topics up, and makes those that are missing where that was asked for.
//!
//! A topic that is there is left as it is, whatever its settings.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use mailbridge_core::{Code, Error, Result};
use rdkafka::{
    admin::{AdminOptions, NewTopic, TopicReplication},
    types::RDKafkaErrorCode,
};
use tokio::time::Instant;

use crate::{
    client::{ASK_TIMEOUT, Connector, Link},
    config::{Create, TopicSettings},
    error,
};

/// From the making of a topic until the brokers know it.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Sees to it that a topic is there, and says how many partitions it has. `also` are settings that
/// a new one needs whatever the user says.
pub(crate) async fn topic(
    connector: &Connector,
    link: &Arc<Link>,
    name: &str,
    create: &Create,
    also: &[(&str, String)],
) -> Result<usize> {
    if let Some(partitions) = link.partitions(name).await? {
        return Ok(partitions);
    }
    let Some(settings) = create.settings() else {
        return Err(missing(name, also));
    };
    make(connector, name, settings, also).await?;
    let give_up = Instant::now() + KNOWN_WITHIN;
    loop {
        match link.partitions(name).await {
            Ok(Some(partitions)) => return Ok(partitions),
            Err(error) if Instant::now() > give_up => return Err(error),
            Ok(None) if Instant::now() > give_up => return Err(missing(name, also)),
            // a topic is known to some brokers before others
            Ok(None) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn make(
    connector: &Connector,
    name: &str,
    settings: &TopicSettings,
    also: &[(&str, String)],
) -> Result<()> {
    let Some(admin) = connector.admin().await? else {
        let error = missing(name, also);
        return Err(error.with("create", "with `oauthbearer`, topics are made by hand"));
    };
    let given: Vec<_> = settings.settings.iter().map(|(k, v)| (k.as_str(), v.text())).collect();
    // -1: as the brokers have it by default
    let partitions = settings.partitions.map_or(-1, i32::from);
    let replicas = TopicReplication::Fixed(settings.replicas.map_or(-1, i32::from));
    let topic = NewTopic::new(name, partitions, replicas);
    let settings = given.iter().chain(also);
    let topic = settings.fold(topic, |topic, (key, value)| topic.set(key, value));
    let options =
        AdminOptions::new().request_timeout(Some(ASK_TIMEOUT)).operation_timeout(Some(ASK_TIMEOUT));
    let made = admin.create_topics([&topic], &options).await;
    let made = made.map_err(|error| error::failed("the topic cannot be made", &error))?;
    for result in made {
        match result {
            Ok(_) => tracing::info!(topic = name, "made the topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => {
                return Err(error::coded("the topic cannot be made", code).with("topic", name));
            }
        }
    }
    Ok(())
}

/// Names the topic with the command that makes it (kafka.apache.org, "kafka-topics.sh").
fn missing(name: &str, also: &[(&str, String)]) -> Error {
    let mut command = format!("kafka-topics.sh --bootstrap-server BROKER --create --topic {name}");
    for (key, value) in also {
        // writing to a String cannot fail
        write!(command, " --config {key}={value}").ok();
    }
    Error::blocked(Code::BusStreamMissing, "the topic does not exist")
        .with("topic", name)
        .with("command", command)
        .with("kafka_error", error::name(RDKafkaErrorCode::UnknownTopicOrPartition))
}
