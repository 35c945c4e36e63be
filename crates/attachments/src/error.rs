//! What can be wrong with a reference, in the words of the port's promises.

use std::time::Duration;

use mailbridge_core::{Code, Error};
use percent_encoding::percent_decode_str;
use reqwest::Url;

/// The longest that one call to a place may take.
pub(crate) const CALL_MAX: Duration = Duration::from_mins(1);

/// A file as errors name it: the last part of its URL, without what may be a signature.
fn name(url: &Url) -> String {
    let last = url.path().rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy();
    name.chars().filter(|c| !c.is_control()).take(120).collect()
}

pub(crate) fn not_allowed(detail: &'static str) -> Error {
    Error::permanent(Code::AttachmentNotAllowed, detail)
}

pub(crate) fn missing(url: &Url) -> Error {
    let detail = "there is nothing behind the reference";
    Error::permanent(Code::AttachmentMissing, detail).with("attachment", name(url))
}

pub(crate) fn changed(url: &Url) -> Error {
    let detail = "the file changed while it was read";
    Error::permanent(Code::AttachmentChanged, detail).with("attachment", name(url))
}

/// It may work next time. `cause` says nothing of the URL.
pub(crate) fn unavailable(url: &Url, cause: impl std::fmt::Display) -> Error {
    let detail = "the place that holds the file does not give it";
    Error::transient(Code::AttachmentUnavailable, detail)
        .with("attachment", name(url))
        .with("cause", cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file_and_not_its_signature() {
        let url = Url::parse("https://u.example/a/Gr%C3%BC%C3%9Fe.pdf?sig=hush#hush").unwrap();
        let error = missing(&url).to_string();
        assert!(error.contains("Grüße.pdf") && !error.contains("hush"), "{error}");
    }
}
