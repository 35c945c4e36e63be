//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    command::{check::Check, explain::Explain, schema::SchemaOf},
    config::{
        model::{Level, LogFormat},
        text,
    },
    registry::Registry,
};

const AFTER_HELP: &str = "\
Examples:
  mailbridge run configs/quickstart.yaml       real requests through the built-in sandbox
  mailbridge check pipelines.yaml              what would run, and what is wrong
  mailbridge sandbox                           a Microsoft Graph to try things with
  mailbridge send --sandbox --to bob@example.org --subject Hello --text Hi
  mailbridge explain credential_secret_expired what a code means, and the cure

Exit codes: 0 done, 1 failed at run time, 2 wrong usage, 78 wrong configuration.";

/// Message buses to Microsoft 365 mail: requests in, mail sent once, outcomes out.
#[derive(Parser)]
#[command(version, about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// What is logged: error, warn, info, debug, trace, or directives such as
    /// info,mailbridge_graph=debug
    #[arg(long, global = true, value_name = "LEVEL", value_parser = text::argument::<Level>)]
    log: Option<Level>,
    /// How log lines look; pretty on a terminal, json elsewhere
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a configuration offline, and say what it would run
    Check(Check),
    /// Print the JSON Schema of the configuration, or of what goes over the bus
    Schema(SchemaOf),
    /// Say what a code means, and what to do about it
    Explain(Explain),
}

/// The whole program, with these bus plugins.
pub fn main(registry: &Registry) -> ExitCode {
    let Cli { command, .. } = Cli::parse();
    let exit = match command {
        Command::Check(check) => check.run(registry),
        Command::Schema(schema) => schema.run(registry),
        Command::Explain(explain) => explain.run(),
    };
    exit.into()
}
