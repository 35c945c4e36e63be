//! Files the other way round: what was written to a target is read, and what a source reads is
//! appended to.
//!
//! Meant to work beside the process that runs the pipeline, which has locked its directory and its
//! targets. So how far a target was read back stands in a database of its own, and a source's file
//! is appended to without a lock, as its producers do.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use mailbridge_core::{
    Delivery, Input, Result,
    plugin::{Begin, ReadBack},
};

use crate::{config, input, store::Store};

/// Reads what stands in a file, in the name of `name`.
pub(crate) async fn read(dir: &Path, path: &Path, name: &str, begin: Begin) -> Result<ReadBack> {
    // Nothing was ever written there.
    if !path.exists() {
        return Ok(ReadBack { input: Box::new(Nothing), count: Some(0) });
    }
    let database = database(dir, name);
    let known_by = config::name_in(dir, path);
    let log = crate::blocking(move || Store::log(&Store::open(&database)?, known_by)).await?;
    if begin == Begin::Anew {
        log.begin_anew();
    }
    Ok(ReadBack { input: input::now(log, path).await?, count: None })
}

/// Such as `.mailbridge/mailbridge-replay-orders.redb`.
fn database(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.redb"))
}

/// An input that has ended.
struct Nothing;

#[async_trait]
impl Input for Nothing {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        Ok(None)
    }
}
