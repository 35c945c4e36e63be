//! Reads standard input, or anything else that can be read only once.
//!
//! Nothing of it survives the process, so its deliveries are never doubtful at first. Within the
//! process it is kept apart from the inputs built on it: what one input has read ahead or left
//! unsettled, the next one gets.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
};

use async_trait::async_trait;
use mailbridge_core::{
    Code, Delivery, Disposition, Error, Input, Receipt, Result, SeenBefore, Settle, Settled,
};
use tokio::sync::mpsc;

use super::{
    lines::{Line, Lines},
    message,
};
use crate::position::{Out, new_generation, position, taken};

const NAME: &str = "stdin";
const CHUNK_BYTES: usize = 64 * 1024;
/// How many chunks are read ahead.
const CHUNKS_AHEAD: usize = 4;

type Chunk = io::Result<Vec<u8>>;

/// Something that can be read once.
pub(crate) struct Pipe {
    generation: String,
    /// Gone while an input reads.
    source: Mutex<Option<Source>>,
    /// Lines that were left unsettled.
    left: Mutex<VecDeque<Line>>,
    out: Out,
}

struct Source {
    chunks: mpsc::Receiver<Chunk>,
    lines: Lines,
    ended: bool,
}

impl Pipe {
    /// This process's standard input.
    pub(crate) fn standard() -> Arc<Self> {
        static STANDARD: LazyLock<Arc<Pipe>> = LazyLock::new(|| Pipe::new(io::stdin()));
        Arc::clone(&STANDARD)
    }

    /// Reads on a thread of its own, which nobody waits for: a read of standard input cannot be
    /// given up, and one that waits for a key must not keep the program from ending.
    fn new(read: impl Read + Send + 'static) -> Arc<Self> {
        let (tell, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let failed = tell.clone();
        let thread = thread::Builder::new().name(NAME.to_owned());
        if let Err(cause) = thread.spawn(move || copy(read, &tell)) {
            // The channel is empty, so there is room.
            failed.try_send(Err(cause)).ok();
        }
        let source = Source { chunks, lines: Lines::from(1, 0, false), ended: false };
        Arc::new(Self {
            generation: new_generation(),
            source: Mutex::new(Some(source)),
            left: Mutex::default(),
            out: Out::default(),
        })
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source(&self) -> MutexGuard<'_, Option<Source>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An input on it. There is one at a time; it waits for those who still hold deliveries of the
    /// one before.
    pub(crate) async fn reader(self: Arc<Self>) -> Result<Reader> {
        let source = self.source().take().ok_or_else(|| taken(NAME))?;
        let reader = Reader { pipe: self, source: Some(source) };
        reader.pipe.out.wait_for_none().await?;
        Ok(reader)
    }
}

fn copy(mut read: impl Read, tell: &mpsc::Sender<Chunk>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let chunk = match read.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                chunk.truncate(count);
                Ok(chunk)
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => Err(cause),
        };
        let failed = chunk.is_err();
        if tell.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}

/// Hands out what a pipe gives.
pub(crate) struct Reader {
    pipe: Arc<Pipe>,
    /// There until dropped.
    source: Option<Source>,
}

impl Reader {
    fn hand_out(&self, line: Line, seen_before: SeenBefore) -> Delivery {
        let position = position(NAME, &self.pipe.generation, &line);
        let message = message(&line, NAME);
        self.pipe.out.add();
        let ticket = Ticket { pipe: Arc::clone(&self.pipe), line: Some(line) };
        Delivery { message, position, seen_before, receipt: Receipt::new(ticket) }
    }
}

#[async_trait]
impl Input for Reader {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        let left = self.pipe.left().pop_front();
        if let Some(line) = left {
            return Ok(Some(self.hand_out(line, SeenBefore::Maybe)));
        }
        let Some(source) = &mut self.source else { return Ok(None) };
        loop {
            if let Some(line) = source.lines.next() {
                return Ok(Some(self.hand_out(line, SeenBefore::No)));
            }
            if source.ended {
                return Ok(None);
            }
            match source.chunks.recv().await {
                Some(Ok(chunk)) => source.lines.push(&chunk),
                Some(Err(cause)) => {
                    let detail = "standard input cannot be read";
                    return Err(Error::transient(Code::LocalFile, detail).with("cause", cause));
                }
                None => {
                    source.lines.finish();
                    source.ended = true;
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        *self.pipe.source() = self.source.take();
    }
}

/// The receipt of one line. Dropped unsettled, it leaves the line to the next input.
struct Ticket {
    pipe: Arc<Pipe>,
    /// Gone once settled.
    line: Option<Line>,
}

#[async_trait]
impl Settle for Ticket {
    async fn settle(mut self: Box<Self>, disposition: Disposition) -> Result<Settled> {
        match disposition {
            Disposition::Done | Disposition::Rejected => self.line = None,
            // `Redeliver` keeps those; without it, the next input hands the line out again.
            Disposition::Again { .. } => {}
        }
        Ok(Settled::Yes)
    }

    async fn extend(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.pipe.left().push_back(line);
        }
        self.pipe.out.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(input: &mut Reader) -> Delivery {
        input.next().await.unwrap().expect("a delivery")
    }

    fn text(delivery: &Delivery) -> &[u8] {
        &delivery.message.payload
    }

    #[tokio::test]
    async fn ends_when_it_is_closed_and_the_last_line_needs_no_ending() {
        let mut input = Pipe::new(&b"one\n\ntwo"[..]).reader().await.unwrap();
        let (one, two) = (take(&mut input).await, take(&mut input).await);
        assert_eq!((text(&one), text(&two)), (&b"one"[..], &b"two"[..]));
        assert!(two.position.as_str().starts_with("local:stdin/3@"), "{}", two.position);
        assert_eq!(one.seen_before, SeenBefore::No);
        assert!(input.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_one_input_left_the_next_one_gets() {
        let pipe = Pipe::new(&b"one\ntwo\nthree\n"[..]);
        let mut input = Arc::clone(&pipe).reader().await.unwrap();
        let (one, two) = (take(&mut input).await, take(&mut input).await);
        assert_eq!(one.receipt.settle(Disposition::Done).await.unwrap(), Settled::Yes);
        let place = two.position.clone();
        drop((two, input));
        let mut input = pipe.reader().await.unwrap();
        let two = take(&mut input).await;
        assert_eq!((text(&two), two.seen_before), (&b"two"[..], SeenBefore::Maybe));
        assert_eq!(two.position, place);
        assert_eq!(text(&take(&mut input).await), b"three");
    }

    #[tokio::test]
    async fn has_one_reader_at_a_time() {
        let pipe = Pipe::new(&b""[..]);
        let input = Arc::clone(&pipe).reader().await.unwrap();
        assert_eq!(Arc::clone(&pipe).reader().await.err().unwrap().code(), Code::LocalFile);
        drop(input);
        pipe.reader().await.unwrap();
    }

    #[tokio::test]
    async fn two_runs_over_the_same_lines_are_different_requests() {
        let mut places = Vec::new();
        for _ in 0..2 {
            let mut input = Pipe::new(&b"same\n"[..]).reader().await.unwrap();
            places.push(take(&mut input).await.position);
        }
        assert_ne!(places[0], places[1]);
    }
}
