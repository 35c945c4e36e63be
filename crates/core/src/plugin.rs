//! What a bus plugin is: typed outside, erased inside.
//!
//! A plugin names its configuration types and builds ports. It never parses, never retries, never
//! loops: the program parses (so that every plugin refuses a wrong key in the same words), and the
//! engine builds, calls `next` many times, and drops. Adding a bus is one type that implements
//! [`Plugin`] and one line in `main.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Code, Error, FileStore, Result, Secret,
    port::{Files, Input, Keep, Needs, Output, StateStore},
};

/// A bus plugin.
#[async_trait]
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The key under `buses.<name>`, such as `nats`.
    const NAME: &'static str;
    /// Whether it has [`Plugin::output_with_store`].
    const COMMITS: bool = false;
    /// Whether workers on several machines meet in its state stores.
    const SHARES: bool = false;
    /// `buses.<name>.<NAME>`: how to reach the bus.
    type Config: DeserializeOwned + JsonSchema;
    /// A pipeline's `from`, less its `bus` key: what to read.
    type Source: DeserializeOwned + JsonSchema + Send + Sync;
    /// A pipeline's `outcomes`, `dead_letters` or `to`, less its `bus` key: where to write.
    type Target: DeserializeOwned + JsonSchema + Send + Sync;
    /// `state`, less its `bus` key: where to keep state.
    type Store: DeserializeOwned + JsonSchema + Send + Sync;

    /// Takes a configuration. Pure: opens nothing. `name` is the bus's name in the file.
    fn new(name: &str, config: Self::Config) -> Result<Self>;

    /// Whether it lets itself in by a connection's tokens.
    fn wants_tokens(&self) -> Option<WantsTokens> {
        None
    }

    /// Gives it what it wants, before anything is built.
    fn give_tokens(&self, _tokens: Arc<dyn Tokens>) {}

    /// Whether this source can give the engine what it needs, as far as that shows offline.
    fn check_source(&self, source: &Self::Source, needs: &Needs) -> Result<()>;

    /// Whether producers call the input of this source. Such an input is built before the engine may
    /// take anything, so that nobody is turned away while mail is blocked.
    fn answers_producers(&self, _source: &Self::Source) -> bool {
        false
    }

    /// Builds an input.
    async fn input(&self, source: &Self::Source, needs: &Needs) -> Result<Box<dyn Input>>;

    /// Builds an output.
    async fn output(&self, target: &Self::Target) -> Result<Box<dyn Output>>;

    /// Builds an output whose `commit` stores values in this store along with the messages, where the
    /// bus knows how. What is stored is kept for ever.
    async fn output_with_store(
        &self,
        target: &Self::Target,
        _store: &Self::Store,
    ) -> Result<Box<dyn Output>> {
        self.output(target).await
    }

    /// Opens a state store. What is kept forever and what is not may share the configuration, and
    /// never share a key.
    async fn store(&self, store: &Self::Store, keep: Keep) -> Result<Box<dyn StateStore>>;

    /// The files that it keeps, if it keeps any. Opens nothing.
    fn files(&self) -> Option<Arc<dyn Files>> {
        None
    }

    /// A bucket for files, if it keeps any; with `create`, it is made where it is missing. Opens
    /// nothing.
    fn file_store(&self, _bucket: &str, _create: bool) -> Option<Arc<dyn FileStore>> {
        None
    }

    /// Reads what stands at a target, for a reader that comes again and is known by its name.
    ///
    /// 1. All that stands there when it is called is read, and then `next` gives `None`, also while
    ///    more is published meanwhile.
    /// 2. What was settled `Done` or `Rejected` is not read again under this name, also after a
    ///    restart or crash, until somebody begins anew.
    /// 3. Everything else is: what was settled `Again`, was dropped, or was out when the reader died.
    /// 4. Nothing is read twice by one reader, however long its receipt is held.
    /// 5. A delivery that was out before under this name says so (`seen_before`).
    /// 6. Who publishes to the target and who else reads it are not disturbed, and need not stop.
    ///
    /// # Errors
    /// `config_invalid` for a target that keeps nothing, such as standard output; for every target
    /// of a bus that does not know how.
    async fn read_back(
        &self,
        _target: &Self::Target,
        _name: &str,
        _begin: Begin,
    ) -> Result<ReadBack> {
        Err(one_way("read back"))
    }

    /// An output to what a source reads.
    ///
    /// 1. What is published is read by the source like any other message, also while it is being
    ///    read, with its headers, id and payload.
    /// 2. A message's address is kept where the source reads that; elsewhere it is one that the
    ///    source reads. Where there is none, the message is *permanently* at fault.
    ///
    /// # Errors
    /// `config_invalid` for a source that nobody can publish to, such as standard input; for every
    /// source of a bus that does not know how.
    async fn write_back(&self, _source: &Self::Source) -> Result<Box<dyn Output>> {
        Err(one_way("written back"))
    }
}

