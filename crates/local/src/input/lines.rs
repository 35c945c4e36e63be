//! From bytes to lines, each with its place in the file.
//!
//! Keeps what is left of a line until the rest comes, so that a reader can be dropped between any
//! two reads. Knows nothing of files. A line's memory is bounded; of a longer one the beginning is
//! kept, and how long it was.

use std::collections::VecDeque;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Bytes of one line that are kept. Twice what Graph takes in one request; base64 in base64 fits.
pub(crate) const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a line is told apart by: SHA-256 over its kept bytes.
pub(crate) type Fingerprint = [u8; 32];

/// One line, without its ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counted from 1.
    pub number: u64,
    /// Where it starts, in bytes.
    pub start: u64,
    /// Where the next one starts.
    pub end: u64,
    /// Its bytes, or the first [`LINE_BYTES_MAX`] of them.
    pub text: Bytes,
    /// How long it is.
    pub length: u64,
    /// Of `text`.
    pub fingerprint: Fingerprint,
}

impl Line {
    /// Whether only its beginning was kept.
    pub(crate) fn is_cut(&self) -> bool {
        self.length > self.text.len() as u64
    }

    fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }
}

pub(crate) fn fingerprint(text: &[u8]) -> Fingerprint {
    Sha256::digest(text).into()
}

/// Takes bytes as they come, and gives lines.
#[derive(Debug)]
pub(crate) struct Lines {
    ready: VecDeque<Line>,
    /// The kept part of the line that is not complete, and how long it is so far.
    partial: Vec<u8>,
    partial_length: u64,
    number: u64,
    start: u64,
    /// The last line had no ending: a line feed that comes now is its, and begins no line.
    unended: bool,
}

impl Lines {
    /// From the start of line `number`. `unended`: the file ended there once without a line feed.
    pub(crate) fn from(number: u64, start: u64, unended: bool) -> Self {
        let (ready, partial) = (VecDeque::new(), Vec::new());
        Self { ready, partial, partial_length: 0, number, start, unended }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if self.unended && !bytes.is_empty() {
            self.unended = false;
            if bytes[0] == b'\n' {
                bytes = &bytes[1..];
                self.start += 1;
            }
        }
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..at]);
            self.complete(1);
            bytes = &bytes[at + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.partial_length += bytes.len() as u64;
    }

    fn complete(&mut self, ending: u64) {
        let text = Bytes::from(std::mem::take(&mut self.partial));
        let length = std::mem::take(&mut self.partial_length);
        let (number, start, end) = (self.number, self.start, self.start + length + ending);
        let fingerprint = fingerprint(&text);
        self.ready.push_back(Line { number, start, end, text, length, fingerprint });
        self.number += 1;
        self.start = end;
    }

    /// The next complete line that is not blank.
    pub(crate) fn next(&mut self) -> Option<Line> {
        while let Some(line) = self.ready.pop_front() {
            if !line.is_blank() {
                return Some(line);
            }
        }
        None
    }

    /// Nothing follows for now: what is there without an ending is a line.
    pub(crate) fn finish(&mut self) {
        if self.partial_length > 0 {
            self.complete(0);
            self.unended = true;
        }
    }

    /// Where the next byte to push stands in the file.
    pub(crate) const fn offset(&self) -> u64 {
        self.start + self.partial_length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(lines: &mut Lines) -> Vec<(u64, u64, u64, String)> {
        let text = |line: &Line| String::from_utf8_lossy(&line.text).into_owned();
        std::iter::from_fn(|| lines.next())
            .map(|line| (line.number, line.start, line.end, text(&line)))
            .collect()
    }

    #[test]
    fn blank_lines_are_counted_and_not_given() {
        let mut lines = Lines::from(1, 0, false);
        lines.push(b"one\n\n \t\r\nfour\nfi");
        let found = all(&mut lines);
        assert_eq!(found, [(1, 0, 4, "one".into()), (4, 9, 14, "four".into())]);
        assert_eq!(lines.offset(), 16);
        lines.push(b"ve");
        assert_eq!(all(&mut lines), []);
        lines.finish();
        assert_eq!(all(&mut lines), [(5, 14, 18, "five".into())]);
    }

    #[test]
    fn a_line_feed_that_comes_late_begins_no_line() {
        for (bytes, number, start) in [(&b"\nsix\n"[..], 6, 19), (b"six\n", 6, 18)] {
            let mut lines = Lines::from(5, 14, false);
            lines.push(b"five");
            lines.finish();
            assert_eq!(all(&mut lines), [(5, 14, 18, "five".into())]);
            lines.push(bytes);
            assert_eq!(all(&mut lines), [(number, start, start + 4, "six".into())]);
            let mut resumed = Lines::from(6, 18, true);
            resumed.push(bytes);
            assert_eq!(all(&mut resumed), [(number, start, start + 4, "six".into())]);
        }
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_kept() {
        let mut lines = Lines::from(1, 0, false);
        for _ in 0..9 {
            lines.push(&vec![b'x'; 1024 * 1024]);
        }
        lines.push(b"\nnext\n");
        let long = lines.next().unwrap();
        assert_eq!((long.text.len(), long.length), (LINE_BYTES_MAX, 9 * 1024 * 1024));
        assert!(long.is_cut());
        let next = lines.next().unwrap();
        assert_eq!((next.number, next.start, &next.text[..]), (2, long.length + 1, &b"next"[..]));
        assert!(!next.is_cut());
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_makes_no_difference(
            text in "[ab\n\r]{0,40}",
            cuts in prop::collection::vec(0usize..41, 0..6),
        ) {
            let mut whole = Lines::from(1, 0, false);
            whole.push(text.as_bytes());
            whole.finish();
            let mut pieces = Lines::from(1, 0, false);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.finish();
            prop_assert_eq!(pieces.offset(), text.len() as u64);
            let found = all(&mut whole);
            for (_, start, _, line) in &found {
                let at = usize::try_from(*start).unwrap();
                prop_assert_eq!(&text[at..at + line.len()], line);
            }
            prop_assert_eq!(found, all(&mut pieces));
        }
    }
}
