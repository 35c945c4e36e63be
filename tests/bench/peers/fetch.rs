//! Gets the peers, once, into `target/peers`: a stream processor built with Go, and a virtual
//! environment with Microsoft's SDK for Python.
//!
//! Versions are pinned where the peers are: `connect/go.mod` and `python/requirements.txt`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::Failure;

/// Where the peers' files are.
pub const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/peers");
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers");

/// Programs that are there.
pub struct Tools {
    pub connect: PathBuf,
    pub python: PathBuf,
}

impl Tools {
    pub fn get() -> Result<Self, Failure> {
        std::fs::create_dir_all(KEPT)?;
        Ok(Self { connect: connect()?, python: python()? })
    }

    /// What they are, as `name version`.
    pub fn versions(&self) -> Result<Vec<String>, Failure> {
        let modules = std::fs::read_to_string(format!("{SOURCES}/connect/go.mod"))?;
        let benthos = modules.lines().find_map(|line| line.trim().strip_prefix("require github"));
        let mut all = vec![format!("github{}", benthos.ok_or("go.mod names no benthos")?)];
        all.push(said(Command::new("go").arg("version"))?);
        all.push(said(Command::new(&self.python).arg("--version"))?);
        let pinned = std::fs::read_to_string(format!("{SOURCES}/python/requirements.txt"))?;
        all.extend(pinned.lines().map(|line| line.replace("==", " ")));
        Ok(all)
    }
}

/// Go looks itself whether anything is to be built.
fn connect() -> Result<PathBuf, Failure> {
    let program = Path::new(KEPT).join("connect");
    if !program.exists() {
        eprintln!("building the stream processor with go, once (some minutes)");
    }
    let mut build = Command::new("nice");
    build.args(["-n", "15", "go", "build", "-p", "2", "-trimpath", "-o"]).arg(&program).arg(".");
    done(build.current_dir(format!("{SOURCES}/connect")))?;
    Ok(program)
}

fn python() -> Result<PathBuf, Failure> {
    let folder = Path::new(KEPT).join("python");
    let program = folder.join("bin/python");
    if !program.exists() {
        eprintln!("getting Microsoft's SDK for Python, once");
        done(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let mut install = Command::new(&program);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    done(install.args(["-r", &format!("{SOURCES}/python/requirements.txt")]))?;
    Ok(program)
}

fn done(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// The first line that a program prints.
pub fn said(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
