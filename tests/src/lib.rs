//! What several targets share: the tests run small what the bench runs at its full size.

pub mod pool;
