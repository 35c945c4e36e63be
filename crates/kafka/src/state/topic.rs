//! The topics that state is kept in: the one that is configured, for what is kept forever, and beside
//! it one for what is not, and one for leases.

use std::{collections::HashMap, sync::Arc, time::Duration};

use mailbridge_core::{Code, Error, Keep, Result};
use rdkafka::admin::{AdminOptions, ResourceSpecifier};

use crate::{
    client::{ASK_TIMEOUT, Connector, Link},
    config::Store,
    error, setup,
};

/// What the name of the topic of values that age ends in.
const AGEING: &str = ".ageing";
/// What the name of the topic of leases ends in.
const LEASES: &str = ".leases";
/// What compaction must leave alone, so that whoever reads along misses nothing.
const LAG_MIN: Duration = Duration::from_mins(1);
/// What it leaves alone in a topic that is made here.
const LAG: Duration = Duration::from_mins(10);

/// Sees to it that the topic is there and is what a store needs; its name.
pub(super) async fn ready(
    connector: &Connector,
    link: &Arc<Link>,
    store: &Store,
    keep: Keep,
) -> Result<String> {
    let millis = |time: Duration| time.as_millis().to_string();
    let mut also = vec![("min.compaction.lag.ms", millis(LAG))];
    let name = match keep {
        Keep::Forever => {
            also.push(("cleanup.policy", "compact".to_owned()));
            store.topic.clone()
        }
        Keep::Leases => {
            also.push(("cleanup.policy", "compact".to_owned()));
            format!("{}{LEASES}", store.topic)
        }
        Keep::AtLeast(time) => {
            also.push(("cleanup.policy", "compact,delete".to_owned()));
            also.push(("retention.ms", millis(2 * time.max(LAG))));
            format!("{}{AGEING}", store.topic)
        }
    };
    let create = store.create.with_one_partition();
    let partitions = setup::topic(connector, link, &name, &create, &also).await?;
    if partitions != 1 {
        let detail = "a topic of state has one partition, whose order decides between writers";
        let error = Error::blocked(Code::BusMismatch, detail).with("topic", &name);
        return Err(error.with("partitions", partitions));
    }
    let Some(found) = settings(connector, &name).await? else {
        tracing::warn!(topic = name, "with `oauthbearer`, the topic's settings cannot be checked");
        return Ok(name);
    };
    compare(&found, keep).map_err(|(what, wanted)| {
        let command = format!(
            "kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics \
             --entity-name {name} --add-config {what}={wanted}"
        );
        Error::blocked(Code::BusMismatch, "the topic of state would lose values")
            .with("topic", &name)
            .with("setting", what)
            .with("found", found.get(what).map_or("", String::as_str))
            .with("command", command)
    })?;
    Ok(name)
}

/// The settings of a topic, where they can be asked for.
async fn settings(connector: &Connector, name: &str) -> Result<Option<HashMap<String, String>>> {
    const WHAT: &str = "the topic's settings are not told";
    let Some(admin) = connector.admin().await? else { return Ok(None) };
    let options = AdminOptions::new().request_timeout(Some(ASK_TIMEOUT));
    let told = admin.describe_configs([&ResourceSpecifier::Topic(name)], &options).await;
    let told = told.map_err(|failure| error::failed(WHAT, &failure))?;
    let mut settings = HashMap::new();
    for resource in told {
        let resource = resource.map_err(|code| error::coded(WHAT, code).with("topic", name))?;
        let entries = resource.entries.into_iter();
        settings.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(Some(settings))
}

/// What is not as it must be, and what it should be.
fn compare(found: &HashMap<String, String>, keep: Keep) -> Result<(), (&'static str, String)> {
    let millis = |name: &str| found.get(name).and_then(|text| text.parse::<i64>().ok());
    let deletes = found
        .get("cleanup.policy")
        .is_some_and(|policy| policy.split(',').any(|word| word.trim() == "delete"));
    let lasts = match keep {
        Keep::Forever | Keep::Leases => {
            if deletes {
                return Err(("cleanup.policy", "compact".to_owned()));
            }
            None
        }
        Keep::AtLeast(time) => Some(2 * time),
    };
    let retention = millis("retention.ms").filter(|time| *time >= 0);
    if let (true, Some(lasts), Some(retention)) = (deletes, lasts, retention)
        && u128::try_from(retention).is_ok_and(|retention| retention < lasts.as_millis())
    {
        return Err(("retention.ms", lasts.as_millis().to_string()));
    }
    // without it, compaction takes whatever is not in the segment that is written to
    let lag = millis("min.compaction.lag.ms").and_then(|lag| u128::try_from(lag).ok());
    if lag.is_none_or(|lag| lag < LAG_MIN.as_millis()) {
        return Err(("min.compaction.lag.ms", LAG.as_millis().to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(found: &[(&str, &str)], keep: Keep) -> Option<&'static str> {
        let found = found.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        compare(&found, keep).err().map(|(what, _)| what)
    }

    #[test]
    fn a_topic_that_would_lose_values_is_refused() {
        let day = Keep::AtLeast(Duration::from_hours(24));
        let lag = ("min.compaction.lag.ms", "600000");
        let compact = ("cleanup.policy", "compact");
        let both = ("cleanup.policy", "compact,delete");
        assert_eq!(wrong(&[lag, compact], Keep::Forever), None);
        assert_eq!(wrong(&[lag, both], Keep::Forever), Some("cleanup.policy"));
        assert_eq!(wrong(&[("min.compaction.lag.ms", "0"), compact], day), Some(lag.0));
        assert_eq!(wrong(&[lag, compact], day), None);
        assert_eq!(wrong(&[lag, both, ("retention.ms", "-1")], day), None);
        assert_eq!(wrong(&[lag, both, ("retention.ms", "172800000")], day), None);
        assert_eq!(wrong(&[lag, both, ("retention.ms", "86400000")], day), Some("retention.ms"));
    }
}
