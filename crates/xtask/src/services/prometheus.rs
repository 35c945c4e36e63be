//! Gets a Prometheus with its promtool, which tries the alert rules and the dashboard.
//!
//! It is not built here, as nats-server is: with the clients of every cloud that it discovers
//! targets in, that would take longer than all the tests.

use std::env;
use std::path::Path;

use super::{Ready, debian};
use crate::command::Line;
use crate::version::Version;
use crate::{Result, workspace};

/// The oldest one the tests accept: Debian 12's.
const OLDEST: Version = Version(2, 42, 0);

/// `PROMETHEUS`, else what was got earlier, else the path, else Debian's package.
pub fn provide() -> Result<Ready> {
    if let Some(path) = env::var_os("PROMETHEUS") {
        return usable(Path::new(&path), "from PROMETHEUS")
            .map_err(|e| format!("PROMETHEUS: {e}; unset it, and one is got for you").into());
    }
    let folder = workspace::services().join("bin");
    if let Ok(ready) = usable(&folder.join("prometheus"), "got earlier") {
        return Ok(ready);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut on_path = env::split_paths(&path).map(|folder| folder.join("prometheus"));
    if let Some(ready) = on_path.find_map(|it| usable(&it, "from the path").ok()) {
        return Ok(ready);
    }
    get(&folder).map_err(|error| {
        format!(
            "none found that is {OLDEST} or newer with a promtool beside it, and Debian's package \
             could not be got: {error}\n\
             put prometheus and promtool on the path, or set PROMETHEUS to the first"
        )
        .into()
    })
}

fn get(folder: &Path) -> Result<Ready> {
    let programs = ["usr/bin/prometheus", "usr/bin/promtool"];
    debian::unpack(&debian::own_suite()?, "prometheus", &programs, folder)?;
    usable(&folder.join("prometheus"), "unpacked from a Debian package")
}

/// Starts both to ask their versions, so that files which do not run here are refused too.
fn usable(path: &Path, origin: &str) -> Result<Ready> {
    let version = version(path)?;
    self::version(&path.with_file_name("promtool"))?;
    Ok(Ready {
        what: format!("{version}, {origin}: {}", path.display()),
        environment: vec![("PROMETHEUS", path.to_owned())],
    })
}

fn version(program: &Path) -> Result<Version> {
    let place = program.display();
    let printed = Line::new(program).args(["--version"]).capture()?;
    // `prometheus, version 2.42.0+ds (branch: …)`
    let version =
        Version::find(&printed).ok_or_else(|| format!("`{place} --version` names no version"))?;
    if version < OLDEST {
        return Err(format!("{place} is {version}, {OLDEST} is needed").into());
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_one_is_named_with_what_is_wrong() {
        let error = usable(Path::new("/bin/true"), "").err().unwrap().to_string();
        assert!(error.contains("`/bin/true --version` names no version"), "{error}");
    }
}
