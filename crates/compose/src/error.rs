//! What is said of a template that cannot be read, and of one that fails on an event.
//!
//! The template engine's own sentences may repeat values, so none is handed on where an event was
//! there: what is told is the kind of failure, the place in the template, and the template's own
//! words at that place.

use std::{error::Error as StdError, fmt};

use mailbridge_core::{Code, Error};
use minijinja::{Error as Cause, ErrorKind};

/// Characters of a template that a message quotes at most.
const QUOTED_MAX: usize = 120;

/// What our own filters say. It goes to users as it is, so it is written in the code.
#[derive(Debug)]
pub(crate) struct Said(pub(crate) &'static str);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Said {}

/// A failure of our own inside a template.
pub(crate) fn said(detail: &'static str) -> Cause {
    Cause::new(ErrorKind::InvalidOperation, detail).with_source(Said(detail))
}

/// A place in a template: `file:line:column`, or the line and column of a template that stands in
/// the configuration.
pub(crate) fn place(name: &str, folder: &str, line: usize, column: Option<usize>) -> String {
    match column {
        Some(column) if is_file(name) => format!("{folder}/{name}:{line}:{column}"),
        None if is_file(name) => format!("{folder}/{name}:{line}"),
        Some(column) => format!("line {line}, column {column}"),
        None => format!("line {line}"),
    }
}

fn place_of(cause: &Cause, folder: &str) -> Option<String> {
    Some(place(cause.name().unwrap_or("<"), folder, cause.line()?, column(cause)))
}

/// Whether a template's name is a file's, and not a key of the configuration.
fn is_file(name: &str) -> bool {
    !name.starts_with([':', '<'])
}

fn column(cause: &Cause) -> Option<usize> {
    let start = cause.range()?.start;
    let before = cause.template_source()?.get(..start)?;
    let line = before.rsplit('\n').next().unwrap_or(before);
    Some(line.chars().count() + 1)
}

/// What is wrong with a template, before there is any event: the engine's own sentence.
pub(crate) fn mistake(cause: &Cause, folder: &str) -> String {
    let detail = cause.detail().map_or_else(|| cause.kind().to_string(), str::to_owned);
    match place_of(cause, folder) {
        Some(place) => format!("{place}: {detail}"),
        None => detail,
    }
}

/// A template has failed on an event.
pub(crate) fn failed(field: &str, cause: &Cause, folder: &str) -> Error {
    let cause = innermost(cause);
    let own = sources(cause).find_map(|source| source.downcast_ref::<Said>());
    let detail = own.map_or_else(|| sentence(cause.kind()), |said| said.0);
    let code = match cause.kind() {
        ErrorKind::WriteFailure => Code::RequestTooLarge,
        _ => Code::ComposeFailed,
    };
    let mut error = Error::permanent(code, detail).with("field", field);
    if let Some(place) = place_of(cause, folder) {
        error = error.with("template", place);
    }
    match missing(cause) {
        Some(missing) => error.with("missing", missing),
        None => match quoted(cause) {
            Some(quoted) => error.with("at", quoted),
            None => error,
        },
    }
}

/// A field that breaks a rule of ours, whatever the template did.
pub(crate) fn refused(field: &str, detail: &'static str) -> Error {
    Error::permanent(Code::ComposeFailed, detail).with("field", field)
}

fn sentence(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UndefinedError => "the template needs something that the event does not have",
        ErrorKind::OutOfFuel => "the template does more work than is allowed for one mail",
        ErrorKind::WriteFailure => "the template writes more than one mail may hold",
        ErrorKind::TemplateNotFound => "the template includes a file that is not in the folder",
        _ => "the template cannot do this with what the event has",
    }
}

/// The error that the others are about: an include wraps what failed inside.
fn innermost(cause: &Cause) -> &Cause {
    sources(cause).filter_map(|source| source.downcast_ref::<Cause>()).last().unwrap_or(cause)
}

fn sources<'a>(cause: &'a Cause) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let first: Option<&'a (dyn StdError + 'static)> = cause.source();
    std::iter::successors(first, |&source| source.source())
}

/// What is undefined, as the template writes it: `data.customer.name`.
fn missing(cause: &Cause) -> Option<String> {
    if cause.kind() != ErrorKind::UndefinedError {
        return None;
    }
    let named = cause.detail().and_then(|detail| {
        let (before, _) = detail.rsplit_once("` is undefined")?;
        Some(short(before.rsplit('`').next()?))
    });
    named.or_else(|| quoted(cause))
}

/// The template's own words where it failed.
fn quoted(cause: &Cause) -> Option<String> {
    cause.template_source()?.get(cause.range()?).map(short).filter(|text| !text.is_empty())
}

fn short(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() > QUOTED_MAX {
        words = words.chars().take(QUOTED_MAX).chain(['…']).collect();
    }
    words
}
