//! A real Prometheus, and its promtool.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::child::{self, LaunchError, Process};

/// From the start of the process until it answers. It takes a second; the rest is for a machine
/// that is busy with other tests.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Where `cargo xtask services` puts it, from this package's folder.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/services/bin/prometheus");

/// A Prometheus of its own: a free loopback port and an empty store. Dropping it kills it and
/// removes the store.
#[derive(Debug)]
pub struct Prometheus {
    /// Before the folder, because fields are dropped in this order: it writes there while it runs.
    process: Process,
    folder: TempDir,
    port: u16,
}

impl Prometheus {
    /// Starts one with a config file of this content, beside which there are files: names and
    /// contents. Returns when it answers.
    pub async fn start(config: &str, files: &[(&str, &str)]) -> Result<Self, LaunchError> {
        let folder = TempDir::with_prefix("prometheus-")?;
        fs::write(folder.path().join("prometheus.yml"), config)?;
        for (name, content) in files {
            fs::write(folder.path().join(name), content)?;
        }
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            // it takes no port 0, so somebody else may be faster
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let mut process = launch(folder.path(), port)?;
            match ready(&mut process, folder.path(), port, deadline).await {
                Ok(()) => return Ok(Self { process, folder, port }),
                Err(_) if log(folder.path()).contains("address already in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it answers, such as `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        log(self.folder.path())
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// The tool that checks and tests files of rules. Not started yet.
pub fn promtool() -> Result<Command, LaunchError> {
    Ok(child::command(program()?.with_file_name("promtool")))
}

/// `PROMETHEUS`, else what `cargo xtask services` has got, else the path: the order in which it
/// looks too, and it looks whether they are new enough.
fn program() -> Result<PathBuf, LaunchError> {
    if let Some(named) = env::var_os("PROMETHEUS") {
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("prometheus"));
    let found = std::iter::once(PathBuf::from(KEPT)).chain(on_path).find(|it| it.exists());
    found.ok_or_else(|| LaunchError::new("no prometheus: run `cargo xtask services`"))
}

fn launch(folder: &Path, port: u16) -> Result<Process, LaunchError> {
    let mut command = child::command(program()?);
    command.arg("--config.file").arg(folder.join("prometheus.yml"));
    command.arg("--storage.tsdb.path").arg(folder.join("data"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(folder.join("log"))?);
    Process::start("prometheus", command)
}

/// Waits until it says that it takes requests, which is after its rules are loaded.
async fn ready(
    process: &mut Process,
    folder: &Path,
    port: u16,
    deadline: Instant,
) -> Result<(), LaunchError> {
    loop {
        let serves = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        if log(folder).contains("Server is ready to receive web requests") && serves() {
            return Ok(());
        }
        let failed = match process.ended()? {
            Some(status) => format!("ended ({status})"),
            None if Instant::now() > deadline => format!("waited {READY_WITHIN:?}"),
            None => {
                child::look_again().await;
                continue;
            }
        };
        let log = log(folder);
        return Err(LaunchError::new(format!(
            "prometheus did not get ready: {failed}; its log:\n{log}"
        )));
    }
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}
