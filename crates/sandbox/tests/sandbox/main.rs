//! The sandbox over real HTTP, as a client that knows nothing of its inside sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod admin;
mod answers;
mod attachments;
mod batches;
mod bounces;
mod challenge;
mod delta;
mod delta_faults;
mod description;
mod endpoint;
mod faults;
mod folders;
mod follower;
mod groups;
mod limits;
mod login;
mod login_certificate;
mod login_federated;
mod login_host;
mod managed_identity;
mod moving;
mod notifications;
mod people;
mod permission;
mod reading;
mod sending;
mod signing;
mod strictness;
mod subscriptions;
mod support;
mod uploads;
mod visibility;
