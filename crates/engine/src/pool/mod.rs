//! Sharing work among identical workers, with nothing but a state store between them.
//!
//! Work is hashed into [`SLICES`], so what is written does not grow with it. A worker renews one
//! record, its membership; a slice's record says whose it is and is written only when it changes
//! hands. It does not run anything, and does not know what is shared.

#[cfg(test)]
pub(crate) mod fake;
mod member;
mod names;
mod slices;
#[cfg(test)]
mod tests;

pub use member::{Member, TICKS};
pub use names::cards;
pub use slices::{SLICES, Slice, owners, slice_of};
