//! Finds a nats-server that is new enough. Finds only; `cargo xtask services` gets one, and looks
//! in the same places in the same order.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::child::LaunchError;

/// The oldest one the tests accept, as major and minor number.
const OLDEST: (u32, u32) = (2, 12);
/// Where `cargo xtask services` puts it, from this package's folder.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/services/bin/nats-server");

/// The program to start. Looks once for each test process.
pub(super) fn program() -> Result<PathBuf, LaunchError> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let look = || find(env::var_os("NATS_SERVER"), Path::new(KEPT), env::var_os("PATH"));
    FOUND.get_or_init(look).clone().map_err(LaunchError::new)
}

/// One that is named must do; otherwise the first that does.
fn find(named: Option<OsString>, kept: &Path, path: Option<OsString>) -> Result<PathBuf, String> {
    if let Some(named) = named {
        let named = PathBuf::from(named);
        return match refusal(&named) {
            None => Ok(named),
            Some(why) => Err(format!("NATS_SERVER: {why}")),
        };
    }
    let path = path.unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("nats-server"));
    std::iter::once(kept.to_owned()).chain(on_path).find(|p| refusal(p).is_none()).ok_or_else(
        || {
            let (major, minor) = OLDEST;
            format!("no nats-server {major}.{minor} or newer: run `cargo xtask services`")
        },
    )
}

/// Why this one cannot be used, if it cannot.
fn refusal(program: &Path) -> Option<String> {
    let place = program.display();
    let printed = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let printed = match printed {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => return Some(format!("{place} does not run: {error}")),
    };
    match version(&printed) {
        Some(version) if version >= OLDEST => None,
        Some((major, minor)) => {
            let (oldest_major, oldest_minor) = OLDEST;
            Some(format!(
                "{place} is {major}.{minor}, the tests need {oldest_major}.{oldest_minor} or newer"
            ))
        }
        None => Some(format!("`{place} --version` names no version")),
    }
}

/// Major and minor number from a line like `nats-server: v2.15.2`.
fn version(printed: &str) -> Option<(u32, u32)> {
    let (_, version) = printed.split_once(": v")?;
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_one_that_cannot_be_used_is_an_error_even_if_another_is_there() {
        let error = find(Some("/does/not/exist".into()), Path::new(KEPT), None).unwrap_err();
        assert!(error.contains("NATS_SERVER: /does/not/exist does not run"), "{error}");
        let error = find(Some("true".into()), Path::new(KEPT), None).unwrap_err();
        assert!(error.contains("names no version"), "{error}");
    }

    #[test]
    fn without_any_the_cure_is_named() {
        let error = find(None, Path::new("/does/not/exist"), Some("/nowhere".into())).unwrap_err();
        assert!(error.contains("run `cargo xtask services`"), "{error}");
    }

    #[test]
    fn reads_the_version_that_servers_print() {
        assert_eq!(version("nats-server: v2.15.2\n"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(version("something else"), None);
        assert!((2, 9) < OLDEST);
    }
}
