//! One broker for all tests of a process: a broker takes seconds to start, and topics keep tests
//! apart well enough.
//!
//! It lives as long as the process, and is killed with it. What it has stored cannot be removed
//! then, so the next one to start removes it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{OnceCell, OwnedRwLockReadGuard, RwLock};

use super::KafkaServer;
use crate::child::LaunchError;

/// Where the stores of this process are.
pub(super) fn folder() -> Result<PathBuf, LaunchError> {
    let all = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/kafka"));
    let mine = all.join(std::process::id().to_string());
    fs::create_dir_all(&mine)?;
    for other in fs::read_dir(&all)?.filter_map(Result::ok) {
        let alive = PathBuf::from("/proc").join(other.file_name()).exists();
        if !alive && other.path() != mine {
            // somebody else may be at it too
            fs::remove_dir_all(other.path()).ok();
        }
    }
    Ok(mine)
}

/// A broker that others use too. Each keeps it from being restarted with [`SharedKafka::in_use`];
/// whoever wants to restart it waits until nobody does.
#[derive(Debug)]
pub struct SharedKafka {
    broker: String,
    server: Arc<RwLock<KafkaServer>>,
}

/// As long as this is there, nobody restarts the broker.
pub type InUse = OwnedRwLockReadGuard<KafkaServer>;

/// The broker of this process, started when it is first asked for.
pub async fn shared() -> Result<&'static SharedKafka, LaunchError> {
    static SHARED: OnceCell<SharedKafka> = OnceCell::const_new();
    let start = async || {
        let server = KafkaServer::start().await?;
        Ok(SharedKafka { broker: server.broker(), server: Arc::new(RwLock::new(server)) })
    };
    SHARED.get_or_try_init(start).await
}

impl SharedKafka {
    /// Where clients connect to.
    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// Keeps it from being restarted by somebody else.
    pub async fn in_use(&self) -> InUse {
        Arc::clone(&self.server).read_owned().await
    }

    /// Stops it and starts it again, once nobody else uses it. Let go of `in_use` first.
    pub async fn restart(&self) -> Result<(), LaunchError> {
        let mut server = self.server.write().await;
        server.stop().await?;
        server.start_again().await
    }
}
