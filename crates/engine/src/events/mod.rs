//! The events flow: what happens in mailboxes becomes events on a bus.

pub mod after;
pub mod callback;
pub mod content;
pub mod encode;
pub mod make;
pub mod wake;
