//! The login service's clock and this machine's. An assertion is valid by the login service's clock
//! and signed by this one, so it tells when they are too far apart.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use reqwest::{Url, header::HeaderMap};

use crate::http::Skew;

/// From here on assertions are refused (learn.microsoft.com, entra certificate-credentials: valid
/// for five to ten minutes).
const SKEW_MAX: Duration = Duration::from_mins(5);

/// Compares the clocks at each answer.
#[derive(Default)]
pub(crate) struct Clock {
    /// It is off, and that has been told.
    told: AtomicBool,
}

impl Clock {
    /// How far it is off, by an answer of the login service that came just now, if that is too far.
    /// Logs it once for as long as it is.
    pub(super) fn check(&self, login: &Url, headers: &HeaderMap) -> Option<Skew> {
        let skew = Skew::of(headers)?;
        let off = skew.exceeds(SKEW_MAX);
        if off && !self.told.swap(true, Relaxed) {
            tracing::warn!(
                login_host = login.host_str(),
                clock_skew_seconds = skew.seconds(),
                cure = "set the machine's clock by NTP",
                "this machine's clock is not the login service's; positive when it is ahead"
            );
        } else if !off {
            self.told.store(false, Relaxed);
        }
        off.then_some(skew)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
        time::SystemTime,
    };

    use reqwest::header::{DATE, HeaderValue};

    use super::*;

    #[derive(Clone, Default)]
    struct Book(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Book {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_once_for_as_long_as_it_is() {
        let book = Book::default();
        let writer = book.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        let login = Url::parse("https://login.example/t/oauth2/v2.0/token").unwrap();
        let clock = Clock::default();
        let check = |minutes| {
            let date = SystemTime::now() + Duration::from_mins(minutes);
            let date = HeaderValue::from_str(&httpdate::fmt_http_date(date)).unwrap();
            clock.check(&login, &HeaderMap::from_iter([(DATE, date)])).is_some()
        };
        tracing::subscriber::with_default(subscriber, || {
            assert!(check(10) && check(10) && check(10));
            assert!(!check(4));
            assert!(check(10));
        });
        let told = String::from_utf8(book.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        for line in lines {
            assert!(line.contains("clock_skew_seconds=-") && line.contains("NTP"), "{line}");
        }
    }
}
