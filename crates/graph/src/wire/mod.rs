//! From a request to what Graph reads, JSON or MIME, and from what Graph shows of a message to an
//! event's content. Nothing is decided here, and nothing checked.

pub(crate) mod answer;
pub(crate) mod attached;
pub(crate) mod cut;
pub(crate) mod file;
pub(crate) mod item;
pub(crate) mod message;
pub(crate) mod mime;
pub(crate) mod surrogates;
