//! The bus with no server: files, standard input and output, and an embedded state store.
//!
//! One line is one message ([`record`]). A file is read like a log: what is settled is remembered
//! over a restart, and what was handed out before a crash says so ([`Source::remember`]). What is
//! published is on the disk when `publish` returns, and a message that is published again, also
//! after a crash, stands there once.
//!
//! It serves one process: the directory that it keeps positions and state in is locked, and so is
//! each file that it writes. For a pool of workers there are buses with a server.

mod back;
mod batches;
mod config;
mod database;
mod error;
mod files;
mod input;
mod output;
mod position;
pub mod record;
mod shared;
mod spool;
mod state;
mod store;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use mailbridge_core::{
    Code, Error, Input, Keep, Needs, Output, Result, StateStore,
    plugin::{Begin, Plugin, ReadBack},
};

pub use config::{Config, Http, Lines, Location, Post, Source, Store, Target};
use position::Log;
use spool::{Access, Server, Spool};

/// The database's name in `dir`.
const DATABASE: &str = "mailbridge.redb";

/// A configured bus of files.
pub struct Local {
    dir: PathBuf,
    /// The logs that nothing else remembers.
    in_memory: Mutex<BTreeMap<String, Arc<Log>>>,
}

impl Local {
    fn database(&self) -> PathBuf {
        self.dir.join(DATABASE)
    }

    /// Where requests wait that are posted to an address.
    async fn spool(&self, address: SocketAddr) -> Result<Spool> {
        let file = spool::file(&self.dir, address);
        blocking(move || Spool::open(&file)).await
    }

    async fn lines(&self, lines: &Lines, needs: &Needs) -> Result<Box<dyn Input>> {
        let path = match &lines.path {
            Location::Standard => return input::stdin(needs).await,
            Location::File(path) => path,
        };
        let name = config::name_in(&self.dir, path);
        let log = if lines.remember {
            let database = self.database();
            blocking(move || store::Store::log(&store::Store::open(&database)?, name)).await?
        } else {
            self.log_in_memory(&name)
        };
        input::file(log, path, lines.follow, needs).await
    }

    /// A log that is remembered as long as this bus is there.
    fn log_in_memory(&self, name: &str) -> Arc<Log> {
        let mut logs = self.in_memory.lock().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(name.to_owned());
        Arc::clone(log.or_insert_with(|| Arc::new(Log::in_memory(name.to_owned()))))
    }
}

#[async_trait]
impl Plugin for Local {
    const NAME: &'static str = "local";
    type Config = Config;
    type Source = Source;
    type Target = Target;
    type Store = Store;

    fn new(_name: &str, config: Config) -> Result<Self> {
        if config.dir.as_os_str().is_empty() {
            return Err(error::setting("dir", "expected a directory, such as .mailbridge"));
        }
        Ok(Self { dir: config.dir, in_memory: Mutex::default() })
    }

    /// Any source fits any need: a file has no deadline.
    fn check_source(&self, _source: &Source, _needs: &Needs) -> Result<()> {
        Ok(())
    }

    /// Those who post are answered from the start: what they post is on the disk, and waits.
    fn answers_producers(&self, source: &Source) -> bool {
        matches!(source, Source::Http(_))
    }

    async fn input(&self, source: &Source, needs: &Needs) -> Result<Box<dyn Input>> {
        match source {
            Source::Lines(lines) => self.lines(lines, needs).await,
            Source::Http(Http { address, token, bytes_max }) => {
                let spool = self.spool(*address).await?;
                let access = Access { token: token.clone(), bytes_max: *bytes_max };
                let server = Server::start(*address, spool.clone(), access).await?;
                Ok(input::as_asked(spool::Reader::new(spool, server).await?, needs))
            }
        }
    }

    async fn output(&self, target: &Target) -> Result<Box<dyn Output>> {
        match target.clone() {
            Target::Lines(location) => {
                Ok(Box::new(blocking(move || output::Lines::open(&location)).await?))
            }
            Target::Post(post) => Ok(Box::new(output::Posts::new(*post).await?)),
            Target::Outcomes(address) => {
                Ok(Box::new(spool::Outcomes::new(self.spool(address).await?)))
            }
        }
    }

    async fn store(&self, store: &Store, keep: Keep) -> Result<Box<dyn StateStore>> {
        let file = store.path.clone().unwrap_or_else(|| self.database());
        let store = blocking(move || store::Store::open(&file)).await?;
        Ok(Box::new(state::State::new(store, keep)))
    }

    async fn read_back(&self, target: &Target, name: &str, begin: Begin) -> Result<ReadBack> {
        match target {
            Target::Lines(Location::Standard) => Err(error::setting(
                "path",
                "standard output keeps nothing that could be read back; give a file",
            )),
            Target::Lines(Location::File(path)) => back::read(&self.dir, path, name, begin).await,
            Target::Post(_) => {
                Err(error::setting("post", "what was posted cannot be read back; give a file"))
            }
            Target::Outcomes(_) => Err(error::setting(
                "http",
                "what is asked for over HTTP cannot be read back; give a file",
            )),
        }
    }

    async fn write_back(&self, source: &Source) -> Result<Box<dyn Output>> {
        match source {
            Source::Lines(Lines { path: Location::File(path), .. }) => {
                let path = path.clone();
                let output = blocking(move || output::Lines::beside(&path)).await?;
                Ok(Box::new(output))
            }
            Source::Lines(_) => Err(error::setting(
                "path",
                "nobody can write to this process's standard input; give a file",
            )),
            Source::Http(_) => Err(error::setting(
                "http",
                "a request over HTTP can only be made anew, by whoever made it",
            )),
        }
    }
}

/// Does on a blocking thread what waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(Error::transient(Code::Internal, "work on a file was given up before its end"))
    })
}

#[cfg(test)]
mod tests;
