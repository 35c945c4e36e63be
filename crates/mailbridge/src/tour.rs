//! What to say to somebody who has just tried the sandbox: what really happened there, and what to
//! try next.

use std::path::Path;

use mailbridge_sandbox::Handle;

use crate::run::report::tell;

/// Where somebody has the project's own examples at hand.
const EXAMPLE: &str = "configs/nats.yaml";
const INBOX: &str = "configs/inbox.yaml";

/// The next steps after a run whose mail came from the sandbox.
pub fn after_inbox() {
    let program = program();
    tell(format_args!("\nNext\n"));
    next(&format!("{program} schema event"), "what an event holds");
    if Path::new(INBOX).exists() {
        next(&format!("{program} check {INBOX}"), "the shape of a real configuration");
    }
    next(&format!("{program} sandbox"), "the sandbox as a server, for your own code");
}

/// The truth of the sandbox after a run, and the next steps.
pub fn after_sandbox(sandbox: &Handle, codes: &[String]) {
    let truth = sandbox.truth();
    let (sent, drafts) = (truth.sent_total(), truth.drafts_left());
    let doubles = truth.duplicates(mailbridge_graph::MARK_PROPERTY).map_or(0, |twice| twice.len());
    let doubles = if doubles == 0 { "none".to_owned() } else { format!("{doubles} requests") };
    tell(format_args!(
        "  sandbox       sent: {sent}; sent twice: {doubles}; drafts left: {drafts}\n"
    ));
    let program = program();
    tell(format_args!("\nNext\n"));
    if let Some(code) = codes.first() {
        next(&format!("{program} explain {code}"), "what a code means, and the cure");
    }
    next(
        &format!("{program} send --sandbox --to you@example.org"),
        "one mail from the command line",
    );
    if Path::new(EXAMPLE).exists() {
        next(&format!("{program} check {EXAMPLE}"), "the shape of a real configuration");
    }
    next(&format!("{program} sandbox"), "the sandbox as a server, for your own code");
}

fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "mailbridge".to_owned())
}

fn next(command: &str, why: &str) {
    tell(format_args!("  {command:<62}  # {why}\n"));
}
