//! `Retry-After`: seconds, which Graph also writes with decimals (`2.128`), or an HTTP date.
//!
//! What the server asks for is clamped into bounds of our own: never so short that it is no wait,
//! never so long that a mistake stops a mailbox for the day.

use std::time::{Duration, SystemTime};

/// The shortest and longest wait that is taken from a server.
pub(crate) const MIN: Duration = Duration::from_millis(100);
pub(crate) const MAX: Duration = Duration::from_mins(10);

/// Reads the header's value; nothing, if it is neither seconds nor a date.
pub(crate) fn parse(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_nan() => return None,
        Ok(seconds) => Duration::from_secs_f64(seconds.clamp(0.0, MAX.as_secs_f64())),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(now).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.clamp(MIN, MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_decimals_and_dates() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        let cases = [
            ("3", Some(Duration::from_secs(3))),
            (" 2.128 ", Some(Duration::from_millis(2128))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(37))),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(Duration::from_secs(37))),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(MIN)),
            ("0", Some(MIN)),
            ("-5", Some(MIN)),
            ("86400", Some(MAX)),
            ("inf", Some(MAX)),
            ("NaN", None),
            ("soon", None),
            ("", None),
        ];
        for (text, wait) in cases {
            assert_eq!(parse(text.as_bytes(), now), wait, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_wait_is_bounded(value in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(wait) = parse(&value, SystemTime::now()) {
                prop_assert!((MIN..=MAX).contains(&wait));
            }
        }

        #[test]
        fn any_number_is_a_wait(seconds in any::<f64>()) {
            let wait = parse(seconds.to_string().as_bytes(), SystemTime::now());
            prop_assert_eq!(wait.is_some(), !seconds.is_nan());
        }
    }
}
