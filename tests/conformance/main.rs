//! Each bus against the promises written in core's documentation, with its real server.
//!
//! A bus joins with one file that implements `World` and one line here.

mod kafka;
mod local;
mod nats;
mod post;
