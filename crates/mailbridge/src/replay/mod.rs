//! Dead letters back to where requests come from.
//!
//! ```text
//! next -> choose -> publish, confirmed -> settle `Done`
//! ```
//!
//! Forget last: a letter is settled only after its request is stored again. Between the two nothing
//! is remembered but that the letter was out, so after a crash its request may be put back once
//! more. Then it has the same key and, within the bus's window, the same id; and it is in doubt, so
//! that whoever takes it up looks first.
//!
//! There is no retry here: the command is run again.

mod filter;
mod progress;
mod tally;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use mailbridge_core::{
    Code, Delivery, Disposition, Error, Message, Output, Receipt, SeenBefore, Verdict,
    contract::Replay, plugin::ReadBack,
};
use tokio::task::JoinSet;

pub use filter::Filter;
pub use tally::{Format, Told};

use self::{filter::Choice, progress::Progress, tally::Tally};
use crate::{exit::Exit, run::signals::Signals};

/// How many letters are being put back at once. Each costs two confirmations of a bus.
const AT_ONCE: usize = 32;

/// What stays is there for the next replay at once.
const AGAIN: Disposition = Disposition::Again { after: Duration::ZERO };

/// One replay.
pub struct Run {
    /// The letters.
    pub back: ReadBack,
    /// Where they go.
    pub output: Arc<dyn Output>,
    /// Which of them.
    pub filter: Filter,
    /// How many at most.
    pub limit: Option<u64>,
    /// Whether a letter that was out before may have been put back then.
    pub seen_are_doubtful: bool,
    /// Whether any may have been put back before.
    pub all_are_doubtful: bool,
    /// How it is told.
    pub told: Told,
}

/// Why no more is taken.
enum Stop {
    /// All that was there, or all that was asked for.
    End,
    Signal(u8),
    Failed(Error),
}

/// What became of a letter that was to be put back.
enum Put {
    Back,
    /// Its request is stored; that the letter is done could not be noted.
    BackUnnoted(Error),
    /// It can never be put back as it is.
    Unfit(Error, Receipt),
    Failed(Error),
}

impl Run {
    /// Puts back, tells how far it is, and how it ended.
    pub async fn run(mut self, mut signals: Signals) -> Exit {
        let mut work = Work {
            tally: Tally::default(),
            progress: Progress::new(self.back.count, self.told.dry_run),
            left: Vec::new(),
            putting: JoinSet::new(),
            failed: None,
        };
        let stop = self.take(&mut work, &mut signals).await;
        // Before what is under way ends, so that what was read ahead is given back with it.
        drop(self.back.input);
        let (signal, failed) = match stop {
            Stop::End => (None, None),
            Stop::Signal(number) => (Some(number), None),
            Stop::Failed(error) => (None, Some(error)),
        };
        work.failed = failed;
        work.finish().await;
        self.told.summary(&work.tally, signal.is_some());
        if let Some(error) = &work.failed {
            let code = error.code();
            eprintln!("stopped: {code}: {error}\n{}; then run this again", code.cure());
        }
        match signal {
            _ if work.failed.is_some() => Exit::Failed,
            Some(number) => Exit::Signal(number),
            None if work.tally.is_complete() => Exit::Done,
            None => Exit::Failed,
        }
    }

    /// Takes letters until there is a reason not to.
    async fn take(&mut self, work: &mut Work, signals: &mut Signals) -> Stop {
        let mut taken = 0;
        loop {
            work.wait_for_room().await;
            if let Some(error) = work.failed.take() {
                return Stop::Failed(error);
            }
            if self.limit.is_some_and(|limit| taken >= limit) {
                return Stop::End;
            }
            let delivery = tokio::select! {
                biased;
                asked = signals.next() => return Stop::Signal(asked.number),
                delivery = self.back.input.next() => delivery,
            };
            match delivery {
                Ok(Some(delivery)) => taken += u64::from(self.judge(delivery, work)),
                Ok(None) => return Stop::End,
                Err(error) => return Stop::Failed(error),
            }
        }
    }

