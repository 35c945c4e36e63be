//! The chores of this repository, each one a word after `cargo xtask`.
//!
//! Uses the standard library only, so that it builds in seconds on a fresh machine and cannot be
//! broken by the crates it builds and tests. It deliberately imports none of them.

mod bench;
mod ci;
mod command;
mod generate;
mod services;
mod test;
mod version;
mod workspace;

use std::process::ExitCode;

/// What a chore answers: an error is a sentence for the person at the terminal, with the cure.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One word after `cargo xtask`.
struct Chore {
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "services",
        arguments: "",
        help: "get the servers that tests need into target/services, once",
        run: services::run,
    },
    Chore {
        name: "test",
        arguments: "[--fast] [-- CARGO TEST ARGUMENTS]",
        help: "everything that must be green; --fast leaves out fmt and clippy",
        run: test::run,
    },
    Chore {
        name: "ci",
        arguments: "",
        help: "the same, without colour, with the facts of the machine first",
        run: ci::run,
    },
    Chore {
        name: "generate",
        arguments: "[--check]",
        help: "write the documents that follow from the code",
        run: generate::run,
    },
    Chore {
        name: "bench",
        arguments: "NAME [ARGUMENTS]",
        help: "measure one thing in a release build, for example `send`",
        run: bench::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", help());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") || asks_for_help(rest) {
        print!("{}", help());
        return Ok(());
    }
    match CHORES.iter().find(|chore| chore.name == name) {
        Some(chore) => (chore.run)(rest),
        None => Err(format!("no such chore `{name}`\n\n{}", help()).into()),
    }
}

/// `--help` before a `--` is for us, after it for the command that is run.
fn asks_for_help(arguments: &[String]) -> bool {
    arguments.iter().take_while(|a| *a != "--").any(|a| a == "--help" || a == "-h")
}

fn help() -> String {
    let line = |chore: &Chore| {
        let usage = format!("{} {}", chore.name, chore.arguments);
        format!("  {usage:<42}{}\n", chore.help)
    };
    format!("cargo xtask CHORE\n\n{}", CHORES.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn help_has_one_line_for_each_chore() {
        let text = help();
        for chore in CHORES {
            let lines = text.lines().filter(|l| l.trim_start().starts_with(chore.name)).count();
            assert_eq!(lines, 1, "{}", chore.name);
        }
    }

    #[test]
    fn an_unknown_chore_is_named_and_the_known_ones_listed() {
        let error = dispatch(&words("tset")).unwrap_err().to_string();
        assert!(error.contains("`tset`") && error.contains("test [--fast]"), "{error}");
    }

    #[test]
    fn help_after_two_dashes_belongs_to_cargo_test() {
        assert!(asks_for_help(&words("--fast --help")));
        assert!(!asks_for_help(&words("--fast -- --help")));
    }
}
