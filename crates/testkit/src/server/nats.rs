//! A real nats-server with JetStream.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::{self, LaunchError, Process};

mod find;
#[cfg(test)]
mod tests;

/// From the start of the process until clients are served. It takes 0.2 s; the rest is for a
/// machine that is busy with other tests.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// From SIGTERM to the end, with JetStream written to disk.
const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// How long to wait for somebody else to leave our port before trying again.
const PORT_TAKEN_PAUSE: Duration = Duration::from_millis(100);

/// A nats-server of its own: a free loopback port, JetStream, an empty store.
///
/// It can be stopped or killed and started again on the same port with the same store, as often
/// as a test likes. Dropping it kills it and removes the store.
#[derive(Debug)]
pub struct NatsServer {
    /// Before the folder, because fields are dropped in this order: it writes there while it runs.
    process: Option<Process>,
    folder: TempDir,
    program: PathBuf,
    config: Option<PathBuf>,
    url: String,
    /// Free choice of the server until it has chosen.
    port: Option<u16>,
}

impl NatsServer {
    /// Starts one that lets everybody in.
    pub async fn start() -> Result<Self, LaunchError> {
        Self::start_with(None).await
    }

    /// Starts one with a config file of this content: users, tokens, nkeys, TLS. Name files in it
    /// (certificates) with absolute paths. Address, port and store are the launcher's and stay
    /// so, whatever the config says.
    pub async fn with_config(config: &str) -> Result<Self, LaunchError> {
        Self::start_with(Some(config)).await
    }

    async fn start_with(config: Option<&str>) -> Result<Self, LaunchError> {
        let folder = TempDir::with_prefix("nats-server-")?;
        let file = folder.path().join("nats.conf");
        if let Some(text) = config {
            fs::write(&file, text)?;
        }
        let mut server = Self {
            process: None,
            folder,
            program: find::program()?,
            config: config.map(|_| file),
            url: String::new(),
            port: None,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// Where clients connect to, for example `nats://127.0.0.1:41234`, or `tls://…` if the config
    /// asks for TLS. Stays the same when the server is started again.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The id of the process while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Stops it as an operator would (SIGTERM) and waits until it is gone.
    pub async fn stop(&mut self) -> Result<(), LaunchError> {
        self.end(Signal::TERM).await
    }

    /// Kills it (SIGKILL), so that it has no chance to write anything, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), LaunchError> {
        self.end(Signal::KILL).await
    }

    async fn end(&mut self, signal: Signal) -> Result<(), LaunchError> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(signal)?;
        process.wait(ENDED_WITHIN).await?;
        Ok(())
    }

    /// Starts it again on the same port with the same store, and returns when clients are served.
    /// Does nothing to one that runs.
    ///
    /// While a server is away, its port is free for anybody on the machine, even for a client
    /// that tries to connect to it; so a taken port is tried again for a while.
    pub async fn start_again(&mut self) -> Result<(), LaunchError> {
        if self.process.as_mut().is_some_and(|p| matches!(p.ended(), Ok(None))) {
            return Ok(());
        }
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let mut process = self.launch()?;
            match self.ready(&mut process, deadline).await {
                Ok(()) => {
                    self.process = Some(process);
                    return Ok(());
                }
                Err(_) if self.port_was_taken() && Instant::now() < deadline => {
                    tokio::time::sleep(PORT_TAKEN_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn launch(&self) -> Result<Process, LaunchError> {
        let folder = self.folder.path();
        let port = self.port.map_or("-1".to_owned(), |port| port.to_string());
        let mut command = child::command(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"]).arg(folder);
        command.arg("--ports_file_dir").arg(folder);
        if let Some(config) = &self.config {
            command.arg("-c").arg(config);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(folder.join("log"))?);
        Process::start("nats-server", command)
    }

    /// Waits for the file with the port, which the server writes when it serves clients.
    async fn ready(&mut self, process: &mut Process, deadline: Instant) -> Result<(), LaunchError> {
        loop {
            if let Some(url) = served_url(self.folder.path(), process.id()) {
                self.port = url.rsplit(':').next().and_then(|port| port.parse().ok());
                self.url = url;
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
            let log = self.log();
            return Err(LaunchError::new(format!(
                "nats-server did not get ready: {failed}; its log:\n{log}"
            )));
        }
    }

    fn port_was_taken(&self) -> bool {
        self.log().contains("address already in use")
    }
}

/// The address in the ports file of the process, once it is written in full.
fn served_url(folder: &Path, id: u32) -> Option<String> {
    let mine = format!("_{id}.ports");
    let mut files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let file = files.find(|file| file.file_name().to_string_lossy().ends_with(&mine))?;
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
    ports["nats"][0].as_str().map(String::from)
}
