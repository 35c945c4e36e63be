//! Running another program: with its output on the terminal, or caught, and with errors that show
//! the line to type to see the same again.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Result, workspace};

/// A program, its arguments, and what is added to the environment. Runs in the workspace's root.
#[derive(Debug, Clone)]
pub struct Line {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    folder: Option<OsString>,
}

impl Line {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
        }
    }

    /// `cargo` and the words of `text`.
    pub fn cargo(text: &str) -> Self {
        Self::new("cargo").args(text.split_whitespace())
    }

    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((key.into(), value.as_ref().to_owned()));
        self
    }

    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs it with its output on the terminal.
    pub fn run(&self) -> Result {
        let status = self.command().status().map_err(|e| self.did_not_start(&e))?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{status}\n  to see it again: {}", self.typed()).into())
    }

    /// Runs it and returns what it printed, or an error with what it complained about.
    pub fn capture(&self) -> Result<String> {
        let output = self
            .command()
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.did_not_start(&error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{}`: {}\n{}", self.typed(), output.status, complaint.trim_end()).into())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(k, v)| (k, v)));
        match &self.folder {
            Some(folder) => command.current_dir(folder),
            None => command.current_dir(workspace::root()),
        };
        command
    }

    fn did_not_start(&self, error: &std::io::Error) -> String {
        format!("`{}` did not start: {error}", self.typed())
    }

    /// The line as one would type it, with the environment that was added.
    pub fn typed(&self) -> String {
        let environment =
            self.environment.iter().map(|(k, v)| format!("{k}={}", quoted(&v.to_string_lossy())));
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let words = words.map(|word| quoted(&word.to_string_lossy()));
        environment.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// Quotes a word for a shell if it needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_line_can_be_pasted_into_a_shell() {
        let line = Line::cargo("test --workspace").args(["it's"]).env("BIN", "/a b/c");
        assert_eq!(line.typed(), r"BIN='/a b/c' cargo test --workspace 'it'\''s'");
    }

    #[test]
    fn a_failure_says_how_to_see_it_again() {
        let error = Line::new("sh").args(["-c", "exit 3"]).run().unwrap_err().to_string();
        assert!(error.contains('3') && error.contains("sh -c 'exit 3'"), "{error}");
    }

    #[test]
    fn what_a_captured_program_complains_about_is_in_the_error() {
        let line = Line::new("sh").args(["-c", "echo out; echo no disk >&2; exit 1"]);
        assert!(line.capture().unwrap_err().to_string().contains("no disk"));
        assert_eq!(Line::new("echo").args(["out"]).capture().unwrap(), "out\n");
    }
}
