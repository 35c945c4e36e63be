//! The path of the built program. In a file of its own because it is the one place here that
//! runs cargo.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::child::LaunchError;

/// The `mailbridge` program: the one in `MAILBRIDGE_BIN`, which `cargo xtask test` sets, else it is
/// built now, once for each test process. Blocks while it builds.
pub fn binary() -> Result<PathBuf, LaunchError> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match env::var_os("MAILBRIDGE_BIN").map(PathBuf::from) {
        Some(named) if named.is_file() => Ok(named),
        Some(named) => Err(format!(
            "MAILBRIDGE_BIN: {} is not a file; unset it, and it is built",
            named.display()
        )),
        None => build(),
    });
    built.clone().map_err(LaunchError::new)
}

/// Builds it and lets cargo say where it put it, which depends on the machine's settings.
fn build() -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--package", "mailbridge", "--bin", "mailbridge"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    let failed = || {
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!("`cargo build --package mailbridge` failed:\n{}", complaint.trim_end())
    };
    if !output.status.success() {
        return Err(failed());
    }
    executable(&String::from_utf8_lossy(&output.stdout)).ok_or_else(failed)
}

/// The executable that cargo's messages, one JSON object a line, speak of.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables =
        messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)));
    executables.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_executable_among_other_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/t/debug/mailbridge"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some("/t/debug/mailbridge".into()));
        assert_eq!(executable(r#"{"reason":"build-finished"}"#), None);
    }
}
