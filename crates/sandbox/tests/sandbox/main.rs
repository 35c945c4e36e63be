//! The sandbox over real HTTP, as a client that knows nothing of its inside sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod admin;
mod attachments;
mod challenge;
mod description;
mod faults;
mod limits;
mod login;
mod login_certificate;
mod login_federated;
mod login_host;
mod managed_identity;
mod permission;
mod reading;
mod sending;
mod signing;
mod strictness;
mod support;
mod visibility;