/// What a bus says of the way that it does not have.
pub fn one_way(way: &'static str) -> Error {
    let detail = format!("buses of this kind cannot be {way}; publish the messages anew by hand");
    Error::permanent(Code::ConfigInvalid, detail)
}

/// Where a reader of a target begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Where it has left off.
    WhereLeft,
    /// At the first message that is still there, as if it had never been.
    Anew,
}

/// What stands at a target. See [`Plugin::read_back`].
pub struct ReadBack {
    /// Hands it out, and ends.
    pub input: Box<dyn Input>,
    /// How much it is, where the bus can tell at once. A little more or less may come.
    pub count: Option<u64>,
}

/// Access tokens of a connection, for a bus that lets its users in by them.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// One that is good for a while yet.
    ///
    /// # Errors
    /// *Blocked*, for as long as the connection gets none.
    async fn token(&self) -> Result<Secret>;
}

/// Which tokens a bus wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantsTokens {
    /// The connection whose credentials they are got by.
    pub connection: String,
    /// For what they are good (`aud`), such as `https://NAMESPACE.servicebus.windows.net`.
    pub resource: String,
}

/// Builds a port as often as the engine asks for one.
#[async_trait]
pub trait Build<Port: ?Sized>: Send + Sync {
    /// Builds one. An error is passing: the engine asks again after a back-off.
    async fn build(&self) -> Result<Box<Port>>;

    /// See [`Plugin::answers_producers`].
    fn answers_producers(&self) -> bool {
        false
    }
}

/// What a pipeline reads, with its type erased.
#[async_trait]
pub trait SourceEnd: Build<dyn Input> {
    /// See [`Plugin::write_back`].
    async fn write_back(&self) -> Result<Box<dyn Output>>;
}

/// What a pipeline writes to, with its type erased.
#[async_trait]
pub trait TargetEnd: Build<dyn Output> {
    /// See [`Plugin::read_back`].
    async fn read_back(&self, name: &str, begin: Begin) -> Result<ReadBack>;
}

/// A section that does not fit its type: where, and why. Never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The keys that lead to it, below the section that was parsed.
    pub path: Vec<String>,
    /// What was expected there.
    pub detail: String,
}

/// A configured bus with its types erased.
pub trait Bus: Send + Sync {
    /// Takes a `from` section.
    fn source(
        self: Arc<Self>,
        section: Value,
        needs: Needs,
    ) -> Result<Arc<dyn SourceEnd>, Malformed>;
    /// Takes an `outcomes`, `dead_letters` or `to` section.
    fn target(self: Arc<Self>, section: Value) -> Result<Arc<dyn TargetEnd>, Malformed>;
    /// Takes a `to` section and the `state` section of the same bus; none, where the bus does not
    /// know how to commit to both. See [`Plugin::output_with_store`].
    fn target_with_state(
        self: Arc<Self>,
        target: Value,
        state: Value,
    ) -> Result<Option<Arc<dyn TargetEnd>>, Malformed>;
    /// Whether workers on several machines meet in its state stores.
    fn shares(&self) -> bool;
    /// See [`Plugin::wants_tokens`].
    fn wants_tokens(&self) -> Option<WantsTokens>;
    /// See [`Plugin::give_tokens`].
    fn give_tokens(&self, tokens: Arc<dyn Tokens>);
    /// Takes a `state` section.
    fn state(
        self: Arc<Self>,
        section: Value,
        keep: Keep,
    ) -> Result<Arc<dyn Build<dyn StateStore>>, Malformed>;
    /// The files that it keeps, if it keeps any.
    fn files(&self) -> Option<Arc<dyn Files>>;
    /// See [`Plugin::file_store`].
    fn file_store(&self, bucket: &str, create: bool) -> Option<Arc<dyn FileStore>>;
}

/// Takes a bus's name and configuration.
pub type Open = fn(&str, Value) -> Result<Arc<dyn Bus>, Malformed>;

/// A plugin with its types erased: what a registry holds.
#[derive(Clone, Copy)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: &'static str,
    /// Parses a bus's configuration.
    pub open: Open,
    /// The schemas of config, source, target and store.
    pub schemas: fn(&mut SchemaGenerator) -> [Schema; 4],
}

