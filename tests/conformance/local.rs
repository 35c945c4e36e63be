//! Files, in a directory of their own for each promise.
//!
//! Requests are appended and outcomes are read as text, as a stranger would.

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mailbridge_core::{
    Code, Error, Input, Keep, Message, Needs, Output, Result, StateStore,
    plugin::{Begin, Plugin, ReadBack},
};
use mailbridge_local::{Local, Source, Store, Target, record};
use mailbridge_testkit::conformance::World;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

mailbridge_testkit::promises!(FilesWorld::new());
mailbridge_testkit::promises_of_reading_back!(FilesWorld::new());

/// A file for the source and one for the target.
struct FilesWorld {
    dir: TempDir,
    local: Mutex<Arc<Local>>,
}

impl FilesWorld {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("requests.ndjson"), "").unwrap();
        let local = Mutex::new(bus(&dir));
        Self { dir, local }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn slot(&self) -> MutexGuard<'_, Arc<Local>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source(&self) -> Source {
        let source = json!({ "path": self.path("requests.ndjson"), "follow": true });
        serde_json::from_value(source).unwrap()
    }

    fn target(&self) -> Target {
        serde_json::from_value(json!({ "path": self.path("outcomes.ndjson") })).unwrap()
    }

    fn local(&self) -> Arc<Local> {
        Arc::clone(&self.slot())
    }
}

fn bus(dir: &TempDir) -> Arc<Local> {
    let config = json!({ "dir": dir.path().join("state") });
    Local::new("files", serde_json::from_value(config).unwrap()).unwrap().into()
}

/// The line that a stranger writes: the payload itself, or a record where there are headers.
fn line(message: &Message) -> String {
    let payload = std::str::from_utf8(&message.payload).unwrap();
    if message.headers.is_empty() && message.id.is_none() {
        return payload.to_owned();
    }
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in message.headers.iter() {
        let values = headers.entry(name).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(std::str::from_utf8(value).unwrap().into());
    }
    let mut record = json!({ "headers": headers, "payload": payload });
    if let Some(id) = &message.id {
        record["id"] = id.as_str().into();
    }
    record.to_string()
}

fn broken(what: &'static str, cause: &dyn std::fmt::Display) -> Error {
    Error::transient(Code::Internal, what).with("cause", cause)
}

#[async_trait]
impl World for FilesWorld {
    fn comes_back_within(&self) -> Duration {
        Duration::from_millis(700)
    }

    fn drops_repeats(&self) -> bool {
        true
    }

    async fn input(&self, needs: Needs) -> Result<Box<dyn Input>> {
        let (source, local) = (self.source(), self.local());
        local.check_source(&source, &needs)?;
        local.input(&source, &needs).await
    }

    async fn publish(&self, message: Message) -> Result<()> {
        let file = std::fs::File::options().append(true).open(self.path("requests.ndjson"));
        let text = line(&message) + "\n";
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|cause| broken("the stranger cannot write", &cause))
    }

    async fn output(&self) -> Result<Box<dyn Output>> {
        self.local().output(&self.target()).await
    }

    async fn published(&self) -> Result<Vec<Message>> {
        let text = std::fs::read(self.path("outcomes.ndjson"))
            .map_err(|cause| broken("the target cannot be read", &cause))?;
        let lines = text.strip_suffix(b"\n").unwrap_or(&text).split(|byte| *byte == b'\n');
        Ok(lines.map(|line| record::read(&Bytes::copy_from_slice(line))).collect())
    }

    async fn read_back(&self, name: &str, begin: Begin) -> Result<ReadBack> {
        self.local().read_back(&self.target(), name, begin).await
    }

    async fn write_back(&self) -> Result<Box<dyn Output>> {
        self.local().write_back(&self.source()).await
    }

    async fn store(&self) -> Result<Box<dyn StateStore>> {
        self.local().store(&Store::default(), Keep::Forever).await
    }

    /// Without a server, what can restart is the program.
    async fn restart(&self) -> Result<()> {
        *self.slot() = bus(&self.dir);
        Ok(())
    }
}
