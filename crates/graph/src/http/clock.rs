//! This machine's clock, compared with the one that a server puts into its answers.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap};

/// How far two clocks are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skew {
    /// This machine's clock less the server's.
    seconds: i64,
}

impl Skew {
    /// By the `Date` of an answer that came just now, if it has one. Whole seconds, and as old as
    /// the answer's way was long.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let date = headers.get(DATE)?.to_str().ok()?;
        let there = httpdate::parse_http_date(date).ok()?;
        Some(Self::between(SystemTime::now(), there))
    }

    pub(crate) fn between(here: SystemTime, there: SystemTime) -> Self {
        let whole = |apart: Duration| i64::try_from(apart.as_secs()).unwrap_or(i64::MAX);
        let seconds = match here.duration_since(there) {
            Ok(ahead) => whole(ahead),
            Err(behind) => -whole(behind.duration()),
        };
        Self { seconds }
    }

    /// Positive when this machine is ahead.
    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }

    /// Whether they are apart by this much or more, either way.
    pub(crate) fn exceeds(self, least: Duration) -> bool {
        self.seconds.unsigned_abs() >= least.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_sign_says_who_is_ahead() {
        let (now, apart) = (SystemTime::now(), Duration::from_mins(10));
        assert_eq!(Skew::between(now, now - apart).seconds(), 600);
        assert_eq!(Skew::between(now, now + apart).seconds(), -600);
        assert!(Skew::between(now, now + apart).exceeds(apart));
        assert!(!Skew::between(now, now + apart).exceeds(apart + Duration::from_secs(1)));
    }

    #[test]
    fn an_answer_without_a_date_says_nothing() {
        let mut headers = HeaderMap::new();
        assert_eq!(Skew::of(&headers), None);
        headers.insert(DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(Skew::of(&headers), None);
        let now = httpdate::fmt_http_date(SystemTime::now());
        headers.insert(DATE, HeaderValue::from_str(&now).unwrap());
        assert!(Skew::of(&headers).unwrap().seconds().abs() <= 2);
    }
}