    /// Decides about a letter. Whether it was chosen.
    fn judge(&self, delivery: Delivery, work: &mut Work) -> bool {
        let Delivery { message, position, seen_before, receipt } = delivery;
        work.tally.read += 1;
        let letter = Replay::of(&message);
        let choice = self.filter.choose(letter.as_ref().ok());
        let chosen = choice == Choice::Taken;
        match (choice, letter) {
            (Choice::LeftOut, _) => work.leave(receipt, |tally| tally.left_out += 1),
            (Choice::OtherPipeline, _) => work.leave(receipt, |tally| tally.others += 1),
            (Choice::Taken, Err(error)) => work.leave(receipt, |tally| tally.unfit(&error)),
            (Choice::Taken, Ok(mut letter)) => {
                let again = self.seen_are_doubtful && seen_before != SeenBefore::No;
                if again || self.all_are_doubtful {
                    letter.doubt(Timestamp::now());
                }
                match &letter.message {
                    Err(error) => work.leave(receipt, |tally| tally.unfit(error)),
                    Ok(_) if self.told.dry_run => {
                        self.told.letter(&letter, &position);
                        work.leave(receipt, |tally| tally.replayed += 1);
                    }
                    Ok(message) => {
                        let (output, message) = (Arc::clone(&self.output), message.clone());
                        work.putting.spawn(put(output, message, receipt));
                    }
                }
            }
        }
        work.progress.at(&work.tally);
        chosen
    }
}

/// Puts one request back, and only then lets its letter go.
async fn put(output: Arc<dyn Output>, message: Message, receipt: Receipt) -> Put {
    match output.publish(message).await {
        Err(error) if error.verdict() == Verdict::Permanent => Put::Unfit(error, receipt),
        Err(error) => Put::Failed(error),
        Ok(()) => match receipt.settle(Disposition::Done).await {
            Ok(_) => Put::Back,
            Err(error) => Put::BackUnnoted(error),
        },
    }
}

/// What is under way.
struct Work {
    tally: Tally,
    progress: Progress,
    /// Letters that stay. Held until the end: given back at once they would come again.
    left: Vec<Receipt>,
    putting: JoinSet<Put>,
    failed: Option<Error>,
}

impl Work {
    fn leave(&mut self, receipt: Receipt, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally);
        self.left.push(receipt);
    }

    /// Notes what has ended, and waits while too much is under way.
    async fn wait_for_room(&mut self) {
        while let Some(ended) = self.putting.try_join_next() {
            self.note(ended);
        }
        while self.putting.len() >= AT_ONCE {
            self.wait_for_one().await;
        }
    }

    async fn wait_for_one(&mut self) {
        if let Some(ended) = self.putting.join_next().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<Put, tokio::task::JoinError>) {
        let failed = match ended {
            Ok(Put::Back) => {
                self.tally.replayed += 1;
                None
            }
            Ok(Put::BackUnnoted(error)) => {
                self.tally.replayed += 1;
                Some(error)
            }
            Ok(Put::Unfit(error, receipt)) => {
                self.leave(receipt, |tally| tally.unfit(&error));
                None
            }
            Ok(Put::Failed(error)) => Some(error),
            Err(cause) => Some(
                Error::transient(Code::Internal, "putting a letter back broke off")
                    .with("cause", cause),
            ),
        };
        self.failed = self.failed.take().or(failed);
        self.progress.at(&self.tally);
    }

    /// Ends what is under way, and gives back what stays. After a failure it comes back by itself.
    async fn finish(&mut self) {
        while !self.putting.is_empty() {
            self.wait_for_one().await;
        }
        self.progress.end();
        if self.failed.is_some() {
            return;
        }
        let mut giving = JoinSet::new();
        for receipt in self.left.drain(..) {
            if giving.len() >= AT_ONCE {
                giving.join_next().await;
            }
            giving.spawn(receipt.settle(AGAIN));
        }
        while let Some(given) = giving.join_next().await {
            if let Ok(Err(error)) = given {
                tracing::warn!(%error, "a letter that stays is held for a while");
            }
        }
    }
}
