//! The KV bucket that state is kept in.

use async_nats::jetstream::{
    context::KeyValueErrorKind,
    kv::{Config, Store as Bucket},
    stream::StorageType,
};
use mailbridge_core::{Code, Error, Result};

use super::command;
use crate::{
    client::Link,
    config::{Limits, Storage, Store},
    error,
};

/// Opens the bucket, or makes it if that was asked for.
pub(crate) async fn ready(link: &Link, store: &Store) -> Result<Bucket> {
    let Store { bucket, create } = store;
    match link.jetstream.get_key_value(bucket).await {
        Ok(found) => return Ok(found),
        Err(error) if error.kind() == KeyValueErrorKind::InvalidStoreName => {
            let detail = "the bucket's name is not one, or its stream is not a bucket's";
            return Err(Error::blocked(Code::BusMismatch, detail).with("bucket", bucket));
        }
        Err(_) => {}
    }
    exists(link, bucket, create.limits()).await?;
    let limits = create.limits().cloned().unwrap_or_default();
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

/// Tells a bucket that is missing, and may be made, from one that cannot be asked for.
async fn exists(link: &Link, bucket: &str, limits: Option<&Limits>) -> Result<()> {
    use async_nats::jetstream::{ErrorCode, stream::Info};
    let asked =
        link.ask::<Info>(format!("STREAM.INFO.KV_{bucket}"), &serde_json::json!({})).await?;
    match asked {
        Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
        Err(error) => return Err(error::refused("the bucket cannot be looked up", &error)),
        // It has come to be meanwhile; making it again is harmless.
        Ok(_) => return Ok(()),
    }
    if limits.is_some() {
        return Ok(());
    }
    Err(Error::blocked(Code::BusStreamMissing, "the bucket does not exist")
        .with("bucket", bucket)
        .with("command", command::bucket_add(bucket, &Limits::default())))
}
