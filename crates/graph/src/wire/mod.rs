//! From a request to what Graph reads: JSON or MIME. Nothing is decided here, and nothing checked.

pub(crate) mod answer;
pub(crate) mod cut;
pub(crate) mod file;
pub(crate) mod message;
pub(crate) mod mime;
