//! The one test command: gets what is missing, then runs every check in turn and stops at the
//! first that fails, with the line to type to see that one again.
//!
//! What the tests test is theirs to know: a new test needs no change here, a new kind of check is
//! one line in [`Plan::steps`].

use std::time::{Duration, Instant};

use crate::command::Line;
use crate::services::{self, Ready};
use crate::{Result, workspace};

/// Crates that must not be in the program, with the only crates that may bring them in. One TLS
/// stack and one crypto provider: two would mean two sets of roots, settings and advisories.
const UNWANTED: &[(&str, &[&str])] = &[("ring", &[]), ("openssl-sys", &["rdkafka-sys"])];

pub fn run(arguments: &[String]) -> Result {
    Plan::parse(arguments)?.run()
}

/// What was asked for on the command line.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Leaves out the checks that a compiler run repeats: fmt, clippy and the build without Kafka.
    fast: bool,
    /// For `cargo test`.
    extra: Vec<String>,
    /// Added to the environment of every step.
    pub environment: Vec<(&'static str, &'static str)>,
}

/// A line to run; it passes when it exits with 0, or when its output passes the check.
struct Step {
    name: &'static str,
    line: Line,
    check: Option<Check>,
}

type Check = Box<dyn Fn(Result<String>) -> Result>;

impl Plan {
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut plan = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--fast" => plan.fast = true,
                "--" => plan.extra.extend(rest.by_ref().cloned()),
                other => {
                    let cure = "expected --fast, or -- and then arguments for cargo test";
                    return Err(format!("unknown argument `{other}`: {cure}").into());
                }
            }
        }
        Ok(plan)
    }

    pub fn run(&self) -> Result {
        let start = Instant::now();
        let mut report = Vec::new();
        println!("\n=== services");
        let services = services::provide()?;
        report.push(("services", start.elapsed()));

        for step in self.steps(&services)? {
            println!("\n=== {}: {}", step.name, step.line.typed());
            let start = Instant::now();
            step.run().map_err(|e| format!("{} failed: {e}", step.name))?;
            report.push((step.name, start.elapsed()));
        }
        println!("\n=== all green");
        for (name, took) in report.iter().chain([&("together", start.elapsed())]) {
            println!("{name:<12}{:>8}", seconds(*took));
        }
        Ok(())
    }

    fn steps(&self, services: &[Ready]) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        if !self.fast {
            steps.push(step("fmt", "fmt --all --check"));
            steps.push(step("clippy", "clippy --workspace --all-targets -- -D warnings"));
            // without librdkafka, as the README says
            let nats_alone = "check --package mailbridge --no-default-features --features nats";
            steps.push(step("nats alone", nats_alone));
        }
        steps.push(step("build", "build --package mailbridge"));
        steps.push(step("generate", "xtask generate --check"));
        steps.push(self.tests(services)?);
        for (unwanted, through) in UNWANTED {
            steps.push(absent(unwanted, through));
        }
        for step in &mut steps {
            for (key, value) in &self.environment {
                step.line = step.line.clone().env(key, value);
            }
        }
        Ok(steps)
    }

    fn tests(&self, services: &[Ready]) -> Result<Step> {
        // cargo would let --workspace win over a package that was asked for
        let mut asked = self.extra.iter().take_while(|word| *word != "--");
        let one = asked.any(|word| word == "-p" || word.starts_with("--package"));
        let mut step = step("test", if one { "test" } else { "test --workspace" });
        step.line = step.line.args(&self.extra).env("MAILBRIDGE_BIN", workspace::mailbridge()?);
        for (key, value) in services.iter().flat_map(|service| &service.environment) {
            step.line = step.line.env(key, value);
        }
        Ok(step)
    }
}

impl Step {
    fn run(&self) -> Result {
        match &self.check {
            None => self.line.run(),
            Some(check) => check(self.line.capture()),
        }
    }
}

fn step(name: &'static str, cargo: &str) -> Step {
    Step { name, line: Line::cargo(cargo), check: None }
}

