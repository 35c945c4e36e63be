//! Gets a nats-server that is new enough for the tests.
//!
//! Tests of the newest features need more than the oldest server that the program accepts (which
//! is 2.10): Debian 12 has 2.9, Debian 13 has 2.10.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Ready, debian};
use crate::command::Line;
use crate::version::Version;
use crate::{Result, workspace};

/// The oldest one the tests accept. The launcher in `testkit` asks for the same.
const OLDEST: Version = Version(2, 12, 0);

/// What is built when none is there. A newer pin does not replace one that is there and accepted:
/// remove `target/services` for that.
const PINNED: &str = "github.com/nats-io/nats-server/v2@v2.15.2";

/// The same order in which the launcher looks; only then is one got.
pub fn provide() -> Result<Ready> {
    if let Some(path) = env::var_os("NATS_SERVER") {
        let path = PathBuf::from(path);
        return usable(&path, "from NATS_SERVER")
            .map_err(|e| format!("NATS_SERVER: {e}; unset it, and one is got for you").into());
    }
    let kept = workspace::services().join("bin/nats-server");
    if let Ok(ready) = usable(&kept, "got earlier") {
        return Ok(ready);
    }
    if let Some(ready) = on_path(env::var_os("PATH")) {
        return Ok(ready);
    }
    get(&kept)
}

/// The first one on the path that is new enough: an older one before it does not hide it.
fn on_path(path: Option<OsString>) -> Option<Ready> {
    let path = path?;
    let mut candidates = env::split_paths(&path).map(|folder| folder.join("nats-server"));
    candidates.find_map(|candidate| usable(&candidate, "from the path").ok())
}

fn get(kept: &Path) -> Result<Ready> {
    let built = build(kept).and_then(|()| usable(kept, "built with go"));
    let built = match built {
        Ok(ready) => return Ok(ready),
        Err(error) => error,
    };
    let folder = kept.parent().ok_or("no folder to unpack into")?;
    let unpacked = debian::unpack(debian::NEWEST, "nats-server", &["usr/sbin/nats-server"], folder)
        .and_then(|()| usable(kept, "unpacked from a Debian package"));
    unpacked.map_err(|unpacked| {
        format!(
            "none found that is {OLDEST} or newer, and none could be got\n\
             - with go: {built}\n\
             - from Debian: {unpacked}\n\
             install go 1.25 or newer, or put a nats-server {OLDEST} or newer on the path, \
             or set NATS_SERVER to one"
        )
        .into()
    })
}

fn build(kept: &Path) -> Result {
    let folder = kept.parent().ok_or("no folder to build into")?;
    eprintln!("building {PINNED} with go, once (about a minute)");
    Line::new("go").args(["install", PINNED]).env("GOBIN", folder).capture().map(drop)
}

/// Starts it to ask its version, so that a file which does not run here is refused too.
fn usable(path: &Path, origin: &str) -> Result<Ready> {
    let printed = Line::new(path).args(["--version"]).capture()?;
    let version = Version::find(&printed)
        .ok_or_else(|| format!("`{} --version` names no version", path.display()))?;
    if version < OLDEST {
        return Err(format!("{} is {version}, {OLDEST} is needed", path.display()).into());
    }
    Ok(Ready {
        what: format!("{version}, {origin}: {}", path.display()),
        environment: vec![("NATS_SERVER", path.to_owned())],
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with a program that prints the version line of a nats-server.
    fn pretended(name: &str, version: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // written by a child: a file that this process has open for writing cannot be started,
        // and a test that starts a program at that moment would keep it open
        let write = format!("printf '#!/bin/sh\\necho nats-server: {version}\\n' > nats-server");
        let write = format!("{write} && chmod +x nats-server");
        Line::new("sh").args(["-c", &write]).folder(&folder).run().unwrap();
        folder
    }

    #[test]
    fn an_old_one_earlier_on_the_path_does_not_hide_a_new_one() {
        let (old, new) = (pretended("old", "v2.9.10"), pretended("new", "v2.12.0"));
        let both = env::join_paths([&old, &new]).unwrap();

        let found = on_path(Some(both)).unwrap();
        let only_old = on_path(Some(old.clone().into()));

        assert_eq!(found.environment, [("NATS_SERVER", new.join("nats-server"))]);
        assert!(only_old.is_none());
        for folder in [old, new] {
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn a_refused_one_is_named_with_what_is_needed() {
        let folder = pretended("refused", "v2.10.27");
        let error = usable(&folder.join("nats-server"), "").err().unwrap().to_string();
        fs::remove_dir_all(folder).unwrap();
        assert!(error.contains("is 2.10.27, 2.12.0 is needed"), "{error}");
    }
}
