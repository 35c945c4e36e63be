//! Takes programs out of a package of Debian, without installing it and without root.
//!
//! The package lists live in a folder of their own, so the machine's own sources, lists and
//! packages stay as they are. The mirror is the one the machine already uses, and packages are
//! checked against Debian's own keys. Nothing of the package's dependencies is fetched: good for a
//! program that links little or nothing, and for no other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::Line;
use crate::{Result, workspace};

/// The suite that always exists and always has the newest packages.
pub const NEWEST: &str = "unstable";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The suite that this machine has: what links the C library fits it.
pub fn own_suite() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    suite_in(&release).ok_or_else(|| "this machine is no Debian".into())
}

/// Gets `package` of a suite and copies `programs`, paths in it, into the folder `target`.
pub fn unpack(suite: &str, package: &str, programs: &[&str], target: &Path) -> Result {
    let mirror = mirror().ok_or("this machine has no Debian mirror in /etc/apt")?;
    let folder = workspace::services().join("debian");
    if folder.exists() {
        // what an interrupted run left
        fs::remove_dir_all(&folder)?;
    }
    let unpacked = folder.join("unpacked");
    for part in ["lists/partial", "cache/archives/partial", "unpacked"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let sources = folder.join("sources.list");
    fs::write(&sources, format!("deb [signed-by={KEYS}] {mirror} {suite} main\n"))?;

    eprintln!("getting {package} from Debian {suite}, once");
    apt(&folder, &sources).args(["update"]).capture()?;
    apt(&folder, &sources).args(["download", package]).capture()?;
    let extract = [Path::new("-x"), &downloaded(&folder)?, &unpacked];
    Line::new("dpkg-deb").args(extract).capture()?;

    fs::create_dir_all(target)?;
    for program in programs {
        let program = unpacked.join(program);
        fs::copy(&program, target.join(program.file_name().ok_or("a path without a name")?))?;
    }
    // the lists alone are some 50 MB
    Ok(fs::remove_dir_all(&folder)?)
}

/// `apt-get` with lists, cache and sources of its own.
fn apt(folder: &Path, sources: &Path) -> Line {
    let options = [
        format!("Dir::Etc::SourceList={}", sources.display()),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", folder.join("lists").display()),
        format!("Dir::Cache={}", folder.join("cache").display()),
        // as root, apt would change to a user who may not write here
        "APT::Sandbox::User=".to_owned(),
        // an update that got nothing is a failure, not a warning
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    let options = options.iter().flat_map(|option| ["-o", option]);
    Line::new("apt-get").args(["--quiet=2"]).args(options).folder(folder)
}

/// `apt-get download` leaves the one file in the folder it runs in.
fn downloaded(folder: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let package = files.find(|file| file.extension().is_some_and(|e| e == "deb"));
    package.ok_or_else(|| format!("apt-get left no package in {}", folder.display()).into())
}

/// The suite's name in `/etc/os-release`, of Debian itself alone: those made from it have others.
fn suite_in(release: &str) -> Option<String> {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    value("ID").filter(|id| id == "debian").and_then(|_| value("VERSION_CODENAME"))
}

/// The mirror that this machine gets Debian from.
fn mirror() -> Option<String> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten();
    let mut files: Vec<PathBuf> = parts.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.push("/etc/apt/sources.list".into());
    files.sort();
    files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "list" || e == "sources"))
        .find_map(|file| mirror_in(&fs::read_to_string(file).ok()?))
}

/// The first address in a source file, of either format, whose path is Debian's main archive.
fn mirror_in(text: &str) -> Option<String> {
    let lines = text.lines().filter(|l| l.starts_with("URIs:") || l.starts_with("deb "));
    let mut words = lines.flat_map(str::split_whitespace);
    let main =
        |word: &&str| word.contains("://") && word.trim_end_matches('/').ends_with("/debian");
    words.find(main).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_that_of_a_debian() {
        let debian = "PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(suite_in(debian).as_deref(), Some("bookworm"));
        assert_eq!(suite_in("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(suite_in(""), None);
    }

    #[test]
    fn the_mirror_is_found_in_both_formats_and_is_not_the_security_one() {
        let new = "Types: deb\n# URIs: http://old/debian\nURIs: http://a/debian-security\n\
                   Suites: x\n\nTypes: deb\nURIs: http://b/debian/\n";
        let old = "# deb http://old/debian x main\ndeb-src http://src/debian x main\n\
                   deb [arch=amd64] https://c/debian bookworm main\n";
        assert_eq!(mirror_in(new).as_deref(), Some("http://b/debian/"));
        assert_eq!(mirror_in(old).as_deref(), Some("https://c/debian"));
        assert_eq!(mirror_in("deb https://d/node_20.x nodistro main"), None);
    }
}
