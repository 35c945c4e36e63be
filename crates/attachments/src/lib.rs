//! Files that requests refer to by URL, read in pieces from where they are: `https://`, `file://`,
//! `s3://`, `az://`, `gs://`, and whatever else the program brings along (a bus's object store).
//!
//! A request comes from outside, so a URL in it is somebody's wish, not an order. [`Attachments`]
//! is the one door: a URL has to lie below a place that the pipeline allows, after everything that a
//! URL can hide (`..`, `%2e`, user names, ports) is resolved, and the kind of place then sees to it
//! that neither a redirect, nor a link, nor a name that resolves to a private address leads out of
//! it. [`Storage`] is the other direction: one place of the operator's, into which files are put that
//! events refer to. Nothing here lists, caches, or retries.

mod address;
mod config;
mod error;
mod file;
mod https;
mod place;
mod storage;
mod store;

pub use config::{Config, Options, Place};
pub use place::Attachments;
pub use storage::{BucketOf, Storage};
pub use store::Variables;
