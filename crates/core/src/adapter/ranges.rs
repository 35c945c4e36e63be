//! Ranges of a file from a source that gives it as a stream.
//!
//! A stream that has been read up to some place is kept open, and the read that begins there goes on
//! with it: a file that is read in order is fetched once. Any other read opens another stream.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};

use crate::{File, Result};

/// Streams kept open at once; beyond, the oldest is closed.
const OPEN_MAX: usize = 32;

/// A file's content as a stream.
pub trait Chunks: Send {
    /// The place in the file at which the stream begins.
    fn start(&self) -> u64;

    /// The next piece; `None` at the end.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>>> + Send;
}

/// Reads ranges. One for each place, since what is kept open is found by the file alone.
pub struct Ranges<C>(Mutex<VecDeque<Reading<C>>>);

struct Reading<C> {
    file: File,
    /// The place of the first byte of `left`, or of what comes next.
    at: u64,
    left: Bytes,
    content: C,
}

impl<C> Default for Ranges<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> fmt::Debug for Ranges<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranges").finish_non_exhaustive()
    }
}

impl<C: Chunks> Ranges<C> {
    /// Reads a range; less of it, if the content ends before. `open` gives a stream that begins at
    /// the range or before it.
    pub async fn read(
        &self,
        file: &File,
        range: Range<u64>,
        open: impl AsyncFnOnce() -> Result<C>,
    ) -> Result<Bytes> {
        if let Some(mut reading) = self.kept(file, range.start)
            && let Ok(piece) = reading.take(&range).await
        {
            self.keep(reading, &range);
            return Ok(piece);
        }
        // none is open, or it broke while nobody read it
        let content = open().await?;
        let (file, at) = (file.clone(), content.start());
        let mut reading = Reading { file, at, left: Bytes::new(), content };
        let piece = reading.take(&range).await?;
        self.keep(reading, &range);
        Ok(piece)
    }

    fn keep(&self, reading: Reading<C>, range: &Range<u64>) {
        if range.end < reading.file.bytes {
            let mut open = self.lock();
            if open.len() >= OPEN_MAX {
                open.pop_front();
            }
            open.push_back(reading);
        }
    }

    fn kept(&self, file: &File, at: u64) -> Option<Reading<C>> {
        let mut open = self.lock();
        let found = open.iter().position(|it| it.at == at && it.file == *file)?;
        open.remove(found)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Reading<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Chunks> Reading<C> {
    async fn take(&mut self, range: &Range<u64>) -> Result<Bytes> {
        let mut piece = BytesMut::new();
        while self.at < range.end {
            if self.left.is_empty() {
                match self.content.chunk().await? {
                    Some(next) => self.left = next,
                    None => break,
                }
            }
            let skipped = self.split(range.start.saturating_sub(self.at));
            if skipped.is_empty() {
                piece.extend_from_slice(&self.split(range.end - self.at));
            }
        }
        Ok(piece.freeze())
    }

    /// Up to so many bytes of what is there.
    fn split(&mut self, bytes: u64) -> Bytes {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.left.len());
        self.at += bytes as u64;
        self.left.split_to(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// The bytes 0 to 99, in pieces of seven.
    struct Hundred(u8);

    impl Chunks for Hundred {
        fn start(&self) -> u64 {
            0
        }

        async fn chunk(&mut self) -> Result<Option<Bytes>> {
            let end = (self.0 + 7).min(100);
            let piece: Bytes = (self.0..end).collect();
            self.0 = end;
            Ok((!piece.is_empty()).then_some(piece))
        }
    }

    fn file() -> File {
        File { url: "x".to_owned(), bytes: 100, version: None, content_type: None }
    }

    #[tokio::test]
    async fn a_file_that_is_read_in_order_is_fetched_once() {
        let (ranges, opened) = (Ranges::default(), AtomicU32::new(0));
        let read = async |range: Range<u64>| {
            let open = async || {
                opened.fetch_add(1, Ordering::SeqCst);
                Ok(Hundred(0))
            };
            ranges.read(&file(), range, open).await.unwrap()
        };
        for at in (0..100).step_by(30) {
            let end = (at + 30).min(100);
            let bytes = read(at..end).await;
            assert_eq!(
                bytes.iter().copied().map(u64::from).collect::<Vec<_>>(),
                (at..end).collect::<Vec<_>>()
            );
        }
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        assert_eq!(read(50..52).await, vec![50, 51]);
        assert_eq!(opened.load(Ordering::SeqCst), 2);
        assert_eq!(read(98..150).await, vec![98, 99], "less, where the content ends");
    }

    proptest! {
        #[test]
        fn any_reads_in_any_order_give_their_bytes(
            reads in prop::collection::vec((0_u64..100, 1_u64..50), 1..20)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let ranges = Ranges::default();
            for (start, length) in reads {
                let end = (start + length).min(100);
                let open = async || Ok(Hundred(0));
                let bytes = runtime.block_on(ranges.read(&file(), start..end, open)).unwrap();
                let expected: Vec<u8> = (start..end).map(|at| u8::try_from(at).unwrap()).collect();
                prop_assert_eq!(bytes.to_vec(), expected);
            }
        }
    }
}
