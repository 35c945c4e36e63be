//! Where things are in this repository.

use std::path::{Path, PathBuf};

use crate::Result;

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // crates/xtask: two levels down
    here.ancestors().nth(2).unwrap_or(here)
}

/// Where `services` keeps what it got. Launchers look for it under the same path, so it does not
/// follow `CARGO_TARGET_DIR`.
pub fn services() -> PathBuf {
    root().join("target/services")
}

/// The `mailbridge` program as `cargo build` leaves it: beside this one.
pub fn mailbridge() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("mailbridge"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }
}
