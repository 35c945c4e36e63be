//! The sandbox over real HTTP, as a client that knows nothing of its inside sees it.

mod admin;
mod attachments;
mod faults;
mod limits;
mod login;
mod reading;
mod sending;
mod strictness;
mod support;
mod visibility;
