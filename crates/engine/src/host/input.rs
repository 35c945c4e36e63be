//! An input's host: one caller, who waits for as long as it takes.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use mailbridge_core::{Delivery, Error, Input, Result, plugin::Build};
use tokio::time::Instant;

use super::pause;
use crate::health::Reporter;

/// An input that is rebuilt when it fails.
pub struct InputHost {
    pipeline: String,
    /// Goes before what it is built from, which may wait for it at the end of the program.
    input: Option<Box<dyn Input>>,
    /// A build under way; kept over calls, so that a caller that looks away does not begin it anew.
    building: Option<BoxFuture<'static, Result<Box<dyn Input>>>>,
    build: Arc<dyn Build<dyn Input>>,
    health: Reporter,
    failures: u32,
    /// Not before this.
    retry_at: Option<Instant>,
}

impl InputHost {
    /// A host that has built nothing yet.
    pub fn new(pipeline: &str, build: Arc<dyn Build<dyn Input>>, health: Reporter) -> Self {
        let pipeline = pipeline.to_owned();
        Self { pipeline, build, health, input: None, building: None, failures: 0, retry_at: None }
    }

    /// The next delivery, however long it takes; nothing when the input has ended for good. Cancel
    /// safe: all progress is kept in `self`.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            let Some(input) = &mut self.input else {
                self.build().await;
                continue;
            };
            match input.next().await {
                Ok(Some(delivery)) => {
                    self.failures = 0;
                    return Some(delivery);
                }
                Ok(None) => return None,
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Takes no more, and gives back what the input has read ahead. See [`Input::stop`].
    pub async fn stop(&mut self) {
        self.building = None;
        if let Some(input) = &mut self.input {
            input.stop().await;
        }
    }

    /// For as long as nothing may be taken: sees to it that producers who call the input find it
    /// there. Other inputs are left alone; who joins a group of readers takes work from the others.
    /// Never ends. Cancel safe.
    pub async fn stand_by(&mut self) {
        while self.input.is_none() && self.build.answers_producers() {
            self.build().await;
        }
        std::future::pending::<()>().await;
    }

    /// Builds the input once, when it is time to.
    async fn build(&mut self) {
        if let Some(at) = self.retry_at {
            tokio::time::sleep_until(at).await;
            self.retry_at = None;
        }
        let source = Arc::clone(&self.build);
        let building =
            self.building.get_or_insert_with(|| async move { source.build().await }.boxed());
        let result = building.await;
        self.building = None;
        match result {
            Ok(input) => {
                self.input = Some(input);
                self.health.bus(Ok(()));
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &Error) {
        self.input = None;
        self.failures += 1;
        let pause = pause(self.failures);
        self.retry_at = Some(Instant::now() + pause);
        self.health.bus(Err(error.clone()));
        let (code, retry_in_ms) = (error.code(), pause.as_millis());
        if self.failures == 1 {
            let cure = code.cure();
            tracing::error!(pipeline = %self.pipeline, %code, %error, cure, retry_in_ms,
                "the input failed and is built anew");
        } else {
            tracing::warn!(pipeline = %self.pipeline, %code, %error, retry_in_ms,
                "the input failed again");
        }
    }
}
