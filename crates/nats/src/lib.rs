//! NATS JetStream as a bus: durable pull consumers in, confirmed publishes out, a KV bucket for
//! state.
//!
//! [`Nats`] is the plugin; everything else is private. It needs server 2.10 or newer: older ones
//! ignore `filter_subjects` silently and cannot make a bucket, so they are refused by name.
//!
//! Deliberately absent: retry loops and half-open states (an error ends an instance, the host
//! builds another), push and ordered consumers, core NATS without JetStream, and any change to a
//! stream or consumer that the configuration did not ask for with `create`. The one exception is the
//! consumer by which a target is read back: it belongs to its reader alone.

mod auth;
mod back;
mod bucket;
mod client;
mod config;
mod error;
mod headers;
mod input;
mod mark;
mod object;
mod output;
mod place;
mod pull;
mod receipt;
mod setup;
mod state;
mod untouched;

use std::sync::Arc;

use async_trait::async_trait;
use mailbridge_core::{
    FileStore, Files, Input, Keep, Needs, Output, Result, StateStore,
    plugin::{Begin, Plugin, ReadBack},
};

pub use config::{Auth, Config, Create, Limits, Retention, Source, Storage, Store, Target, Tls};

/// The bus plugin `nats`: one configured JetStream account, reached by one shared connection.
pub struct Nats {
    connector: Arc<client::Connector>,
    marks: mark::Marks,
}

#[async_trait]
impl Plugin for Nats {
    const NAME: &'static str = "nats";
    const SHARES: bool = true;
    type Config = Config;
    type Source = Source;
    type Target = Target;
    type Store = Store;

    fn new(name: &str, config: Config) -> Result<Self> {
        let connector = Arc::new(client::Connector::new(name, config)?);
        Ok(Self { connector, marks: mark::Marks::default() })
    }

    fn check_source(&self, source: &Source, needs: &Needs) -> Result<()> {
        source.check(needs)
    }

    async fn input(&self, source: &Source, needs: &Needs) -> Result<Box<dyn Input>> {
        let link = self.connector.link().await?;
        let ready = setup::source(&link, source, needs).await?;
        let mark = self.marks.of(&source.stream, &source.consumer);
        let input = input::NatsInput::start(link, ready, *needs, mark).await?;
        Ok(Box::new(input))
    }

    async fn output(&self, target: &Target) -> Result<Box<dyn Output>> {
        let link = self.connector.link().await?;
        setup::target(&link, target).await?;
        Ok(Box::new(output::NatsOutput::new(link, target.clone())))
    }

    async fn store(&self, store: &Store, keep: Keep) -> Result<Box<dyn StateStore>> {
        let link = self.connector.link().await?;
        let bucket = setup::bucket(&link, store, keep).await?;
        Ok(Box::new(state::NatsStore::new(link, bucket)))
    }

    fn files(&self) -> Option<Arc<dyn Files>> {
        Some(Arc::new(object::Objects::new(Arc::clone(&self.connector))))
    }

    fn file_store(&self, bucket: &str, create: bool) -> Option<Arc<dyn FileStore>> {
        Some(Arc::new(bucket::Bucket::new(Arc::clone(&self.connector), bucket, create)))
    }

    async fn read_back(&self, target: &Target, name: &str, begin: Begin) -> Result<ReadBack> {
        let link = self.connector.link().await?;
        let reader = setup::reader(&link, target, name, begin).await?;
        let count = Some(reader.unsettled);
        let input = Box::new(back::NatsReader::start(link, reader).await?);
        Ok(ReadBack { input, count })
    }

    async fn write_back(&self, source: &Source) -> Result<Box<dyn Output>> {
        let link = self.connector.link().await?;
        let subjects = setup::subjects(&link, source).await?;
        Ok(Box::new(back::NatsReturn::new(link, subjects)))
    }
}
