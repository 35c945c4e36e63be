//! A log that cannot tell what was before, read on after a crash: one doubt, resolved once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use mailbridge_core::{
    Delivery, Disposition, Input, Position, Receipt, Result, SeenBefore, Settle, Settled,
    adapter::Redeliver, plugin::Build,
};
use mailbridge_engine::{Requests, health::Health};
use mailbridge_testkit::simulation::{Bus, Fault, Mailroom, Power, Sight};
use tokio_util::sync::CancellationToken;

use super::{HIDDEN, LEASE, ends::outcomes, request, worker};

/// A log of one message, of which nobody knows whether it was tried.
struct Log(Mutex<Option<Delivery>>);

struct Read(Option<Delivery>);

struct Nothing;

#[async_trait]
impl Settle for Nothing {
    async fn settle(self: Box<Self>, _: Disposition) -> Result<Settled> {
        Ok(Settled::Yes)
    }

    async fn extend(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Input for Read {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        Ok(self.0.take())
    }
}

#[async_trait]
impl Build<dyn Input> for Log {
    async fn build(&self) -> Result<Box<dyn Input>> {
        Ok(Box::new(Redeliver::new(Read(self.0.lock().unwrap().take()), 8)))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_not_to_have_happened_is_not_looked_for_at_each_try() {
    let (bus, power) = (Bus::new(LEASE), Power::forever());
    let room = Mailroom::new(1, HIDDEN, Sight::LooksFirst, &[(Fault::Refused, 100)]);
    let log = Log(Mutex::new(Some(Delivery {
        message: request(0, "a@x"),
        position: Position::new("log:1"),
        seen_before: SeenBefore::Maybe,
        receipt: Receipt::new(Nothing),
    })));
    let requests = Requests { input: Arc::new(log), ..worker(&bus, &room, &power, &Health::new()) };
    let heal = async {
        // Refused time and again for many settle times.
        tokio::time::sleep(Duration::from_mins(15)).await;
        let looks = room.looks();
        assert!((1..10).contains(&looks), "the doubt is resolved: {looks}");
        room.heal();
        tokio::time::sleep(Duration::from_mins(15)).await;
        assert_eq!(room.looks(), looks, "and stays resolved");
    };
    let run = requests.run(CancellationToken::new());
    let (ended, ()) = tokio::join!(run, heal);
    ended.expect("it ends with its log");
    assert_eq!(outcomes(&bus).len(), 1);
    assert_eq!(room.copies().values().copied().collect::<Vec<_>>(), [1]);
}