impl Descriptor {
    /// Erases a plugin's types.
    pub fn of<P: Plugin>() -> Self {
        Self {
            name: P::NAME,
            open: |name, config| {
                let plugin =
                    P::new(name, parse(config)?).map_err(|error| Malformed::from(&error))?;
                Ok(Arc::new(Erased(plugin)))
            },
            schemas: |generator| {
                [
                    generator.subschema_for::<P::Config>(),
                    generator.subschema_for::<P::Source>(),
                    generator.subschema_for::<P::Target>(),
                    generator.subschema_for::<P::Store>(),
                ]
            },
        }
    }
}

/// Parses a section into its type, or says where it does not fit.
pub fn parse<T: DeserializeOwned>(section: Value) -> Result<T, Malformed> {
    serde_path_to_error::deserialize(section).map_err(|error| Malformed {
        path: crate::contract::decode::path_keys(error.path()),
        detail: crate::contract::decode::without_values(&error.inner().to_string()),
    })
}

/// A refusal, placed by its field `key` (dots between keys); the other fields stay in the sentence.
impl From<&crate::Error> for Malformed {
    fn from(error: &crate::Error) -> Self {
        let path = error.field("key").map(|key| key.split('.').map(str::to_owned).collect());
        let others = error.fields().filter(|(name, _)| *name != "key");
        let others: Vec<_> = others.map(|(name, value)| format!("{name}: {value}")).collect();
        let mut detail = error.detail().to_owned();
        if !others.is_empty() {
            detail = format!("{detail} ({})", others.join(", "));
        }
        Self { path: path.unwrap_or_default(), detail }
    }
}

struct Erased<P>(P);

struct Source<P: Plugin>(Arc<Erased<P>>, P::Source, Needs);
/// With the store that it commits to, if it does.
struct Target<P: Plugin>(Arc<Erased<P>>, P::Target, Option<P::Store>);
struct Store<P: Plugin>(Arc<Erased<P>>, P::Store, Keep);

impl<P: Plugin> Bus for Erased<P> {
    fn source(
        self: Arc<Self>,
        section: Value,
        needs: Needs,
    ) -> Result<Arc<dyn SourceEnd>, Malformed> {
        let section = parse(section)?;
        self.0.check_source(&section, &needs).map_err(|error| Malformed::from(&error))?;
        Ok(Arc::new(Source(self, section, needs)))
    }

    fn target(self: Arc<Self>, section: Value) -> Result<Arc<dyn TargetEnd>, Malformed> {
        Ok(Arc::new(Target(self, parse(section)?, None)))
    }

    fn target_with_state(
        self: Arc<Self>,
        target: Value,
        state: Value,
    ) -> Result<Option<Arc<dyn TargetEnd>>, Malformed> {
        if !P::COMMITS {
            return Ok(None);
        }
        Ok(Some(Arc::new(Target(self, parse(target)?, Some(parse(state)?)))))
    }

    fn state(
        self: Arc<Self>,
        section: Value,
        keep: Keep,
    ) -> Result<Arc<dyn Build<dyn StateStore>>, Malformed> {
        Ok(Arc::new(Store(self, parse(section)?, keep)))
    }

    fn shares(&self) -> bool {
        P::SHARES
    }

    fn wants_tokens(&self) -> Option<WantsTokens> {
        self.0.wants_tokens()
    }

    fn give_tokens(&self, tokens: Arc<dyn Tokens>) {
        self.0.give_tokens(tokens);
    }

    fn files(&self) -> Option<Arc<dyn Files>> {
        self.0.files()
    }

    fn file_store(&self, bucket: &str, create: bool) -> Option<Arc<dyn FileStore>> {
        self.0.file_store(bucket, create)
    }
}

#[async_trait]
impl<P: Plugin> Build<dyn Input> for Source<P> {
    async fn build(&self) -> Result<Box<dyn Input>> {
        self.0.0.input(&self.1, &self.2).await
    }

    fn answers_producers(&self) -> bool {
        self.0.0.answers_producers(&self.1)
    }
}

#[async_trait]
impl<P: Plugin> SourceEnd for Source<P> {
    async fn write_back(&self) -> Result<Box<dyn Output>> {
        self.0.0.write_back(&self.1).await
    }
}

#[async_trait]
impl<P: Plugin> Build<dyn Output> for Target<P> {
    async fn build(&self) -> Result<Box<dyn Output>> {
        match &self.2 {
            Some(store) => self.0.0.output_with_store(&self.1, store).await,
            None => self.0.0.output(&self.1).await,
        }
    }
}

#[async_trait]
impl<P: Plugin> TargetEnd for Target<P> {
    async fn read_back(&self, name: &str, begin: Begin) -> Result<ReadBack> {
        self.0.0.read_back(&self.1, name, begin).await
    }
}

#[async_trait]
impl<P: Plugin> Build<dyn StateStore> for Store<P> {
    async fn build(&self) -> Result<Box<dyn StateStore>> {
        self.0.0.store(&self.1, self.2).await
    }
}
