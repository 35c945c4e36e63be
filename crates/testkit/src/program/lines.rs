//! What a program prints, line by line, kept in memory within bounds, with a way to wait for one.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::child::LaunchError;

/// Older lines are dropped.
const LINES_MAX: usize = 20_000;
/// A longer line is cut into several.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How many of the latest lines an error shows.
const SHOWN: usize = 30;

/// Where a program printed a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What the program answers: outcomes, a summary.
    Stdout,
    /// What it says about itself: logs, errors.
    Stderr,
}

/// A line without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The stream it came on. Between the two streams the order is not certain.
    pub from: Stream,
    /// Invalid UTF-8 is replaced.
    pub text: String,
}

/// The lines of a program, and word of new ones. The words end when both streams have ended.
#[derive(Debug)]
pub(super) struct Lines {
    kept: Arc<Mutex<Kept>>,
    news: watch::Receiver<()>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Line>,
    /// How many came before the first one kept: dropped or forgotten.
    before: usize,
}

impl Kept {
    fn push(&mut self, line: Line) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.before += 1;
        }
        self.lines.push_back(line);
    }

    /// The first wanted line from number `next` on; moves `next` behind what was looked at.
    fn find(&self, next: &mut usize, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let skip = next.saturating_sub(self.before);
        *next = self.before + self.lines.len();
        self.lines.iter().skip(skip).find(|line| wanted(&line.text)).map(|line| line.text.clone())
    }
}

impl Lines {
    /// Reads both streams to their ends on threads of their own.
    pub(super) fn read(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (tell, news) = watch::channel(());
        let tell = Arc::new(tell);
        if let Some(stdout) = stdout {
            let (kept, tell) = (Arc::clone(&kept), Arc::clone(&tell));
            thread::spawn(move || copy(stdout, Stream::Stdout, &kept, &tell));
        }
        if let Some(stderr) = stderr {
            let kept = Arc::clone(&kept);
            thread::spawn(move || copy(stderr, Stream::Stderr, &kept, &tell));
        }
        Self { kept, news }
    }

    pub(super) async fn wait_for(
        &self,
        wanted: impl Fn(&str) -> bool,
        within: Duration,
    ) -> Result<String, LaunchError> {
        let mut news = self.news.clone();
        let search = async {
            let mut next = 0;
            loop {
                // before the look, so that a line which comes during it is news again
                news.borrow_and_update();
                if let Some(line) = locked(&self.kept).find(&mut next, &wanted) {
                    return Some(line);
                }
                news.changed().await.ok()?;
            }
        };
        match tokio::time::timeout(within, search).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self.explain("the program ended without the line that was expected")),
            Err(_) => Err(self.explain(format!("the expected line did not come in {within:?}"))),
        }
    }

    /// Waits until everything that was printed is here. A program that has ended may have left a
    /// child with its streams open, so the time is bounded.
    pub(super) async fn wait_end(&self, within: Duration) {
        let mut news = self.news.clone();
        let end = async { while news.changed().await.is_ok() {} };
        // late lines are no failure: the caller asked for the end of the program
        tokio::time::timeout(within, end).await.ok();
    }

    pub(super) fn forget(&self) {
        let mut kept = locked(&self.kept);
        kept.before += kept.lines.len();
        kept.lines.clear();
    }

    pub(super) fn all(&self) -> Vec<Line> {
        locked(&self.kept).lines.iter().cloned().collect()
    }

    /// An error that shows the latest lines.
    pub(super) fn explain(&self, what: impl std::fmt::Display) -> LaunchError {
        let kept = locked(&self.kept);
        let latest = kept.lines.iter().skip(kept.lines.len().saturating_sub(SHOWN));
        let latest: Vec<&str> = latest.map(|line| line.text.as_str()).collect();
        LaunchError::new(format!("{what}; its latest lines:\n{}", latest.join("\n")))
    }
}

fn copy(stream: impl Read, from: Stream, kept: &Mutex<Kept>, tell: &watch::Sender<()>) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
            // an error on a pipe is its end
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        locked(kept).push(Line { from, text });
        tell.send_replace(());
    }
}

/// A test that panicked while it held the lock has left whole lines behind.
fn locked(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count: usize) -> Kept {
        let mut kept = Kept::default();
        for number in 0..count {
            kept.push(Line { from: Stream::Stdout, text: number.to_string() });
        }
        kept
    }

    #[test]
    fn the_oldest_lines_go_first() {
        let kept = kept(LINES_MAX + 3);
        assert_eq!((kept.lines.len(), kept.before), (LINES_MAX, 3));
        assert_eq!(kept.lines[0].text, "3");
    }

    #[test]
    fn a_line_is_looked_at_once_also_when_older_ones_have_been_dropped() {
        let mut kept = kept(LINES_MAX);
        let mut next = 0;
        assert_eq!(kept.find(&mut next, |text| text == "x"), None);
        for text in ["7", "x"] {
            kept.push(Line { from: Stream::Stderr, text: text.into() });
        }
        let looked_at = std::cell::Cell::new(0);
        let count = |text: &str| {
            looked_at.set(looked_at.get() + 1);
            text == "x"
        };
        assert_eq!(kept.find(&mut next, count).as_deref(), Some("x"));
        assert_eq!(looked_at.get(), 2);
    }
}
