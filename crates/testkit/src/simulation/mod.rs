//! A small world in virtual time: a bus and a mailbox that keep the truth, and workers whose power
//! can be cut at any step.
//!
//! The engine runs unchanged against the ports of this world. A *step* is a moment at which a worker
//! touches the world, just before and just after the effect; cutting the power at every step in turn
//! visits every crash that the world could ever see. No sockets, no threads, no real time.

mod bus;
mod desk;
mod mail;
mod office;
mod power;

pub use bus::{Bus, Posted, Trouble};
pub use desk::Desk;
pub use mail::{Fault, Mailroom, Sight};
pub use office::{Letter, Manners, Office};
pub use power::Power;

/// Deterministic numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
