//! The KV buckets that state is kept in: the one that is configured, for what is kept forever, and
//! one beside it for what is not, since a bucket has one age for all of its values.

use std::time::Duration;

use async_nats::jetstream::{
    context::KeyValueErrorKind,
    kv::{Config, Store as Bucket},
    stream::StorageType,
};
use mailbridge_core::{Code, Error, Keep, Result, Span};

use super::command;
use crate::{
    client::Link,
    config::{Limits, Storage, Store},
    error,
};

/// What the name of the bucket of values that age ends in.
const AGEING: &str = "_ageing";

/// Opens the bucket, or makes it if that was asked for.
pub(crate) async fn ready(link: &Link, store: &Store, keep: Keep) -> Result<Bucket> {
    let Store { bucket, create } = store;
    let (bucket, max_age) = match keep {
        Keep::Forever | Keep::Leases => (bucket.clone(), None),
        Keep::AtLeast(time) => (format!("{bucket}{AGEING}"), Some(time)),
    };
    match link.jetstream.get_key_value(&bucket).await {
        Ok(found) => return lasting(found, &bucket, max_age).await,
        Err(error) if error.kind() == KeyValueErrorKind::InvalidStoreName => {
            let detail = "the bucket's name is not one, or its stream is not a bucket's";
            return Err(Error::blocked(Code::BusMismatch, detail).with("bucket", bucket));
        }
        Err(_) => {}
    }
    let limits =
        Limits { max_age: max_age.map(Span::from), ..create.limits().cloned().unwrap_or_default() };
    exists(link, &bucket, create.asked(), &limits).await?;
    let config = Config {
        bucket: bucket.clone(),
        description: "made by mailbridge".to_owned(),
        history: 1,
        storage: match limits.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        num_replicas: limits.replicas.map_or(1, usize::from),
        max_age: limits.max_age.map(Into::into).unwrap_or_default(),
        ..Config::default()
    };
    let made = link.jetstream.create_key_value(config).await;
    let made = made.map_err(|error| error::failed("the bucket cannot be made", &error))?;
    tracing::info!(%bucket, "made the bucket");
    Ok(made)
}

/// Refuses a bucket that forgets earlier than it must.
async fn lasting(found: Bucket, bucket: &str, least: Option<Duration>) -> Result<Bucket> {
    let status = found.status().await;
    let age = status.map_err(|error| error::failed("the bucket cannot be looked up", &error))?;
    let age = age.max_age();
    let long_enough = age.is_zero() || least.is_some_and(|least| age >= least);
    if long_enough {
        return Ok(found);
    }
    let least = least.map_or("none".to_owned(), |least| Span::from(least).to_string());
    Err(Error::blocked(Code::BusMismatch, "the bucket forgets its values too early")
        .with("bucket", bucket)
        .with("max_age", Span::from(age))
        .with("max_age_wanted", &least)
        .with("command", command::bucket_age(bucket, &least)))
}

/// Tells a bucket that is missing, and may be made, from one that cannot be asked for.
async fn exists(link: &Link, bucket: &str, may_make: bool, limits: &Limits) -> Result<()> {
    use async_nats::jetstream::{ErrorCode, stream::Info};
    let asked =
        link.ask::<Info>(format!("STREAM.INFO.KV_{bucket}"), &serde_json::json!({})).await?;
    match asked {
        Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
        Err(error) => return Err(error::refused("the bucket cannot be looked up", &error)),
        // It has come to be meanwhile; making it again is harmless.
        Ok(_) => return Ok(()),
    }
    if may_make {
        return Ok(());
    }
    Err(Error::blocked(Code::BusStreamMissing, "the bucket does not exist")
        .with("bucket", bucket)
        .with("command", command::bucket_add(bucket, limits)))
}
