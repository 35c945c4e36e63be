//! Messages to files and to standard output: one line each ([`crate::record`]).
//!
//! Many publish at once; they are written together and confirmed together. A message whose id was
//! written before is confirmed and not written again, among the last [`recent::IDS_MAX`] ids of a
//! file; those that stand at its end are read when it is opened, so a crash makes no difference.

mod beside;
mod file;
mod post;
mod recent;
mod stdout;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mailbridge_core::{Message, Output, Result};

pub(crate) use self::post::Posts;
use self::recent::Recent;
use crate::{
    batches::{Batched, Queue, submit},
    config::Location,
    error, record,
    shared::{Handle, Shared},
};

pub(crate) static OPEN: Shared<Writer> = Shared::new();

/// Writes messages as lines.
pub(crate) struct Lines(Handle<Writer>);

impl Lines {
    /// Opens a target, or shares it where it is open. Blocks.
    pub(crate) fn open(target: &Location) -> Result<Self> {
        let handle = match target {
            Location::Standard => OPEN.get(Path::new("-"), || {
                Ok(Writer::new(Box::new(stdout::Stdout), Recent::default()))
            }),
            Location::File(path) => {
                let path = whole(path)?;
                OPEN.get(&path, || {
                    let (file, recent) = file::Appended::open(&path)?;
                    Ok(Writer::new(Box::new(file), recent))
                })
            }
        };
        handle.map(Self)
    }

    /// Opens a file that others write too. Blocks.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let path = whole(path)?;
        let handle = OPEN.get(&path, || {
            let (file, recent) = beside::Beside::open(&path)?;
            Ok(Writer::new(Box::new(file), recent))
        });
        handle.map(Self)
    }
}

#[async_trait]
impl Output for Lines {
    async fn publish(&self, message: Message) -> Result<()> {
        submit(&self.0, message).await
    }
}

/// Where bytes go.
trait Sink: Send {
    /// Appends all of them, durably, or says that none are there for certain.
    fn append(&mut self, lines: &[u8]) -> Result<()>;
}

/// One target, shared by all who publish to it.
pub(crate) struct Writer {
    state: Mutex<State>,
    queue: Queue<Message, ()>,
}

struct State {
    sink: Box<dyn Sink>,
    recent: Recent,
}

impl Writer {
    fn new(sink: Box<dyn Sink>, recent: Recent) -> Self {
        Self { state: Mutex::new(State { sink, recent }), queue: Queue::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batched for Writer {
    type Item = Message;
    type Done = ();

    fn queue(&self) -> &Queue<Message, ()> {
        &self.queue
    }

    fn run(&self, messages: Vec<Message>) -> Vec<Result<()>> {
        let State { sink, recent } = &mut *self.state();
        let mut lines = Vec::new();
        let mut fresh = Vec::new();
        let mut results = Vec::with_capacity(messages.len());
        for message in &messages {
            if let Some(id) = &message.id {
                if recent.knows(id) || fresh.contains(id) {
                    results.push(Ok(()));
                    continue;
                }
                fresh.push(id.clone());
            }
            results.push(record::write(message, &mut lines));
        }
        if lines.is_empty() {
            return results;
        }
        if let Err(error) = sink.append(&lines) {
            return vec![Err(error); messages.len()];
        }
        for id in &fresh {
            recent.add(id);
        }
        results
    }
}

/// The one name of a file that may not be there yet. Makes its directory.
fn whole(path: &Path) -> Result<PathBuf> {
    let failed = |cause| error::file("a file cannot be written", path, &cause);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let Some(name) = path.file_name() else {
        return Err(error::kind("this is not the name of a file", path));
    };
    // Through links, so that two names of one file are one.
    let whole = dir.canonicalize().map_err(failed)?.join(name);
    Ok(whole.canonicalize().unwrap_or(whole))
}
