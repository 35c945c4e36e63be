//! Child processes that do not outlive the test: they are killed when they are dropped, and on
//! Linux also when the test process itself crashes.
//!
//! It deliberately knows nothing about what it starts; see [`crate::server`] and
//! [`crate::program`] for that.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often a condition is looked at that nothing tells us about.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Something could not be started, did not get ready, or did not end in time. One sentence with
/// what was expected, and the last that the child said.
#[derive(Debug)]
pub struct LaunchError(String);

impl LaunchError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LaunchError {}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// A running child. Dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a command that [`command`] made.
    pub(crate) fn start(name: &str, command: Command) -> Result<Self, LaunchError> {
        let child = spawn(command)
            .map_err(|error| LaunchError::new(format!("{name} could not be started: {error}")))?;
        Ok(Self { child, name: name.to_owned() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes the two pipes to read from, once.
    pub(crate) fn pipes(
        &mut self,
    ) -> (Option<std::process::ChildStdout>, Option<std::process::ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, LaunchError> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal; to a child that has ended this does nothing.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), LaunchError> {
        // not reaped before this, so its id cannot have become somebody else's
        if self.ended()?.is_none() {
            kill_process(Pid::from_child(&self.child), signal).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// Waits until it has ended.
    pub(crate) async fn wait(&mut self, within: Duration) -> Result<ExitStatus, LaunchError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                let name = &self.name;
                return Err(LaunchError::new(format!("{name} had not ended after {within:?}")));
            }
            look_again().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // both fail only if it has ended and been waited for, which is what is wanted
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Between two looks at a condition that nothing tells us about, such as a file that appears.
pub(crate) async fn look_again() {
    tokio::time::sleep(LOOK_EVERY).await;
}

/// A command whose process is killed by the kernel when this process ends, however it ends. Where
/// `setpriv` is missing (it is part of util-linux) a crashed test leaves its children behind.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    static GUARD: OnceLock<bool> = OnceLock::new();
    const GUARDED: [&str; 3] = ["--pdeathsig", "KILL", "--"];

    let there = || {
        let mut probe = Command::new("setpriv");
        probe.args(GUARDED).arg("true").stdin(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    if !*GUARD.get_or_init(there) {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(GUARDED).arg(program);
    command
}

type Job = (Command, SyncSender<io::Result<Child>>);

/// Starts a command on a thread that lives as long as this process: the kernel kills the child
/// when the *thread* that started it ends, and the thread of a test ends before the process does.
fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<SyncSender<Job>> = OnceLock::new();

    let starter = STARTER.get_or_init(|| {
        let (jobs, queue) = sync_channel::<Job>(1);
        thread::spawn(move || {
            for (mut command, answer) in queue {
                // nobody waits for the answer only if the caller has panicked
                answer.send(command.spawn()).ok();
            }
        });
        jobs
    });
    let gone = |_| io::Error::other("the thread that starts children has ended");
    let (answer, child) = sync_channel(1);
    starter.send((command, answer)).map_err(|_| io::Error::other("the starter has ended"))?;
    child.recv().map_err(gone)?
}
