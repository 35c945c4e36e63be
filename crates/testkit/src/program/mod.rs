//! The built `mailbridge` program as a child process: start it, read what it prints, end it in
//! every way a program can end.
//!
//! It deliberately knows nothing of what the program does; a test says which line it waits for.

mod binary;
mod lines;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

pub use binary::binary;
pub use lines::{Line, Stream};

use crate::child::{self, LaunchError, Process};
use lines::Lines;

/// How to start a program; can be used again, for a test that kills it and starts it again.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// Where it runs, and where its config file is.
    folder: Arc<TempDir>,
}

impl Launch {
    /// Any program. It will run in an empty folder of its own.
    pub fn new(program: impl Into<PathBuf>) -> Result<Self, LaunchError> {
        Ok(Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: Arc::new(TempDir::with_prefix("mailbridge-")?),
        })
    }

    /// The `mailbridge` program, see [`binary`].
    pub fn mailbridge() -> Result<Self, LaunchError> {
        Self::new(binary()?)
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Adds a variable to the environment, which is otherwise that of the test.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Writes a YAML config file and adds its path as the next argument.
    pub fn config(mut self, yaml: &str) -> Result<Self, LaunchError> {
        let file = self.folder().join("config.yaml");
        fs::write(&file, yaml)?;
        self.arguments.push(file.into());
        Ok(self)
    }

    /// The folder it runs in: relative paths in its config are below it. It is removed with the
    /// last of this launch, its clones and the programs started from them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it. It reads nothing from the terminal.
    pub fn start(&self) -> Result<Program, LaunchError> {
        let mut command = child::command(&self.program);
        command.args(&self.arguments).current_dir(self.folder());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let mut process = Process::start(&name, command)?;
        let (stdout, stderr) = process.pipes();
        let lines = Lines::read(stdout, stderr);
        Ok(Program { process, lines, _folder: Arc::clone(&self.folder) })
    }
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    process: Process,
    lines: Lines,
    _folder: Arc<TempDir>,
}

impl Program {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line, on either stream, that has come already or is still to come. Fails
    /// when the time is over, or as soon as no more lines can come.
    pub async fn wait_for(
        &self,
        wanted: impl Fn(&str) -> bool,
        within: Duration,
    ) -> Result<String, LaunchError> {
        self.lines.wait_for(wanted, within).await
    }

    /// Forgets the lines that came until now, so that [`Self::wait_for`] finds new ones only.
    pub fn forget_lines(&self) {
        self.lines.forget();
    }

    /// The latest lines, oldest first; a program that prints very much loses the oldest.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.all()
    }

    /// Asks it to stop, as an operator does.
    pub fn sigterm(&mut self) -> Result<(), LaunchError> {
        self.process.signal(Signal::TERM)
    }

    /// Asks it to stop, as Ctrl-C does.
    pub fn sigint(&mut self) -> Result<(), LaunchError> {
        self.process.signal(Signal::INT)
    }

    /// Asks it to read its configuration again, as a supervisor does.
    pub fn sighup(&mut self) -> Result<(), LaunchError> {
        self.process.signal(Signal::HUP)
    }

    /// Ends it at once; it cannot notice. [`Self::wait_exit`] then waits until it is gone.
    pub fn kill9(&mut self) -> Result<(), LaunchError> {
        self.process.signal(Signal::KILL)
    }

    /// Stops it where it stands, as a machine that is suspended; it cannot notice.
    pub fn suspend(&mut self) -> Result<(), LaunchError> {
        self.process.signal(Signal::STOP)
    }

    /// Lets it go on after [`Self::suspend`].
    pub fn resume(&mut self) -> Result<(), LaunchError> {
        self.process.signal(Signal::CONT)
    }

    /// Waits until it has ended. Its last lines are then in [`Self::lines`].
    pub async fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus, LaunchError> {
        let status = self.process.wait(within).await.map_err(|e| self.lines.explain(&e))?;
        self.lines.wait_end(within).await;
        Ok(status)
    }
}
