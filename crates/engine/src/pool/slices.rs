//! Which slice a name is in, and whose a slice is to be. Pure: all workers come to the same answer.

use sha2::{Digest, Sha256};

/// A share of the work.
pub type Slice = u16;

/// Into how many slices work is hashed where nothing asks for fewer: more workers than this find
/// nothing to do.
pub const SLICES: Slice = 256;

/// The slice of a name, as of a mailbox, of so many. Case does not count.
pub fn slice_of(name: &str, slices: Slice) -> Slice {
    let number = weight(&name.to_lowercase()) % u64::from(slices.max(1));
    Slice::try_from(number).unwrap_or_default()
}

/// Whose a slice is to be, by rendezvous hashing: who comes takes only what becomes theirs, and of
/// who goes only what they had moves.
pub fn owner(slice: Slice, members: &[String]) -> Option<&String> {
    members.iter().max_by_key(|member| (weight(&format!("{slice}/{member}")), *member))
}

fn weight(text: &str) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
