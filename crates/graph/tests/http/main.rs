//! The connection against an HTTP server that answers as each test says: what is asked, how often,
//! and what each answer or broken line comes to.

#![cfg(test)]

mod at_least_once;
mod challenge;
mod changes;
mod clock;
mod doubt;
mod fake;
mod kinds;
mod large;
mod metric;
mod once;
mod pace;
mod quiet;
mod rotation;
mod scene;
mod stub;
mod token;
mod upload;
