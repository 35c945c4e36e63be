//! Targets only.
