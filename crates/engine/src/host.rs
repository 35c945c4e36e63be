//! Hosts the ports of a bus: builds them, uses them, drops them after an error, and builds others
//! after a pause. A plugin has no half-open state to get wrong, because it never lives on after an
//! error.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use mailbridge_core::{Delivery, Error, Input, Message, Output, Result, Verdict, plugin::Build};
use tokio::{sync::Mutex, time::Instant};

use crate::{backoff, health::Reporter};

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// An input that is rebuilt when it fails.
pub struct InputHost {
    pipeline: String,
    build: Arc<dyn Build<dyn Input>>,
    health: Reporter,
    input: Option<Box<dyn Input>>,
    /// A build under way; kept over calls, so that a caller that looks away does not begin it anew.
    building: Option<BoxFuture<'static, Result<Box<dyn Input>>>>,
    failures: u32,
    /// Not before this.
    retry_at: Option<Instant>,
}

/// What came from an input.
pub enum Next {
    /// A delivery.
    Delivery(Delivery),
    /// The input has ended for good.
    End,
}

impl InputHost {
    /// A host that has built nothing yet.
    pub fn new(pipeline: &str, build: Arc<dyn Build<dyn Input>>, health: Reporter) -> Self {
        let pipeline = pipeline.to_owned();
        Self { pipeline, build, health, input: None, building: None, failures: 0, retry_at: None }
    }

    /// The next thing, however long it takes. Cancel safe: all progress is kept in `self`.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(at) = self.retry_at {
                tokio::time::sleep_until(at).await;
                self.retry_at = None;
            }
            let Some(input) = &mut self.input else {
                let source = Arc::clone(&self.build);
                let building = self
                    .building
                    .get_or_insert_with(|| async move { source.build().await }.boxed());
                let result = building.await;
                self.building = None;
                match result {
                    Ok(input) => {
                        self.input = Some(input);
                        self.health.bus(Ok(()));
                    }
                    Err(error) => self.failed(&error),
                }
                continue;
            };
            match input.next().await {
                Ok(Some(delivery)) => {
                    self.failures = 0;
                    return Next::Delivery(delivery);
                }
                Ok(None) => return Next::End,
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        self.input = None;
        self.failures += 1;
        let pause = backoff::pause(self.failures, PAUSE_MIN, PAUSE_MAX);
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

/// An output that is rebuilt when it fails. Many may publish at once.
pub struct OutputHost {
    build: Arc<dyn Build<dyn Output>>,
    output: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    output: Option<Arc<dyn Output>>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl OutputHost {
    /// A host that has built nothing yet.
    pub fn new(build: Arc<dyn Build<dyn Output>>) -> Self {
        Self { build, output: Mutex::default() }
    }

    /// Publishes a message; an error leaves it to the caller to come again.
    pub async fn publish(&self, message: Message) -> Result<()> {
        let output = self.output().await?;
        let published = output.publish(message).await;
        let instance_is_bad =
            matches!(&published, Err(error) if error.verdict() != Verdict::Permanent);
        if instance_is_bad {
            let mut slot = self.output.lock().await;
            if slot.output.as_ref().is_some_and(|current| Arc::ptr_eq(current, &output)) {
                slot.failed();
            }
        }
        published
    }

    async fn output(&self) -> Result<Arc<dyn Output>> {
        let mut slot = self.output.lock().await;
        if let Some(output) = &slot.output {
            return Ok(Arc::clone(output));
        }
        if let Some(at) = slot.retry_at.take() {
            tokio::time::sleep_until(at).await;
        }
        match self.build.build().await {
            Ok(output) => {
                let output: Arc<dyn Output> = Arc::from(output);
                slot.output = Some(Arc::clone(&output));
                slot.failures = 0;
                Ok(output)
            }
            Err(error) => {
                slot.failed();
                Err(error)
            }
        }
    }
}

impl Slot {
    fn failed(&mut self) {
        self.output = None;
        self.failures += 1;
        self.retry_at = Some(Instant::now() + backoff::pause(self.failures, PAUSE_MIN, PAUSE_MAX));
    }
}
