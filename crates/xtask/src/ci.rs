//! The test command for a machine that nobody watches: first the facts that explain a red or slow
//! run, then the same steps, without colour.

use std::fs;

use crate::command::Line;
use crate::{Result, test};

pub fn run(arguments: &[String]) -> Result {
    for (name, value) in facts() {
        println!("{name:<9}{value}");
    }
    let mut plan = test::Plan::parse(arguments)?;
    plan.environment.extend([("CARGO_TERM_COLOR", "never"), ("NO_COLOR", "1")]);
    plan.run()
}

/// What one wants to know about a machine whose run differs from one's own.
fn facts() -> Vec<(&'static str, String)> {
    let printed = |line: Line| line.capture().map_or("not found".into(), |t| t.trim().to_owned());
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    vec![
        ("system", [fact_from("/etc/os-release", "PRETTY_NAME="), kernel()].join(", linux ")),
        (
            "machine",
            format!("{processors} cores, memory {}", fact_from("/proc/meminfo", "MemTotal:")),
        ),
        ("rust", printed(Line::new("rustc").args(["--version"]))),
        ("go", printed(Line::new("go").args(["version"]))),
        ("commit", printed(Line::new("git").args(["describe", "--always", "--dirty"]))),
    ]
}

fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}

/// The rest of the first line of `file` that starts with `key`.
fn fact_from(file: &str, key: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.map_or_else(|| "unknown".into(), |value| value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_found_by_its_key_or_unknown() {
        let file = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(fact_from(&file, "name ="), "xtask");
        assert_eq!(fact_from(&file, "nothing ="), "unknown");
        assert_eq!(fact_from("/does/not/exist", "x"), "unknown");
    }
}