/// Checks that the crate is nowhere in the workspace, or only under those that may have it.
fn absent(unwanted: &'static str, through: &'static [&'static str]) -> Step {
    let line = Line::cargo("tree --workspace --prefix none --depth 1 --invert").args([unwanted]);
    let check: Check = Box::new(move |printed| {
        let users = match printed {
            Ok(tree) => users(&tree),
            // cargo's way of saying that the lock file does not even know it
            Err(error) if error.to_string().contains("did not match any packages") => return Ok(()),
            Err(error) => return Err(error),
        };
        match users.iter().find(|user| !through.contains(&user.as_str())) {
            None => Ok(()),
            Some(user) => Err(format!(
                "`{user}` brings in `{unwanted}`: turn off the feature that does, see \
                 `cargo tree --workspace --invert {unwanted}`"
            )
            .into()),
        }
    });
    Step { name: unwanted, line, check: Some(check) }
}

/// The crates that use the inverted one, which comes first in the output of `cargo tree --invert`.
fn users(tree: &str) -> Vec<String> {
    let names = tree.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    // the rest are headings like [dev-dependencies]
    names.filter(|name| !name.starts_with('[')).map(String::from).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan> {
        let words: Vec<String> = text.split_whitespace().map(String::from).collect();
        Plan::parse(&words)
    }

    fn names(plan: &Plan) -> Vec<&'static str> {
        plan.steps(&[]).unwrap().iter().map(|step| step.name).collect()
    }

    #[test]
    fn fast_leaves_out_fmt_and_clippy_and_nothing_else() {
        let (all, fast) = (names(&plan("").unwrap()), names(&plan("--fast").unwrap()));
        assert_eq!(all[..3], ["fmt", "clippy", "nats alone"]);
        assert_eq!(all[3..], fast);
    }

    #[test]
    fn what_follows_two_dashes_goes_to_cargo_test() {
        let plan = plan("--fast -- --test process -- --nocapture").unwrap();
        let typed = plan.tests(&[]).unwrap().line.typed();
        assert!(typed.ends_with("cargo test --workspace --test process -- --nocapture"), "{typed}");
    }

    #[test]
    fn a_package_that_is_asked_for_is_tested_alone() {
        let typed = |text| plan(text).unwrap().tests(&[]).unwrap().line.typed();
        assert!(typed("-- -p xtask").ends_with("cargo test -p xtask"));
        assert!(typed("-- -- -p").ends_with("cargo test --workspace -- -p"));
    }

    #[test]
    fn an_argument_meant_for_cargo_is_refused_with_the_cure() {
        let error = plan("--test process").unwrap_err().to_string();
        assert!(error.contains("`--test`") && error.contains("-- and then"), "{error}");
    }

    #[test]
    fn tests_are_told_which_servers_to_use() {
        let ready = Ready { what: String::new(), environment: vec![("NATS_SERVER", "/n".into())] };
        let typed = Plan::default().tests(&[ready]).unwrap().line.typed();
        assert!(typed.contains("MAILBRIDGE_BIN=") && typed.contains("NATS_SERVER=/n"), "{typed}");
    }

    #[test]
    fn an_unwanted_crate_fails_unless_it_comes_through_the_one_that_may_have_it() {
        let tree = || Ok("openssl-sys v0.9.1\nrdkafka-sys v4.9.0\n[dev-dependencies]\n".to_owned());
        let check = |through| absent("openssl-sys", through).check.unwrap();

        assert!(check(&["rdkafka-sys"])(tree()).is_ok());
        let error = check(&[])(tree()).unwrap_err().to_string();
        assert!(error.contains("`rdkafka-sys` brings in `openssl-sys`"), "{error}");
    }

    #[test]
    fn a_crate_that_nobody_uses_passes_whether_or_not_cargo_knows_it() {
        let check = || absent("ring", &[]).check.unwrap();
        assert!(check()(Ok(String::new())).is_ok());
        assert!(
            check()(Err("package ID specification `ring` did not match any packages".into()))
                .is_ok()
        );
        assert!(check()(Err("could not parse Cargo.toml".into())).is_err());
    }
}
