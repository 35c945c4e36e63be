//! The sandbox over real HTTP, as a client that knows nothing of its inside sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod admin;
mod answers;
mod attachments;
mod bounces;
mod faults;
mod limits;
mod login;
mod moving;
mod people;
mod reading;
mod sending;
mod strictness;
mod support;
mod uploads;
mod visibility;
