//! Requests from events: templates over any JSON event give the same JSON that producers of requests
//! write, and it is read and checked as theirs is. So there is one contract, and one set of errors.
//!
//! ```text
//! message -> event, data -> when? -> templates -> request JSON -> decode, check
//! ```
//!
//! The same language says which events about mails a pipeline wants: [`EventFilter`].
//!
//! What comes from an event is data and never structure: it cannot add a line to a header, a
//! recipient to a name, or markup to html. A template can neither run for long nor write much, and
//! reads no file: the program hands all of them over at the start. Nothing here logs, and no error
//! repeats what an event holds.

mod address;
mod attachment;
mod check;
mod compose;
mod config;
mod error;
mod event;
mod event_filter;
mod filter;
mod line;
mod plan;
mod template;

pub use compose::Composer;
pub use config::{AttachmentTemplate, Body, Config, OneOrMany, Operation};
pub use event_filter::EventFilter;
pub use template::TemplateFiles;
