//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    command::{
        check::Check,
        cursor::Cursor,
        doctor::Doctor,
        explain::Explain,
        manual::{Completions, Man},
        render::Render,
        replay::Replay,
        run::Run,
        sandbox::SandboxArgs,
        schema::SchemaOf,
        send::Send,
        test::Test,
        top::Top,
    },
    config::{
        model::{Level, LogFormat},
        text,
    },
    exit::Exit,
    log,
    registry::Registry,
};

const AFTER_HELP: &str = "\
Examples:
  mailbridge run configs/quickstart.yaml       real requests through the built-in sandbox
  mailbridge check pipelines.yaml              what would run, and what is wrong
  mailbridge doctor pipelines.yaml             what is right with Microsoft 365, and the cure
  mailbridge render FILE PIPELINE order.json   the mail that an event becomes
  mailbridge test configs/compose.yaml         whether events become the mails they ought to
  mailbridge cursor list pipelines.yaml        how far each folder of a mailbox was read
  mailbridge replay pipelines.yaml --dry-run   what of the dead letters would be tried again
  mailbridge top http://127.0.0.1:8080         a pool of workers, live
  mailbridge sandbox                           a Microsoft Graph to try things with
  mailbridge send --sandbox --to bob@example.org --subject Hello --text Hi
  mailbridge explain credential_secret_expired what a code means, and the cure

Exit codes: 0 done, 1 failed at run time, 2 wrong usage, 78 wrong configuration.";

/// Message buses to Microsoft 365 mail and back: requests become mails, mails become events, once.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// What is logged: error, warn, info, debug, trace, or directives such as
    /// info,mailbridge_graph=debug
    #[arg(
        long,
        global = true,
        help_heading = "Logs, on standard error",
        value_name = "LEVEL",
        value_parser = text::argument::<Level>
    )]
    log: Option<Level>,
    /// How log lines look: pretty (on a terminal) or json (elsewhere)
    #[arg(
        long,
        global = true,
        help_heading = "Logs, on standard error",
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run what a configuration says, until its inputs end or a signal comes
    Run(Run),
    /// Check a configuration offline, and say what it would run
    Check(Check),
    /// Walk the six steps of an app's setup against Microsoft 365, and say what cures each
    Doctor(Doctor),
    /// Show the request that a pipeline makes of an event, and what Graph would be sent
    Render(Render),
    /// Run the tests that stand beside pipelines
    Test(Test),
    /// Put dead letters of a pipeline back where its requests come from
    Replay(Box<Replay>),
    /// Show and change how far the folders of mailboxes were read
    Cursor(Cursor),
    /// Show a pool of workers as it is now: who reads which mailboxes, and what is in trouble
    Top(Top),
    /// Serve a Microsoft Graph mail emulator: no tenant is needed, no mail leaves
    Sandbox(SandboxArgs),
    /// Send one mail from the command line
    Send(Box<Send>),
    /// Print the JSON Schema of the configuration, or of what goes over the bus
    Schema(SchemaOf),
    /// Say what a code means, and what to do about it
    Explain(Explain),
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(Completions),
    /// Write the manual pages
    #[command(hide = true)]
    Man(Man),
}

/// The whole program, with these bus plugins.
pub fn main(registry: &Registry) -> ExitCode {
    let Cli { command, log: level, log_format: format } = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            eprintln!("the threads of the program cannot be started ({})", cause.kind());
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(command.run(registry, &log::Wishes { level, format }));
    // A thread that waits for standard input would keep the program: what matters is done.
    runtime.shutdown_background();
    exit.into()
}

impl Command {
    async fn run(self, registry: &Registry, wishes: &log::Wishes) -> Exit {
        match self {
            Self::Run(run) => run.run(registry, wishes).await,
            Self::Check(check) => check.run(registry, wishes).await,
            Self::Doctor(doctor) => doctor.run(registry, wishes).await,
            Self::Render(render) => render.run(registry),
            Self::Test(test) => test.run(registry),
            Self::Replay(replay) => replay.run(registry, wishes).await,
            Self::Cursor(cursor) => cursor.run(registry, wishes).await,
            Self::Top(top) => top.run().await,
            Self::Sandbox(sandbox) => sandbox.run(wishes).await,
            Self::Send(send) => send.run(registry, wishes).await,
            Self::Schema(schema) => schema.run(registry),
            Self::Explain(explain) => explain.run(),
            Self::Completions(completions) => completions.run(Cli::command()),
            Self::Man(man) => man.run(Cli::command()),
        }
    }
}
