//! Which slice a name is in, and whose a slice is to be. Pure: all workers come to the same answer.

use std::collections::BTreeSet;

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

/// Whose each slice is to be, by its place among the members, by rendezvous hashing: who comes takes
/// only what becomes theirs, and of who goes only what they had moves. Nothing, without members.
pub fn owners(slices: Slice, members: &[String]) -> Vec<usize> {
    let weights: Vec<_> = members.iter().map(|member| weight(member)).collect();
    let owner = |slice: Slice| {
        let weighted = weights.iter().map(|weight| mix(weight ^ mix(slice.into())));
        weighted.enumerate().max_by_key(|(at, weight)| (*weight, *at)).map(|(at, _)| at)
    };
    (0..slices).filter_map(owner).collect()
}

/// Whose each slice is to be.
#[derive(Debug, Default)]
pub(super) struct Plan {
    names: Vec<String>,
    /// By their places among the names.
    owners: Vec<usize>,
}

impl Plan {
    /// These are the members now.
    pub fn change(&mut self, slices: Slice, names: Vec<String>) {
        if self.names != names {
            self.owners = owners(slices, &names);
            self.names = names;
        }
    }

    /// Whose a slice is to be; nobody's, without members.
    pub fn owner(&self, slice: Slice) -> Option<&str> {
        let at = self.owners.get(usize::from(slice))?;
        self.names.get(*at).map(String::as_str)
    }

    /// What is to be theirs.
    pub fn of(&self, is_theirs: impl Fn(&str) -> bool) -> BTreeSet<Slice> {
        let slices = (0..).zip(&self.owners).map(|(slice, _)| slice);
        slices.filter(|slice| self.owner(*slice).is_some_and(&is_theirs)).collect()
    }
}

/// Spreads what is alike (the finalizer of SplitMix64, Steele and others 2014): of a thousand members and
/// slices, a digest of each pair would take seconds.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn weight(text: &str) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
