//! Failures: a code that has a page, a verdict that says what may be done, and a sentence.
//!
//! Code and verdict are given where the failure is seen. Nothing infers them later, and nothing here
//! retries: what follows from a verdict is decided in one place, `engine::decide`.

mod code;
mod verdict;

use std::{borrow::Cow, fmt};

pub use code::Code;
pub use verdict::{Scope, Verdict};

/// A result with mailbridge's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure. One pointer wide, so that `Result` stays small on the happy path.
///
/// Never holds a secret, a token, a body or a recipient: `detail` is written in the code, and each
/// field is put there on purpose.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    verdict: Verdict,
    detail: Cow<'static, str>,
    fields: Vec<(&'static str, String)>,
}

impl Error {
    /// A failure with all three of its parts.
    pub fn new(code: Code, verdict: Verdict, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { code, verdict, detail: detail.into(), fields: Vec::new() }))
    }

    /// It did not happen and never will.
    pub fn permanent(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Verdict::Permanent, detail)
    }

    /// It did not happen; it may next time.
    pub fn transient(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Verdict::Transient { after: None }, detail)
    }

    /// Nothing is wrong with the request; the connection is down for all.
    pub fn blocked(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Verdict::Blocked { scope: Scope::Connection, after: None }, detail)
    }

    /// It may have happened.
    pub fn in_doubt(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, Verdict::InDoubt, detail)
    }

    /// Adds a field: where it was, what was found, the server's own ids.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.fields.push((name, value.to_string()));
        self
    }

    /// Which failure it is. Each code has a page in `docs/errors`.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What may be done about it.
    pub fn verdict(&self) -> Verdict {
        self.0.verdict
    }

    /// The same failure under another verdict, for a place that knows more.
    #[must_use]
    pub fn as_verdict(mut self, verdict: Verdict) -> Self {
        self.0.verdict = verdict;
        self
    }

    /// The sentence, without fields.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The fields, in the order they were added.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.fields.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// `detail (field: value, …)`, without the code: callers show that beside it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)?;
        for (index, (name, value)) in self.0.fields.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            write!(f, "{name}: {value}")?;
        }
        if self.0.fields.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {:?}]", self, self.0.code, self.0.verdict)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_sentence_with_fields() {
        let error = Error::transient(Code::GraphUnavailable, "graph is busy").with("status", 503);
        assert_eq!(error.to_string(), "graph is busy (status: 503)");
        assert_eq!(error.field("status"), Some("503"));
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }
}
