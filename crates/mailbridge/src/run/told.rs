//! An output that tells the report of what it has published.

use std::sync::Arc;

use async_trait::async_trait;
use mailbridge_core::{
    Commit, Message, Output, Put, Result,
    plugin::{Build, TargetEnd},
};

use super::report::Report;

/// Builds outputs that tell.
pub struct Told {
    build: Arc<dyn TargetEnd>,
    report: Arc<Report>,
}

struct Telling {
    output: Box<dyn Output>,
    report: Arc<Report>,
}

impl Told {
    /// Where events go, and whom to tell of them.
    pub fn new(build: Arc<dyn TargetEnd>, report: Arc<Report>) -> Self {
        Self { build, report }
    }
}

#[async_trait]
impl Build<dyn Output> for Told {
    async fn build(&self) -> Result<Box<dyn Output>> {
        let output = Build::<dyn Output>::build(&*self.build).await?;
        Ok(Box::new(Telling { output, report: Arc::clone(&self.report) }))
    }
}

#[async_trait]
impl Output for Telling {
    async fn publish(&self, message: Message) -> Result<()> {
        let labels = message.labels.clone();
        self.output.publish(message).await?;
        self.report.event(&labels);
        Ok(())
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Put> {
        let messages = commit.messages;
        let put = self.output.commit(commit).await?;
        if matches!(put, Put::Stored(_)) {
            for message in messages {
                self.report.event(&message.labels);
            }
        }
        Ok(put)
    }
}
