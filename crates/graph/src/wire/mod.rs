//! From a request to what Graph reads: JSON or MIME. Nothing is decided here, and nothing checked.

pub(crate) mod message;
pub(crate) mod mime;
