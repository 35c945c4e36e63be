//! Which letters are put back.

use jiff::Timestamp;
use mailbridge_core::contract::Replay;

/// What was asked for. What is empty asks for nothing.
pub struct Filter {
    /// The pipeline; letters of others may stand at the same target.
    pub pipeline: String,
    /// One of these codes.
    pub codes: Vec<String>,
    /// How it ended.
    pub status: Option<&'static str>,
    /// One of these keys.
    pub keys: Vec<String>,
    /// Given up at this time or after.
    pub since: Option<Timestamp>,
    /// Given up at this time or before.
    pub until: Option<Timestamp>,
}

/// What becomes of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Taken,
    LeftOut,
    OtherPipeline,
}

impl Filter {
    /// Chooses. Of what is no letter nothing is known, so it fits only where nothing is asked.
    pub(super) fn choose(&self, letter: Option<&Replay>) -> Choice {
        let Self { pipeline, codes, status, keys, since, until } = self;
        let other = |name: &String| name != pipeline;
        if letter.and_then(|letter| letter.pipeline.as_ref()).is_some_and(other) {
            return Choice::OtherPipeline;
        }
        let code = letter.and_then(|letter| letter.code.as_ref());
        let key = letter.and_then(|letter| letter.key.as_ref());
        let ended = letter.and_then(|letter| letter.status.as_deref());
        let time = letter.and_then(|letter| letter.time);
        let fits = (codes.is_empty() || code.is_some_and(|code| codes.contains(code)))
            && (keys.is_empty() || key.is_some_and(|key| keys.contains(key)))
            && (status.is_none() || ended == *status)
            && since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && until.is_none_or(|until| time.is_some_and(|time| time <= until));
        if fits { Choice::Taken } else { Choice::LeftOut }
    }
}

#[cfg(test)]
mod tests {
    use mailbridge_core::{Headers, Message};

    use super::*;

    fn all() -> Filter {
        let pipeline = "orders".to_owned();
        let (codes, keys) = (Vec::new(), Vec::new());
        Filter { pipeline, codes, status: None, keys, since: None, until: None }
    }

    fn letter() -> Replay {
        let headers = Headers::new()
            .with("mailbridge-status", "rejected")
            .with("mailbridge-position", "nats:MAIL/7")
            .with("mailbridge-pipeline", "orders")
            .with("mailbridge-code", "request_not_json")
            .with("mailbridge-key", "order-7")
            .with("mailbridge-time", "2026-01-02T03:04:05Z");
        Replay::of(&Message { headers, ..Message::default() }).unwrap()
    }

    #[test]
    fn a_letter_must_fit_all_that_is_asked() {
        let time = |text: &str| Some(text.parse().unwrap());
        let (fit, unfit) = (Choice::Taken, Choice::LeftOut);
        let text = |text: &str| vec!["other".to_owned(), text.to_owned()];
        for (filter, expected) in [
            (all(), fit),
            (Filter { codes: text("request_not_json"), ..all() }, fit),
            (Filter { codes: text("request_empty"), ..all() }, unfit),
            (Filter { keys: text("order-7"), ..all() }, fit),
            (Filter { keys: text("order-77"), ..all() }, unfit),
            (Filter { status: Some("rejected"), ..all() }, fit),
            (Filter { status: Some("unknown"), ..all() }, unfit),
            (Filter { since: time("2026-01-02T03:04:05Z"), ..all() }, fit),
            (Filter { since: time("2026-01-02T03:04:06Z"), ..all() }, unfit),
            (Filter { until: time("2026-01-02T03:04:05Z"), ..all() }, fit),
            (Filter { until: time("2026-01-02T03:04:04Z"), ..all() }, unfit),
            (Filter { pipeline: "others".to_owned(), ..all() }, Choice::OtherPipeline),
        ] {
            assert_eq!(filter.choose(Some(&letter())), expected);
        }
    }

    #[test]
    fn what_is_no_letter_fits_only_where_nothing_is_asked() {
        assert_eq!(all().choose(None), Choice::Taken);
        let filter = Filter { status: Some("rejected"), ..all() };
        assert_eq!(filter.choose(None), Choice::LeftOut);
    }
}
