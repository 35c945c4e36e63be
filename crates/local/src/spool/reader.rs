//! Hands out what waits in a spool, oldest first.
//!
//! What waited when the spool was opened may have been worked on before a crash, and says so: the
//! mailbox is then asked before anything is sent.

use std::collections::VecDeque;

use async_trait::async_trait;
use mailbridge_core::{
    Delivery, Disposition, Input, Position, Receipt, Result, SeenBefore, Settle, Settled,
};

use super::{Change, POSITION, Server, Spool, table::Waiting};
use crate::record;

/// What the message's address says.
const ADDRESS: &str = "http";

/// Reads a spool, and answers producers meanwhile.
pub(crate) struct Reader {
    spool: Spool,
    /// What was read ahead.
    ahead: VecDeque<Waiting>,
    /// The number after the last one read.
    from: u64,
    /// Below it stands what was there at the beginning.
    old: u64,
    _server: Server,
}

impl Reader {
    /// A reader from the oldest on. Waits for those who still hold deliveries of the one before.
    pub(crate) async fn new(spool: Spool, server: Server) -> Result<Self> {
        spool.0.out.wait_for_none().await?;
        let old = spool.0.next();
        Ok(Self { spool, ahead: VecDeque::new(), from: 0, old, _server: server })
    }

    fn hand_out(&self, Waiting { number, id, line }: Waiting) -> Delivery {
        let text = line.strip_suffix(b"\n").map_or_else(|| line.clone(), |it| line.slice_ref(it));
        let mut message = record::read(&text);
        message.address = Some(ADDRESS.to_owned());
        let position = Position::new(format!("{POSITION}{id}"));
        let seen_before = if number < self.old { SeenBefore::Maybe } else { SeenBefore::No };
        self.spool.0.out.add();
        let ticket = Ticket { spool: self.spool.clone(), number, id };
        Delivery { message, position, seen_before, receipt: Receipt::new(ticket) }
    }
}

#[async_trait]
impl Input for Reader {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            if let Some(waiting) = self.ahead.pop_front() {
                return Ok(Some(self.hand_out(waiting)));
            }
            let added = self.spool.0.added.notified();
            let (table, from) = (self.spool.0.clone(), self.from);
            let found = crate::blocking(move || table.waiting(from)).await?;
            match found.last() {
                Some(last) => {
                    self.from = last.number + 1;
                    self.ahead = found.into();
                }
                None => added.await,
            }
        }
    }
}

/// The receipt of one request. Dropped unsettled, it leaves the request in the spool.
struct Ticket {
    spool: Spool,
    number: u64,
    id: String,
}

#[async_trait]
impl Settle for Ticket {
    async fn settle(self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        let rejected = match disposition {
            Disposition::Done => false,
            Disposition::Rejected => true,
            // `Redeliver` keeps those; without it, the next reader meets the request again.
            Disposition::Again { .. } => return Ok(Settled::Yes),
        };
        let change = Change::End { number: self.number, id: self.id.clone(), rejected };
        self.spool.change(change).await.map(|_| Settled::Yes)
    }

    /// A spool has no deadline.
    async fn extend(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.spool.0.out.remove();
    }
}
