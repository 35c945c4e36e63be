//! The bus of `mailbridge send`: one message in memory, whose dead letter nobody needs.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use mailbridge_core::{
    Delivery, Disposition, Input, Message, Output, Position, Receipt, Result, SeenBefore, Settle,
    Settled, adapter::Redeliver, plugin::Build,
};

/// A source that has one message and then ends.
pub struct Source(Mutex<Option<Delivery>>);

impl Source {
    /// `again`: an earlier process may have had the same message.
    pub fn new(message: Message, again: bool) -> Self {
        let seen_before = if again { SeenBefore::Maybe } else { SeenBefore::No };
        let position = Position::new("command line");
        let receipt = Receipt::new(InMemory);
        Self(Mutex::new(Some(Delivery { message, position, seen_before, receipt })))
    }
}

#[async_trait]
impl Build<dyn Input> for Source {
    async fn build(&self) -> Result<Box<dyn Input>> {
        let delivery = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(Redeliver::new(Once(delivery), 1)))
    }
}

struct Once(Option<Delivery>);

#[async_trait]
impl Input for Once {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        Ok(self.0.take())
    }
}

/// Nothing outlives the process.
struct InMemory;

#[async_trait]
impl Settle for InMemory {
    async fn settle(self: Box<Self>, _: Disposition) -> Result<Settled> {
        Ok(Settled::Yes)
    }

    async fn extend(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The person at the command line has the original.
pub struct Nowhere;

#[async_trait]
impl Build<dyn Output> for Nowhere {
    async fn build(&self) -> Result<Box<dyn Output>> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Output for Nowhere {
    async fn publish(&self, _: Message) -> Result<()> {
        Ok(())
    }
}
