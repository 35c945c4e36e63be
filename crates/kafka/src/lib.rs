//! Apache Kafka as a bus: consumer groups in, idempotent confirmed publishes out, a compacted topic
//! for state.
//!
//! [`Kafka`] is the plugin; everything else is private. It rests on librdkafka, which is built from
//! source with this crate.
//!
//! Deliberately absent: retry loops (an error ends an instance, the host builds another), automatic
//! commits, and any change to a topic that is there.

mod client;
mod config;
mod error;
mod headers;
mod input;
pub mod metric;
mod note;
mod options;
mod output;
mod partition;
mod setup;
mod state;
mod threads;
mod token;

use std::sync::Arc;

use async_trait::async_trait;
use mailbridge_core::{
    Input, Keep, Needs, Output, Result, StateStore,
    plugin::{Begin, Plugin, ReadBack, Tokens, WantsTokens},
};

pub use config::{
    Config, Create, Mechanism, Sasl, Scalar, Source, Start, Store, Target, Tls, TopicSettings,
};

/// The bus plugin `kafka`: one configured cluster.
pub struct Kafka {
    connector: Arc<client::Connector>,
    stores: state::Stores,
    /// Last, so that what they use is gone before they are waited for.
    threads: threads::Threads,
}

#[async_trait]
impl Plugin for Kafka {
    const NAME: &'static str = "kafka";
    const COMMITS: bool = true;
    const SHARES: bool = true;
    type Config = Config;
    type Source = Source;
    type Target = Target;
    type Store = Store;

    fn new(name: &str, config: Config) -> Result<Self> {
        let connector = Arc::new(client::Connector::new(name, config)?);
        let (stores, threads) = (state::Stores::default(), threads::Threads::default());
        Ok(Self { connector, stores, threads })
    }

    fn wants_tokens(&self) -> Option<WantsTokens> {
        self.connector.wants_tokens()
    }

    fn give_tokens(&self, tokens: Arc<dyn Tokens>) {
        // it is asked for once
        self.connector.tokens.set(tokens).ok();
    }

    fn check_source(&self, source: &Source, needs: &Needs) -> Result<()> {
        source.check(needs)
    }

    async fn input(&self, source: &Source, needs: &Needs) -> Result<Box<dyn Input>> {
        input::join(&self.connector, &self.threads, source, needs).await
    }

    async fn output(&self, target: &Target) -> Result<Box<dyn Output>> {
        Ok(Box::new(output::KafkaOutput::new(&self.connector, target, None).await?))
    }

    async fn output_with_store(&self, target: &Target, store: &Store) -> Result<Box<dyn Output>> {
        let store = self.open(store, Keep::Forever).await?;
        Ok(Box::new(output::KafkaOutput::new(&self.connector, target, Some(store)).await?))
    }

    async fn read_back(&self, target: &Target, name: &str, begin: Begin) -> Result<ReadBack> {
        input::read_back(&self.connector, &self.threads, target, name, begin).await
    }

    async fn write_back(&self, source: &Source) -> Result<Box<dyn Output>> {
        Ok(Box::new(input::WriteBack::new(&self.connector, source).await?))
    }

    async fn store(&self, store: &Store, keep: Keep) -> Result<Box<dyn StateStore>> {
        Ok(Box::new(state::Opened(self.open(store, keep).await?)))
    }
}

impl Kafka {
    async fn open(&self, store: &Store, keep: Keep) -> Result<Arc<state::KafkaStore>> {
        self.stores.open(&self.connector, &self.threads, store, keep).await
    }
}
